"""The files a generation made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from fastapi import Path as PathParameter
from starlette.responses import Response

from app.api.caching import unless_known
from app.api.dependencies import GenerationId, Services, ServicesDep
from app.api.files import FileAnswer, converted, parse_conversion
from app.api.openapi import FILE, errors, readable
from app.errors import InvalidRequest, Problem
from app.pictures import Conversion
from app.records import Output, OutputKind
from app.storage import StoredOutput

router = APIRouter(prefix="/api/generations/{generation_id}", tags=["outputs"])

FORMAT = (
    "`webp`, `jpeg` or `png`: convert. A video gives its poster frame. An animated picture stays animated as `webp` "
    "without `width`; otherwise it gives its first frame"
)

Index = Annotated[int, PathParameter(ge=0, le=1_000_000)]


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a file the caller wants, and how."""

    conversion: Conversion | None
    is_download: bool
    if_none_match: str | None


async def asked(
    picture_format: Annotated[str | None, Query(alias="format", description=FORMAT)] = None,
    quality: Annotated[str | None, Query(description="1..100, for `webp` and `jpeg`")] = None,
    width: Annotated[str | None, Query(description="pixels at most; never enlarges")] = None,
    download: Annotated[bool, Query(description="ask the browser to save the file")] = False,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Asked:
    """The query and the headers of every file's route."""
    wishes = {"format": picture_format, "quality": quality, "width": width}
    conversion = parse_conversion({name: value for name, value in wishes.items() if value is not None})
    return Asked(conversion, download, if_none_match)


AskedDep = Annotated[Asked, Depends(asked)]


@readable(router, "/images/{index}", responses={**FILE, **errors(404, 410, 422)})
async def image(generation_id: GenerationId, index: Index, services: ServicesDep, asked: AskedDep) -> Response:
    """One image by its place in `images[]`. Strong ETag, ranges, conversion; never changes, so cache it for ever."""
    stored = await services.generations.output(generation_id, index, only_images=True)
    return await output_answer(stored, services, asked)


@readable(router, "/outputs/{index}", responses={**FILE, **errors(404, 410, 422)})
async def output(generation_id: GenerationId, index: Index, services: ServicesDep, asked: AskedDep) -> Response:
    """Any output by its place in `outputs[]`: image, video, audio, text, 3D or other file."""
    stored = await services.generations.output(generation_id, index, only_images=False)
    return await output_answer(stored, services, asked)


async def output_answer(stored: StoredOutput, services: Services, asked: Asked) -> Response:
    """The file, a part of it, or its picture in another form; a text that is no file as it is."""
    output, is_private = stored.output, bool(services.settings.api_keys)
    if asked.conversion is not None:
        return await _converted(stored, services, asked, asked.conversion)
    if stored.file is None:
        return unless_known(_text(output, asked.is_download, is_private), asked.if_none_match)
    return FileAnswer(
        stored.file,
        tag=output.sha256,
        mime_type=output.mime_type,
        filename=output.filename,
        is_private=is_private,
        is_download=asked.is_download,
    )


async def _converted(stored: StoredOutput, services: Services, asked: Asked, conversion: Conversion) -> Response:
    """The picture, or a video's poster frame, in the form asked for."""
    output = stored.output
    picture = stored.file if output.kind is OutputKind.IMAGE else stored.poster
    if picture is None:
        what = "this video has no poster frame" if output.kind is OutputKind.VIDEO else f"this is {output.kind.value}"
        raise InvalidRequest(Problem("?format", f"only images and poster frames are converted, and {what}"))
    # A video's frame is no picture of its hash's own: another ffmpeg may take another one.
    content = output.sha256 if picture is stored.file else f"{output.sha256}-poster"
    path = await converted(services.conversions, picture, content, conversion)
    return FileAnswer(
        path,
        tag=f"{content}-{conversion.name}",
        mime_type=conversion.mime_type,
        filename=conversion.renamed(output.filename),
        is_private=bool(services.settings.api_keys),
        is_download=asked.is_download,
    )


def _text(output: Output, is_download: bool, is_private: bool) -> Response:
    """A text that is no file. It never changes either."""
    headers = {
        "ETag": f'"{output.sha256}"',
        "Cache-Control": f"{'private' if is_private else 'public'}, max-age=31536000, immutable",
        "Content-Disposition": "attachment" if is_download else "inline",
        "X-Content-Type-Options": "nosniff",
    }
    text = (output.text or "").encode("utf-8", "replace")
    return Response(text, headers=headers, media_type="text/plain; charset=utf-8")
