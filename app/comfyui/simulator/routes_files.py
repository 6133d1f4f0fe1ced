"""Routes that serve and take files (COMFYUI_PROTOCOL sections 2.6 and 2.7).

Stateless. Sends whole files from memory: the simulator's are small.
"""

from __future__ import annotations

import asyncio
import io
import json
import mimetypes
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from PIL import Image
from starlette.datastructures import FormData, UploadFile
from starlette.responses import Response

from app.comfyui.simulator.folders import KINDS, Outside, split_annotation
from app.comfyui.simulator.web import Call, Routes, answer, empty

if TYPE_CHECKING:
    from collections.abc import Mapping

_AS_BYTES = ("text/html", "text/css", "text/javascript", "application/xhtml+xml")
"""ComfyUI serves what a browser might run as application/octet-stream."""
_TYPES = {
    ".js": "application/javascript",
    ".webp": "image/webp",
    ".wav": "audio/x-wav",
    ".latent": "application/octet-stream",
}


async def get_view(call: Call) -> Response:
    """A file of one of the three folders, whole, in part, or as another picture."""
    await call.server.pause(call.server.faults.slow_view_s)
    query = call.request.query_params
    if "filename" not in query or call.server.faults.vanished_outputs:
        return empty(404)
    name, kind = split_annotation(query["filename"], query.get("type", "output"))
    if not name or name.startswith("/") or ".." in name or kind not in KINDS:
        return empty(400)
    try:
        folder = call.server.folders.subfolder(kind, query.get("subfolder", ""))
    except Outside:
        return empty(403)
    path = folder / PurePosixPath(name).name
    if not path.is_file():
        return empty(404)
    if "preview" in query:
        return await asyncio.to_thread(_preview, path, query["preview"], query.get("channel", ""))
    if query.get("channel") in ("rgb", "a"):
        return await asyncio.to_thread(_channel, path, query["channel"])
    return _file(path, call.request.headers)


def _preview(path: Path, wanted: str, channel: str) -> Response:
    """Encoded anew in full size; a format of another name means webp."""
    kind, _, quality = wanted.partition(";")
    if kind not in ("webp", "jpeg") or (channel == "a" and kind == "jpeg"):
        kind = "webp"
    with Image.open(path) as picture:
        mode = "RGB" if kind == "jpeg" or channel == "rgb" else picture.mode
        out = io.BytesIO()
        picture.convert(mode).save(out, kind, quality=int(quality) if quality.isdigit() else 90)
    return _picture(out, f"image/{kind}", path)


def _channel(path: Path, channel: str) -> Response:
    """A PNG without metadata: the colours, or the alpha channel as a mask."""
    with Image.open(path) as picture:
        whole = picture.convert("RGBA")
    shown = whole.convert("RGB")
    if channel == "a":
        shown = Image.new("RGBA", whole.size)
        shown.putalpha(whole.getchannel("A"))
    out = io.BytesIO()
    shown.save(out, "PNG")
    return _picture(out, "image/png", path)


def _picture(encoded: io.BytesIO, media_type: str, path: Path) -> Response:
    return Response(encoded.getvalue(), media_type=media_type, headers=_disposition(path))


def _disposition(path: Path) -> dict[str, str]:
    quoted = path.name.replace("\\", "\\\\").replace('"', '\\"').encode("utf-8").decode("latin-1")
    return {"Content-Disposition": f'filename="{quoted}"'}


def _file(path: Path, asked: Mapping[str, str]) -> Response:
    stat = path.stat()
    media_type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    media_type = "application/octet-stream" if media_type in _AS_BYTES else media_type
    headers = _disposition(path) | {
        "Content-Type": media_type,
        "ETag": f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"',
        "Last-Modified": formatdate(int(stat.st_mtime), usegmt=True),
    }
    if _is_unchanged(asked, headers["ETag"], int(stat.st_mtime)):
        return Response(status_code=304, headers=headers)
    headers["Accept-Ranges"] = "bytes"
    part = _Range.of(asked.get("range"), stat.st_size)
    if part is None:
        return Response(path.read_bytes(), headers=headers)
    if not part.is_satisfiable:
        del headers["ETag"], headers["Last-Modified"], headers["Accept-Ranges"]
        return Response(status_code=416, headers=headers | {"Content-Range": f"bytes */{stat.st_size}"})
    headers["Content-Range"] = f"bytes {part.first}-{part.last}/{stat.st_size}"
    return Response(path.read_bytes()[part.first : part.last + 1], 206, headers)


def _is_unchanged(asked: Mapping[str, str], etag: str, modified_s: int) -> bool:
    if "if-none-match" in asked:
        return etag in [tag.strip() for tag in asked["if-none-match"].split(",")]
    if "if-modified-since" in asked:
        return parsedate_to_datetime(asked["if-modified-since"]).timestamp() >= modified_s
    return False


@dataclass(frozen=True, slots=True)
class _Range:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int
    size: int

    @classmethod
    def of(cls, header: str | None, size: int) -> _Range | None:
        """A single range, as `bytes=0-99`, `bytes=5-` or `bytes=-50`."""
        if header is None or not header.startswith("bytes="):
            return None
        start, _, end = header.removeprefix("bytes=").partition("-")
        if not start:
            return cls(max(0, size - int(end)), size - 1, size)
        return cls(int(start), min(int(end) if end else size - 1, size - 1), size)

    @property
    def is_satisfiable(self) -> bool:
        return self.first < self.size and self.first <= self.last


async def post_image(call: Call) -> Response:
    """Keep an uploaded file. The answer says under which name."""
    return await _upload(call)


async def post_mask(call: Call) -> Response:
    """Keep the picture named by `original_ref` with the uploaded picture's alpha channel."""
    return await _upload(call, is_mask=True)


async def _upload(call: Call, *, is_mask: bool = False) -> Response:
    await call.body()
    async with call.request.form() as form:
        original = json.loads(_text(form, "original_ref") or "") if is_mask else None
        return await _keep(call, form, original)


async def _keep(call: Call, form: FormData, original: Any) -> Response:
    upload = form.get("image")
    if upload is None:
        return empty(400)
    if not isinstance(upload, UploadFile) or not upload.filename:
        raise TypeError("the field image is no file")
    kind, subfolder = _text(form, "type") or "input", _text(form, "subfolder") or ""
    try:
        path = call.server.folders.subfolder(kind, f"{subfolder}/{upload.filename}" if subfolder else upload.filename)
    except Outside:
        return empty(400)
    call.server.folders.subfolder(kind, subfolder).mkdir(parents=True, exist_ok=True)
    content = await upload.read()
    if original is not None:
        await asyncio.to_thread(_write_masked, call, path, original, content)
    elif _text(form, "overwrite") in ("true", "1"):
        path.write_bytes(content)
    else:
        path = _write_beside(path, content)
    name = str(PurePosixPath(upload.filename).parent / path.name)
    return answer({"name": name, "subfolder": subfolder, "type": kind})


def _write_beside(path: Path, content: bytes) -> Path:
    """Write under this name, or `name (1)` and so on while other content is there; the same content is left alone."""
    stem, number = path.stem, 1
    while path.exists():
        if path.read_bytes() == content:
            return path
        path = path.with_name(f"{stem} ({number}){path.suffix}")
        number += 1
    path.write_bytes(content)
    return path


def _write_masked(call: Call, path: Path, original: Any, mask: bytes) -> None:
    """Write nothing at all if the original is refused or missing: ComfyUI answers 200 all the same."""
    name = original["filename"]
    if name.startswith("/") or ".." in name:
        return
    source = call.server.folders.subfolder(original.get("type", "output"), original.get("subfolder", "")) / name
    if not source.is_file():
        return
    with Image.open(source) as picture, Image.open(io.BytesIO(mask)) as alpha:
        masked = picture.convert("RGBA")
        masked.putalpha(alpha.convert("RGBA").getchannel("A"))
    masked.save(path, compress_level=4)


def _text(form: FormData, name: str) -> str | None:
    value = form.get(name)
    return value if isinstance(value, str) else None


ROUTES: Routes = {
    "/view": {"GET": get_view},
    "/upload/image": {"POST": post_image},
    "/upload/mask": {"POST": post_mask},
}
