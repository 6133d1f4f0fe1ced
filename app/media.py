"""What a file's headers say of it: pixels, frames, seconds. Owns the limits on looking; decodes and keeps nothing.

Believes no file: whatever one says, little of it is read, nothing is raised, and what cannot be is left out.
"""

from __future__ import annotations

import io
import math
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final, NamedTuple, cast

from tinytag import TinyTag, TinyTagException

from app.animations import animation_of, is_surely_still
from app.containers import Shape, avi_shape, matroska_shape, mp4_shape
from app.pictures import dimensions
from app.records import OutputKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.filetypes import FileType

# A megabyte tells everything of every real file; an animation's headers are spread over the whole of it.
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_READS: Final = 200_000
MAX_DURATION_S: Final = 10_000_000.0
MAX_SIDE: Final = 1_000_000

# What the readers, Pillow and tinytag raise on bytes that are no such file, found by feeding them broken ones.
_BROKEN: Final = (
    *(OSError, ValueError, EOFError, ArithmeticError, LookupError, TypeError, AttributeError),
    *(struct.error, SyntaxError, MemoryError, RecursionError, TinyTagException),
)


class Facts(NamedTuple):
    """None for what the file does not tell or does not have. `frames` and a picture's duration: animations only."""

    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    frames: int | None = None


def facts_of_head(found: FileType, head: bytes) -> Facts | None:
    """All there is to know, where the file's beginning tells it; None where the file must be looked into."""
    if found.kind not in {OutputKind.IMAGE, OutputKind.VIDEO, OutputKind.AUDIO}:
        return Facts()
    if found.kind is not OutputKind.IMAGE or not is_surely_still(found.mime_type, head):
        return None
    size = dimensions(head)
    return Facts(*size) if size is not None else None


def facts_of(found: FileType, file: BinaryIO) -> Facts:
    """What the file tells. Reads at most MAX_BYTES of it; raises nothing; for worker threads."""
    limited = cast("BinaryIO", _LimitedFile(file))
    match found.kind:
        case OutputKind.IMAGE:
            return _picture(found.mime_type, limited)
        case OutputKind.VIDEO | OutputKind.AUDIO:
            return _recording(found.mime_type, limited)
        case _:
            return Facts()


def _picture(mime_type: str, file: BinaryIO) -> Facts:
    width, height = _tried(lambda: dimensions(file)) or (None, None)
    file.seek(0)
    moving = _tried(lambda: animation_of(mime_type, file))
    if moving is None:
        return Facts(width, height)
    return Facts(width, height, _seconds(moving.duration_s), moving.frames)


def _recording(mime_type: str, file: BinaryIO) -> Facts:
    read = _READERS.get(mime_type)
    shape = _tried(lambda: read(file)) if read is not None else None
    return _believed(shape or Shape())


def _believed(shape: Shape) -> Facts:
    width, height = shape.width, shape.height
    if not (width and height and max(width, height) <= MAX_SIDE):
        width = height = None
    return Facts(width, height, _seconds(shape.duration_s))


def _audio_shape(file: BinaryIO) -> Shape:
    file.seek(0)
    return Shape(duration_s=TinyTag.get(file_obj=file, tags=False).duration)


_READERS: Final[dict[str, Callable[[BinaryIO], Shape]]] = {
    "video/mp4": mp4_shape,
    "video/quicktime": mp4_shape,
    "audio/mp4": mp4_shape,
    "video/webm": matroska_shape,
    "audio/webm": matroska_shape,
    "video/x-matroska": matroska_shape,
    "audio/x-matroska": matroska_shape,
    "video/x-msvideo": avi_shape,
    **dict.fromkeys(("audio/mpeg", "audio/flac", "audio/ogg", "audio/wav", "audio/aiff"), _audio_shape),
}


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except _BROKEN:
        return None


def _seconds(value: float | None) -> float | None:
    if value is None or not math.isfinite(value) or not 0 < value <= MAX_DURATION_S:
        return None
    return round(value, 3) or None  # Less than half a millisecond is nothing.


class _TooMuch(OSError):
    """The reader wants more of the file than telling its length can need."""


class _LimitedFile:
    """A file that hands out so much and no more."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._bytes_left, self._reads_left = file, MAX_BYTES, MAX_READS

    def read(self, size: int = -1) -> bytes:
        wanted = self._bytes_left if size < 0 else size
        if wanted > self._bytes_left or not self._reads_left:
            raise _TooMuch
        self._reads_left -= 1
        content = self._file.read(wanted)
        self._bytes_left -= len(content)
        return content

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
