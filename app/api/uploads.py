"""Files that callers send, to be used as input."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from fastapi import Path as PathParameter
from starlette.responses import Response

from app.api.dependencies import Services, ServicesDep
from app.api.files import FileAnswer, converted
from app.api.forms import file_part, is_form
from app.api.openapi import FILE, errors, readable
from app.api.outputs import Asked, AskedDep
from app.api.schemas import UUID
from app.api.upload_schemas import UploadRead
from app.errors import InvalidRequest, MalformedBody, Problem
from app.records import OutputKind
from app.storage import StoredFile
from app.uploads import Upload

router = APIRouter(prefix="/api/uploads", tags=["uploads"])

FIELD: Final = "file"
PATIENCE_S: Final = 60.0
"""How long the next bytes of a body may take; a caller that has gone without a word would hold a file for ever."""

UploadId = Annotated[str, PathParameter(pattern=UUID, description="an upload's id")]

_BINARY: Final[dict[str, Any]] = {"type": "string", "format": "binary"}
_FORM: Final[dict[str, Any]] = {"type": "object", "properties": {FIELD: _BINARY}, "required": [FIELD]}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {"multipart/form-data": {"schema": _FORM}, "*/*": {"schema": _BINARY}},
    }
}


@router.post(
    "",
    status_code=201,
    responses={201: {"model": UploadRead}, **errors(400, 413, 415, 422)},
    openapi_extra=_BODY,
)
async def create(
    services: ServicesDep,
    request: Request,
    filename: Annotated[str | None, Query(description="the name of a file sent as the body itself")] = None,
) -> Response:
    """Take in a picture, a video or a sound: a form with the field `file`, or the file itself as the body.

    Its content decides what it is, whatever its name and `Content-Type` say. The same content sent again is the same
    upload, under the name it had first.
    """
    upload = await _kept(services, request, filename)
    headers = {"Location": f"/api/uploads/{upload.id}"}
    return _shown(upload, services, 201, headers)


@readable(router, "/{upload_id}", responses={200: {"model": UploadRead}, **errors(404, 422)})
async def read(upload_id: UploadId, services: ServicesDep) -> Response:
    """What is known of an upload."""
    return _shown(await services.uploads.get(upload_id), services, 200, {})


@readable(router, "/{upload_id}/content", responses={**FILE, **errors(404, 410, 422)})
async def content(upload_id: UploadId, services: ServicesDep, asked: AskedDep) -> Response:
    """The file. Strong ETag, ranges, conversion of pictures; never changes, so cache it for ever."""
    return await upload_answer(await services.uploads.get(upload_id), services, asked)


async def upload_answer(upload: Upload, services: Services, asked: Asked) -> Response:
    """The file, a part of it, or the picture in another form."""
    conversion = asked.conversion
    source: Path | StoredFile = services.uploads.file(upload)
    tag, mime_type, filename = upload.sha256, upload.mime_type, upload.filename
    if conversion is not None:
        if upload.kind is not OutputKind.IMAGE:
            raise InvalidRequest(Problem("?format", f"only images are converted, and this is {upload.kind.value}"))
        source = await converted(services.conversions, source, tag, conversion)
        tag, mime_type = f"{tag}-{conversion.name}", conversion.mime_type
        filename = conversion.renamed(filename)
    is_private = bool(services.settings.api_keys)
    return FileAnswer(
        source, tag=tag, mime_type=mime_type, filename=filename, is_private=is_private, is_download=asked.is_download
    )


async def _kept(services: Services, request: Request, filename: str | None) -> Upload:
    content_type = request.headers.get("content-type", "")
    async with aclosing(arriving(request)) as body:
        if not is_form(content_type):
            return await services.uploads.keep(body, filename)
        part = await file_part(content_type, body, FIELD)
        async with aclosing(part.chunks):
            return await services.uploads.keep(part.chunks, part.filename)


async def arriving(request: Request) -> AsyncGenerator[bytes, None]:
    """The body as it comes; MalformedBody when it stops coming."""
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(PATIENCE_S):
                chunk = await anext(stream, None)
        except TimeoutError as error:
            raise MalformedBody(f"Nothing came of the body for {PATIENCE_S:g} s; send it again.") from error
        if chunk is None:
            return
        if chunk:
            yield chunk


def _shown(upload: Upload, services: Services, status: int, headers: dict[str, str]) -> Response:
    body = UploadRead.of(upload, services.links).model_dump_json(by_alias=True)
    return Response(body, status, headers, media_type="application/json")
