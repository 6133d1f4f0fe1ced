"""Files as HTTP answers. Owns ranges, ETags, caching and disposition; never knows which file belongs to whom.

Not starlette's FileResponse: it has no `If-None-Match`, answers a malformed or multiple Range with 400 or multipart,
and fails with RuntimeError (500) when the file is gone.
"""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response

from app.api.ranges import RangeUnsatisfiable, Span, parse_range
from app.conversions import ConversionsBusy
from app.errors import InvalidRequest, OutputGone, Problem, Unavailable
from app.local_storage import open_part
from app.pictures import DEFAULT_QUALITY, Conversion, PictureFormat, PictureGone, PictureTooLarge, UnreadablePicture
from app.storage import CHUNK_BYTES, FileGone, StorageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from app.conversions import Conversions
    from app.storage import Choose, Reading, StoredFile

log = logging.getLogger(__name__)

__all__ = ["CHUNK_BYTES", "FileAnswer", "converted", "parse_conversion"]

# A reader slower than 9 KB/s for a whole chunk counts as gone; it would hold a file and a socket for ever.
CHUNK_TIMEOUT_S: Final = 120.0
MAX_WIDTH: Final = 8192

# Types a browser may show in place. Everything else is downloaded, above all what could run code (HTML, SVG, XML, JS).
_SHOWN: Final = frozenset(
    {"text/plain", "text/csv", "text/markdown", "text/vtt", "application/json", "application/x-subrip"}
)
_MEDIA: Final = ("image/", "video/", "audio/")
_SVG: Final = "image/svg+xml"

_ETAGS: Final = re.compile(r'(?:W/)?("[^"]*")')
# Controls, path separators, writing-direction overrides (which disguise an extension) and lone surrogates.
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f/\\\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class FileAnswer(Response):
    """A stored file: strong ETag, one range, 304, HEAD, cached for ever. Raises OutputGone before the first byte.

    `tag` names the content and becomes the ETag: the SHA-256 of the file, or of its source plus the conversion.
    `is_private` keeps shared caches out, for a service with keys. `is_download` asks the browser to save the file,
    which it is always asked for types that can run code.
    """

    def __init__(
        self,
        source: Path | StoredFile,
        *,
        tag: str,
        mime_type: str,
        filename: str,
        is_private: bool = False,
        is_download: bool = False,
    ) -> None:
        self.source = source
        self.etag = f'"{tag}"'
        self.status_code = 200
        self.background = None
        self.body = b""
        essence = mime_type.partition(";")[0].strip().lower()
        disposition = "inline" if _is_shown(essence) and not is_download else "attachment"
        headers = {
            "content-type": mime_type,
            "etag": self.etag,
            "cache-control": f"{'private' if is_private else 'public'}, max-age=31536000, immutable",
            "accept-ranges": "bytes",
            "content-disposition": f"{disposition}; {_filename_parameters(filename)}",
            "x-content-type-options": "nosniff",
        }
        if not _is_media(essence):
            headers["content-security-policy"] = "default-src 'none'; sandbox"
        self.raw_headers = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Headers(scope=scope)
        if _is_known(asked.getlist("if-none-match"), self.etag):
            await self._send_not_modified(send)
        else:
            await self._send_file(asked, scope["method"] == "HEAD", receive, send)

    async def _send_file(self, asked: Headers, is_head: bool, receive: Receive, send: Send) -> None:
        # RFC 9110 14.2: a range means something for GET only. If-Range: without an exact match the whole file goes out.
        is_ranged = not is_head and asked.get("if-range", self.etag) == self.etag
        choice = _Choice(asked.get("range") if is_ranged else None, is_head)
        reading = await _opened(self.source, choice)
        try:
            if choice.span is None:
                await self._send_unsatisfiable(send, reading.size)
                return
            await self._send_head(send, choice.span, reading.size)
            if is_head:
                await send({"type": "http.response.body", "body": b""})
            else:
                await _send_body(reading, choice.span.length, receive, send)
        finally:
            await reading.aclose()

    async def _send_head(self, send: Send, span: Span, size: int) -> None:
        headers = MutableHeaders(raw=list(self.raw_headers))
        headers["content-length"] = str(span.length)
        if span.is_part:
            headers["content-range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        status = 206 if span.is_part else self.status_code
        await send({"type": "http.response.start", "status": status, "headers": headers.raw})

    async def _send_not_modified(self, send: Send) -> None:
        kept = [header for header in self.raw_headers if header[0] in (b"etag", b"cache-control")]
        await send({"type": "http.response.start", "status": 304, "headers": kept})
        await send({"type": "http.response.body", "body": b""})

    async def _send_unsatisfiable(self, send: Send, size: int) -> None:
        detail = f"The file has {size} bytes; ask for a range within them."
        problem = {"title": "Range not satisfiable", "status": 416, "detail": detail, "code": "range_not_satisfiable"}
        body = msgspec.json.encode({"type": "urn:comfy-relay:problem:range_not_satisfiable", **problem})
        headers = {
            "content-type": "application/problem+json",
            "content-length": str(len(body)),
            "content-range": f"bytes */{size}",
            "cache-control": "no-store",
        }
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 416, "headers": raw})
        await send({"type": "http.response.body", "body": body})


def parse_conversion(query: Mapping[str, str]) -> Conversion | None:
    """What `format`, `quality` and `width` ask for; None when none of them is there. Without a format: WebP.

    Raises InvalidRequest naming every bad one.
    """
    if not query.keys() & {"format", "quality", "width"}:
        return None
    problems: list[Problem] = []
    picture_format = _format(query, problems)
    quality = _number(query, "quality", 100, problems)
    width = _number(query, "width", MAX_WIDTH, problems)
    if problems:
        raise InvalidRequest(*problems)
    return Conversion(picture_format, quality or DEFAULT_QUALITY, width)


async def converted(conversions: Conversions, source: Path | StoredFile, sha256: str, conversion: Conversion) -> Path:
    """The converted file, made if need be, with every failure as an error fit for the caller."""
    try:
        return await conversions.converted(source if isinstance(source, Path) else source.local, sha256, conversion)
    except (UnreadablePicture, PictureTooLarge) as exc:
        raise InvalidRequest(Problem("?format", f"{exc}; leave out format, quality and width")) from exc
    except (PictureGone, FileGone) as exc:
        raise _gone() from exc
    except ConversionsBusy as exc:
        raise Unavailable("conversion of pictures") from exc
    except StorageError as exc:
        raise Unavailable("storage") from exc


class _Choice:
    """Chooses the part to read once the size is known, and remembers it: `span` is None when it cannot be had."""

    def __init__(self, range_header: str | None, is_head: bool) -> None:
        self._range_header, self._is_head = range_header, is_head
        self.span: Span | None = None

    def __call__(self, size: int) -> tuple[int, int]:
        try:
            self.span = parse_range(self._range_header, size)
        except RangeUnsatisfiable:
            self.span = None
        return (0, 0) if self.span is None or self._is_head else (self.span.start, self.span.stop)


async def _opened(source: Path | StoredFile, choose: Choose) -> Reading:
    try:
        return await (open_part(source, choose) if isinstance(source, Path) else source.open(choose))
    except FileGone as exc:
        raise _gone() from exc
    except StorageError as exc:
        raise Unavailable("storage") from exc


async def _send_body(reading: Reading, length: int, receive: Receive, send: Send) -> None:
    left = length - len(reading.first)
    if not await _is_sent(send, reading.first, is_last=left == 0) or left == 0:
        return
    async with asyncio.TaskGroup() as group:
        # uvicorn drops what is sent to a closed connection without a word; nobody needs a film read to its end then.
        gone = group.create_task(_disconnected(receive))
        while left > 0 and not gone.done():
            chunk = await _next(reading)
            left -= len(chunk)
            if not chunk or not await _is_sent(send, chunk, is_last=left == 0):
                break
        gone.cancel()


async def _next(reading: Reading) -> bytes:
    """The next piece. After the first byte an error is no answer any more: the connection ends too early instead."""
    try:
        return await reading.read()
    except StorageError as exc:
        log.warning("a file broke off", extra={"action": "serve", "cause": type(exc).__name__})
        return b""


async def _is_sent(send: Send, chunk: bytes, *, is_last: bool) -> bool:
    """Whether the reader took it; one that left, or takes for ever, is no error of ours."""
    try:
        async with asyncio.timeout(CHUNK_TIMEOUT_S):
            await send({"type": "http.response.body", "body": chunk, "more_body": not is_last})
    except OSError:  # TimeoutError is one
        return False
    return True


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _gone() -> OutputGone:
    return OutputGone("The record knows this file, but it is no longer stored. Run the generation again.")


def _is_known(if_none_match: list[str], etag: str) -> bool:
    """Whether the caller holds this very content: weak comparison (RFC 9110 13.1.2)."""
    if not if_none_match:
        return False
    listed = ",".join(if_none_match)
    return listed.strip() == "*" or etag in _ETAGS.findall(listed)


def _is_media(essence: str) -> bool:
    return essence.startswith(_MEDIA) and essence != _SVG


def _is_shown(essence: str) -> bool:
    return _is_media(essence) or essence in _SHOWN


def _filename_parameters(filename: str) -> str:
    """RFC 6266: a plain name for old readers, the true one in UTF-8 where the two differ."""
    name = _UNFIT.sub("_", filename) or "file"
    plain = name.encode("ascii", "replace").decode().replace("?", "_").replace('"', "_").replace("%", "_")
    extended = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'filename="{plain}"{extended}'


def _format(query: Mapping[str, str], problems: list[Problem]) -> PictureFormat:
    asked = PictureFormat.__members__.get(query.get("format", "webp").upper())
    if asked is None:
        problems.append(Problem("?format", f"must be one of {', '.join(PictureFormat)}"))
    return asked or PictureFormat.WEBP


def _number(query: Mapping[str, str], name: str, maximum: int, problems: list[Problem]) -> int | None:
    asked = query.get(name)
    if asked is None:
        return None
    if asked.isascii() and asked.isdigit() and len(asked) <= 6 and 1 <= int(asked) <= maximum:
        return int(asked)
    problems.append(Problem(f"?{name}", f"must be a whole number from 1 to {maximum}"))
    return None
