"""What a caller sends to start a generation, as OpenAPI shows it; camelCase or snake_case."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ConfigDict, Field, field_validator, model_validator

from app.api.headers import MAX_DEADLINE_S
from app.api.schemas import Wire
from app.api.webhook_schemas import WebhookIn
from app.errors import pointer
from app.generations import Request
from app.preparing import OLDER_NAMES

EXAMPLE_GRAPH: Final[dict[str, Any]] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "example"}},
}


OLDER_SOURCES: Final = ("url", "image_url", "imageUrl")
"""What older front ends call the source of a reference."""


def _names_a_file(reference: object) -> bool:
    if isinstance(reference, dict):
        return any(isinstance(reference.get(name), str) for name in ("source", *OLDER_SOURCES))
    return isinstance(reference, str)


def _also_a_string(schema: dict[str, Any]) -> None:
    """A reference may be its source alone."""
    written = dict(schema)
    schema.clear()
    source = {"type": "string", "description": "an upload's id, a data URL or an http(s) URL"}
    schema |= {"title": written.get("title"), "anyOf": [source, written]}


class ReferenceIn(Wire):
    """An input file, for a certain parameter or for the next one that takes a file."""

    model_config = ConfigDict(json_schema_extra=_also_a_string)

    source: str = Field(description="an upload's id, a data URL or an http(s) URL")
    parameter: str | None = Field(default=None, max_length=200, description="the parameter it is for, such as `mask`")

    @model_validator(mode="before")
    @classmethod
    def _from_source(cls, value: object) -> object:
        if isinstance(value, dict) and value.get("source") is None:
            older = next((value[name] for name in OLDER_SOURCES if isinstance(value.get(name), str)), None)
            return value if older is None else {**value, "source": older}
        return {"source": value} if isinstance(value, str) else value


class GenerationCreate(Wire):
    """One generation to start: a template with its parameters, or a raw workflow.

    A template's parameters (`prompt`, `negativePrompt`, `width`, `height`, `steps`, `cfg`, `seed`, `sampler`,
    `scheduler`, `model`, `batchSize`, ...) stand beside these fields, or inside `params`.
    """

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {"prompt": "a lighthouse at dusk", "steps": 20, "seed": 42},
                {"workflow": EXAMPLE_GRAPH, "projectId": "shop", "metadata": {"order": 7}},
                {"prompt": "a lighthouse", "webhook": {"url": "https://example.com/hooks/comfy"}},
            ]
        },
    )

    template: str | None = Field(default=None, max_length=200, description="name of a template; default `txt2img`")
    workflow: dict[str, Any] | None = Field(
        default=None, description="instead of a template: a ComfyUI graph in API format; parameters are then only kept"
    )
    params: dict[str, Any] | None = Field(
        default=None, description="parameters by name, as an alternative to top-level fields"
    )
    references: list[ReferenceIn] | None = Field(
        default=None,
        max_length=100,
        description="input files, bound in order to the template's media parameters (of a raw workflow: its loaders): "
        "each an upload's id, a data URL or an http(s) URL, or an object that names the parameter",
    )
    project_id: str | None = Field(default=None, max_length=200, description="any name of the caller's own")
    metadata: dict[str, Any] | None = Field(default=None, description="kept with the record and returned as it is")
    priority: int | None = Field(
        default=None, ge=-1_000_000, le=1_000_000, strict=True, description="higher goes first; default 0"
    )
    keep_temporary: bool | None = Field(
        default=None,
        strict=True,
        description="keep temporary files (`PreviewImage`), too; default: only where nothing else is saved",
    )
    force: bool | None = Field(
        default=None, strict=True, description="run even if ComfyUI would answer from its cache; default false"
    )

    webhook: WebhookIn | None = Field(
        default=None, description="who is told of it by a signed POST; registered endpoints are told in any case"
    )
    deadline_seconds: float | None = Field(
        default=None,
        gt=0,
        le=MAX_DEADLINE_S,
        strict=True,
        description="end it, as `failed` / `timed_out`, when it is not done so many seconds after it was accepted",
    )

    @field_validator("project_id")
    @classmethod
    def _check_project(cls, value: str | None) -> str | None:
        return value or None

    @model_validator(mode="before")
    @classmethod
    def _older(cls, value: object) -> object:
        """References of older front ends may be no files at all, but things of their own: those are only kept."""
        references = value.get("references") if isinstance(value, dict) and value.keys() & OLDER_NAMES else None
        if not isinstance(references, list) or not isinstance(value, dict):
            return value
        files = [each for each in references if _names_a_file(each)]
        others = [each for each in references if not _names_a_file(each)]
        metadata = value.get("metadata") or {}
        if others and isinstance(metadata, dict):
            metadata = {"otherReferences": others, **metadata}
        return {**value, "references": files, "metadata": metadata}

    def to_request(
        self, idempotency_key: str | None = None, deadline_s: float | None = None, own_host: str | None = None
    ) -> Request:
        """`deadline_s` is the one of the header; the earlier of two counts. `own_host` is the caller's name for us."""
        deadlines = [each for each in (self.deadline_seconds, deadline_s) if each is not None]
        nested, beside = self.params or {}, self.model_extra or {}
        return Request(
            template=self.template,
            params={**nested, **beside},
            nested=frozenset(pointer(name) for name in nested),
            workflow=self.workflow,
            references=tuple(each.model_dump() for each in self.references or ()),
            own_host=own_host,
            project_id=self.project_id,
            metadata=self.metadata or {},
            priority=self.priority or 0,
            force=self.force or False,
            keep_temporary=self.keep_temporary or False,
            deadline_s=min(deadlines, default=None),
            idempotency_key=idempotency_key,
            webhook=None if self.webhook is None else self.webhook.to_target(),
        )
