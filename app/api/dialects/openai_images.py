"""OpenAI's Images API: a request waits for its pictures. A model is a template.

Owns the two routes and the reading of their bodies; what a request means is `openai_requests`' business.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import Response

from app.api.bodies import written_body
from app.api.dependencies import Services, ServicesDep
from app.api.dialects.openai_described import CREATE, EDIT, answers
from app.api.dialects.openai_errors import UnknownModel, as_sent, located
from app.api.dialects.openai_pictures import Wish, pictures_of
from app.api.dialects.openai_requests import requests_of
from app.api.dialects.openai_runs import Runs
from app.api.dialects.openai_schemas import ImageCreate, ImageEdit, ImagesMade, ImageSource
from app.api.dialects.openai_stream import ImageStream
from app.api.forms import FormPart, form_parts, is_form, text_of, whole
from app.api.headers import IdempotencyKey, key
from app.api.uploads import arriving
from app.errors import BadSource, InvalidRequest, Problem, UnsupportedMedia, UnusableFile, pointer
from app.pictures import PictureError, painted_mask
from app.requests import DEFAULT_TEMPLATE
from app.uploads import Upload

router = APIRouter(prefix="/v1/images", tags=["openai"])

_NESTED: Final = re.compile(r"(params|webhook)\[([^\[\]]{1,200})\]")
_OF_JSON: Final = {"images": "files in the field image", "params": "params[NAME]", "webhook": "webhook[url]"}


@router.post("/generations", responses=answers(400, 404, 409, 413), openapi_extra=CREATE)
async def generate(services: ServicesDep, http: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Make pictures from a text, as OpenAI's `images.generate`. The answer comes when they are done.

    `model` is a template, by default `txt2img`; other fields than those shown are its parameters. With `stream` the
    answer is `image_generation.partial_image` and `image_generation.completed` events.
    """
    body = written_body(await http.body(), ImageCreate, "a model and a prompt")
    runs = await _started(services, http, body, DEFAULT_TEMPLATE, [], key(idempotency_key))
    return await _answered(services, http, body, runs, "image_generation")


@router.post("/edits", responses=answers(400, 404, 409, 413), openapi_extra=EDIT)
async def edit(services: ServicesDep, http: Request, idempotency_key: IdempotencyKey = None) -> Response:
    """Change pictures, as OpenAI's `images.edit`: a form with files, or JSON with URLs or uploads' ids.

    `model` is a template that takes a picture, by default `inpaint` with a mask and `img2img` without. The mask is
    where to paint: where it is transparent, or white if nothing of it is.
    """
    field = "image" if is_form(http.headers.get("content-type", "")) else "images"
    count = 0
    try:
        body = await _edit_body(services, http)
        count = len(body.images)
        references = [{"source": each.source} for each in body.images]
        if body.mask is not None:
            references.append({"source": (await _mask(services, http, body.mask)).id, "parameter": "mask"})
        name = "img2img" if body.mask is None else "inpaint"
        runs = await _started(services, http, body, name, references, key(idempotency_key))
    except InvalidRequest as error:
        raise InvalidRequest(*(as_sent(each, field, count) for each in error.problems)) from error
    return await _answered(services, http, body, runs, "image_edit")


async def _started(
    services: Services,
    http: Request,
    body: ImageCreate,
    default: str,
    references: list[dict[str, str]],
    idempotency_key: str | None,
) -> Runs:
    catalogue, name = services.authoring.catalogue, body.model or default
    known = await catalogue.find(name)
    if known is None:
        raise UnknownModel(name, catalogue.names())
    if not known.template.may_make_pictures:
        raise InvalidRequest(Problem("/model", "makes no pictures; run it with POST /api/generate"))
    timeout_s = services.settings.images_timeout_s
    requests = requests_of(
        body,
        known.template,
        name=name,
        references=references,
        deadline_s=timeout_s,
        idempotency_key=idempotency_key,
        own_host=http.headers.get("host"),
    )
    return await Runs.started(services, requests, timeout_s)


async def _answered(services: Services, http: Request, body: ImageCreate, runs: Runs, kind: str) -> Response:
    wish = Wish.of(body, f"{http.url.scheme}://{http.url.netloc}")
    if body.stream:
        return ImageStream(runs, wish.as_base64(), kind, body.partial_images or 0)
    records = await runs.ended(http)
    first = records[0].images[0]
    made = ImagesMade(
        created=int(time.time()),
        data=await pictures_of(services, records, wish),
        background=wish.background if wish.background != "auto" else None,
        output_format=wish.format_of(first),
        quality=wish.quality if wish.quality != "auto" else None,
        size=f"{first.width}x{first.height}",
    )
    content = await asyncio.to_thread(made.model_dump_json, exclude_none=True)
    return Response(content, headers={"X-Request-Id": runs.ids[0]}, media_type="application/json")


async def _edit_body(services: Services, http: Request) -> ImageEdit:
    content_type = http.headers.get("content-type", "")
    hint = "a prompt and images"
    async with aclosing(arriving(http)) as body:
        if not is_form(content_type):
            return written_body(await whole(body, services.settings.max_body_bytes), ImageEdit, hint)
        fields = await _form_fields(services, content_type, body)
    return written_body(msgspec.json.encode(fields), ImageEdit, hint)


async def _form_fields(services: Services, content_type: str, body: AsyncGenerator[bytes, None]) -> dict[str, Any]:
    """The fields of a form as JSON would have them; its files become uploads on the way."""
    fields: dict[str, Any] = {}
    images: list[dict[str, str]] = []
    async with aclosing(form_parts(content_type, body)) as parts:
        async for part in parts:
            match part.field:
                case "image" | "image[]":
                    images.append({"file_id": (await _kept(services, part, pointer("image", len(images)))).id})
                case "mask" if "mask" not in fields:
                    fields["mask"] = {"file_id": (await _kept(services, part, "/mask")).id}
                case _:
                    _put(fields, part.field, await text_of(part))
    return {**fields, "images": images} if images else fields


async def _kept(services: Services, part: FormPart, place: str) -> Upload:
    async with aclosing(part.chunks) as chunks:
        try:
            return await services.uploads.keep(chunks, part.filename)
        except (UnsupportedMedia, UnusableFile) as error:
            raise located(error, place) from error


def _put(fields: dict[str, Any], name: str, text: str) -> None:
    """An empty field is one that was not filled in, but for the prompt, which is missing then."""
    if name in _OF_JSON:
        raise InvalidRequest(Problem(pointer(name), f"is no field of a form; send {_OF_JSON[name]} instead"))
    if (nested := _NESTED.fullmatch(name)) is not None:
        fields, name = fields.setdefault(nested[1], {}), nested[2]
    if name in fields:
        raise InvalidRequest(Problem(pointer(name), "is given twice; send it once"))
    if text or name == "prompt":
        fields[name] = text


async def _mask(services: Services, http: Request, mask: ImageSource) -> Upload:
    """The mask in this service's own terms, as a further upload; itself where it is that already."""
    try:
        return await _painted(services, await services.uploads.from_source(mask.source, http.headers.get("host")))
    except (BadSource, UnusableFile) as error:
        raise located(error, "/mask") from error


async def _painted(services: Services, upload: Upload) -> Upload:
    try:
        async with services.uploads.file(upload).local() as path:
            painted = await asyncio.to_thread(painted_mask, path)
    except PictureError as error:
        raise UnusableFile("The mask is no picture that can be read; send a PNG.") from error
    if painted is None:
        return upload
    return await services.uploads.keep(_once(painted), upload.filename)


async def _once(content: bytes) -> AsyncGenerator[bytes, None]:
    yield content
