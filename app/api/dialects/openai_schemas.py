"""What goes over the wire in OpenAI's Images API, in its own names: snake_case both ways."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, model_validator

from app.api.schemas import Wire
from app.api.webhook_schemas import WebhookIn

MAX_IMAGES: Final = 10
MAX_INPUTS: Final = 16
MAX_PARTIAL: Final = 3

Format = Literal["png", "jpeg", "webp"]
Background = Literal["auto", "opaque", "transparent"]
Quality = Literal["auto", "low", "medium", "high", "xhigh", "max", "standard", "hd"]
Size = Annotated[str, Field(pattern=r"^(auto|[1-9][0-9]{0,4}x[1-9][0-9]{0,4})$")]

_IGNORED: Final = ("moderation", "style", "user", "safety_identifier", "input_fidelity", "complexity")
"""What this API knows and no template does: kept with the record, without effect on the picture."""


class ImageCreate(Wire):
    """One request for pictures. Further fields are parameters of the template, such as `seed` or `negative_prompt`."""

    model_config = ConfigDict(
        alias_generator=None,
        extra="allow",
        json_schema_extra={"examples": [{"model": "txt2img", "prompt": "a lighthouse at dusk", "size": "512x512"}]},
    )

    prompt: str = Field(min_length=1, max_length=32_000, description="what the pictures should show")
    model: str | None = Field(default=None, max_length=200, description="name of a template; see `GET /v1/models`")
    n: int | None = Field(default=None, ge=1, le=MAX_IMAGES, description="how many pictures; default 1")
    size: Size | None = Field(default=None, description="`WIDTHxHEIGHT` in pixels, or `auto`: the template's own")
    quality: Quality | None = Field(default=None, description="more or fewer steps than the template's own")
    response_format: Literal["b64_json", "url"] | None = Field(default=None, description="default `b64_json`")
    output_format: Format | None = Field(default=None, description="default: as the template saves them")
    output_compression: int | None = Field(default=None, ge=0, le=100, description="quality of `jpeg` and `webp`")
    background: Background | None = Field(default=None, description="`transparent` where the template has it")
    params: dict[str, Any] | None = Field(
        default=None, description="parameters of the template whose names mean something else here, such as `model`"
    )
    webhook: WebhookIn | None = Field(
        default=None, description="who is told of each generation of this request by a signed POST; not OpenAI's"
    )
    stream: bool | None = Field(default=None, description="answer with an event stream")
    partial_images: int | None = Field(
        default=None, ge=0, le=MAX_PARTIAL, description="with `stream`: pictures of the unfinished image, at most"
    )

    @property
    def extras(self) -> dict[str, Any]:
        """Parameters of the template that were given, beside the fields of this API or in `params`."""
        given = (self.model_extra or {}).items()
        beside = {name: value for name, value in given if name not in _IGNORED and value is not None}
        return {**(self.params or {}), **beside}

    @property
    def kept(self) -> dict[str, Any]:
        """Fields of this API that only go into the record."""
        given = self.model_extra or {}
        return {name: given[name] for name in _IGNORED if given.get(name) is not None}


class ImageSource(Wire):
    """A picture to work on: a URL, a data URL, or the id of an upload."""

    model_config = ConfigDict(alias_generator=None, extra="forbid")

    image_url: str | None = Field(default=None, min_length=1, description="a data URL or an http(s) URL")
    file_id: str | None = Field(default=None, min_length=1, max_length=200, description="the id of an upload")

    @model_validator(mode="after")
    def _is_one(self) -> ImageSource:
        if (self.image_url is None) is (self.file_id is None):
            raise ValueError("send either image_url or file_id")
        return self

    @property
    def source(self) -> str:
        return self.image_url or self.file_id or ""


class ImageEdit(ImageCreate):
    """One request for changed pictures."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "img2img", "prompt": "at night", "images": [{"image_url": "https://example.com/a.png"}]}
            ]
        },
    )

    images: list[ImageSource] = Field(min_length=1, max_length=MAX_INPUTS, description="the pictures to work on")
    mask: ImageSource | None = Field(
        default=None, description="where to paint: where it is transparent, or white if nothing of it is"
    )


class ImageMade(Wire):
    """A picture, one way or the other."""

    model_config = ConfigDict(alias_generator=None)

    b64_json: str | None = None
    url: str | None = None


class TokenCounts(Wire):
    """Always zero: nothing is counted here, and strict clients want the numbers."""

    model_config = ConfigDict(alias_generator=None)

    image_tokens: int = 0
    text_tokens: int = 0


class Usage(Wire):
    """Always zero, as `TokenCounts`."""

    model_config = ConfigDict(alias_generator=None)

    input_tokens: int = 0
    input_tokens_details: TokenCounts = TokenCounts()
    output_tokens: int = 0
    total_tokens: int = 0


class ImagesMade(Wire):
    """The pictures of one request; `size` is what the first of them really has."""

    model_config = ConfigDict(alias_generator=None)

    created: int
    data: list[ImageMade]
    background: Background | None = None
    output_format: Format
    quality: Quality | None = None
    size: str | None = None
    usage: Usage = Usage()


class ModelRead(Wire):
    """A template as a model."""

    model_config = ConfigDict(alias_generator=None)

    id: str
    object: Literal["model"] = "model"
    created: int = Field(description="seconds since the epoch; 0 for templates that ship")
    owned_by: str


class ModelPage(Wire):
    """All templates as models."""

    model_config = ConfigDict(alias_generator=None)

    object: Literal["list"] = "list"
    data: list[ModelRead]
