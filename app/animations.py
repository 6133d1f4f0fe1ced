"""Animated pictures: how many frames, how long. Reads the headers of GIF, PNG and WebP; decodes nothing. Pure.

Pillow decodes a GIF or a WebP frame by frame to tell the same.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Past any real file; a forged one is not walked for minutes.
MAX_STEPS: Final = 1_000_000

_PNG: Final = b"\x89PNG\r\n\x1a\n"
_WEBP_IS_ANIMATED: Final = 0x02
_GIF_IMAGE, _GIF_EXTENSION, _GIF_CONTROL = 0x2C, 0x21, 0xF9


class Animation(NamedTuple):
    """At least two frames; `duration_s` is that of one round, as the file has it (a player may slow down a zero)."""

    frames: int
    duration_s: float


def is_surely_still(mime_type: str, head: bytes) -> bool:
    """Whether the beginning of a picture's file proves that it has one frame. False: it may have more."""
    match mime_type:
        case "image/png":
            return next((name == b"IDAT" for name, _, _ in _png(io.BytesIO(head)) if name in {b"IDAT", b"acTL"}), False)
        case "image/webp":
            return len(head) > 20 and (head[12:16] != b"VP8X" or not head[20] & _WEBP_IS_ANIMATED)
        case "image/gif":
            return False
        case _:
            return True


def animation_of(mime_type: str, file: BinaryIO) -> Animation | None:
    """Frames and duration, or None for a still picture. A file cut off counts as far as it goes.

    `file` stands at its beginning. Raises struct.error or IndexError on a broken one.
    """
    durations = {"image/gif": _gif_durations, "image/png": _png_durations, "image/webp": _webp_durations}
    walk = durations.get(mime_type)
    found = list(walk(file)) if walk is not None else []
    return Animation(len(found), round(sum(found), 3)) if len(found) > 1 else None


def _png(file: BinaryIO) -> Iterator[tuple[bytes, int, BinaryIO]]:
    """(name, length, file at the content) of each chunk."""
    place = len(_PNG)
    for _ in range(MAX_STEPS):
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            return
        length, name = struct.unpack(">I4s", header)
        yield name, length, file
        place += length + 12


def _png_durations(file: BinaryIO) -> Iterator[float]:
    for name, _, content in _png(file):
        if name == b"fcTL":
            numerator, denominator = struct.unpack(">20xHH2x", content.read(26))
            yield numerator / (denominator or 100)
        elif name == b"IEND":
            return


def _webp_durations(file: BinaryIO) -> Iterator[float]:
    place = 12
    for _ in range(MAX_STEPS):
        file.seek(place)
        header = file.read(24)
        if len(header) < 8:
            return
        name, length = struct.unpack_from("<4sI", header)
        if name == b"ANMF" and len(header) == 24:
            yield int.from_bytes(header[20:23], "little") / 1000
        place += 8 + length + length % 2


def _gif_durations(file: BinaryIO) -> Iterator[float]:
    """Each image has the delay of the control block before it."""
    flags = file.read(13)[10]
    file.seek(_gif_colors(flags), io.SEEK_CUR)
    delay_s = 0.0
    for _ in range(MAX_STEPS):
        kind = file.read(1)
        if kind == bytes([_GIF_IMAGE]):
            yield delay_s
            file.seek(_gif_colors(file.read(9)[8]) + 1, io.SEEK_CUR)
            _skip_gif_blocks(file)
        elif kind == bytes([_GIF_EXTENSION]):
            if file.read(1) == bytes([_GIF_CONTROL]):
                delay_s = struct.unpack("<2xHx", file.read(5))[0] / 100
            _skip_gif_blocks(file)
        else:
            return


def _gif_colors(flags: int) -> int:
    """Bytes of the color table that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_gif_blocks(file: BinaryIO) -> None:
    for _ in range(MAX_STEPS):
        size = file.read(1)
        if size in {b"", b"\x00"}:
            return
        file.seek(size[0], io.SEEK_CUR)
