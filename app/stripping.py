"""Takes metadata out of PNG, JPEG and WebP files while they pass, without touching a pixel. Pure.

Taken out: PNG's texts, EXIF, times and private chunks (ComfyUI writes the whole workflow there), and what follows its
end; JPEG's EXIF, XMP, IPTC and comments; WebP's EXIF and XMP. What decides how the picture looks stays: colour
profiles, transparency, animation, and of EXIF the orientation. Other formats, videos among them, pass as they are.

A few KB of memory, whatever the file. A chunk of WebP is not removed but made empty: the file's size is written at its
beginning, which is gone when the chunk comes.
"""

from __future__ import annotations

import re
import struct
import sys
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Generator

_SIGNATURE_BYTES: Final = 12
_ALL: Final = sys.maxsize

# Ancillary chunks that say how the picture looks; critical ones begin with a capital and always stay.
_PNG_KEPT: Final = frozenset(
    {
        *(b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"sBIT", b"cICP", b"mDCV", b"cLLI", b"bKGD", b"tRNS", b"hIST", b"sPLT"),
        *(b"pHYs", b"acTL", b"fcTL", b"fdAT"),
    }
)
_PNG_NAME: Final = re.compile(rb"[A-Za-z]{4}")

_APP0, _APP1, _APP2, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEE, 0xEF, 0xFE
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_WITHOUT_LENGTH: Final = frozenset({0x01, *range(0xD0, 0xD9)})
# Inside a scan 0xFF is followed by 0x00, a restart marker or another 0xFF; anything else ends it.
_JPEG_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_EXIF: Final = b"Exif\x00\x00"
_ICC: Final = b"ICC_PROFILE\x00"
_ORIENTATION: Final = 0x0112

_WEBP_METADATA: Final = frozenset({b"EXIF", b"XMP "})
_WEBP_HAS_METADATA: Final = 0x08 | 0x04


class _Act(Enum):
    """What happens to the bytes that come next."""

    READ = auto()
    PASS = auto()
    DROP = auto()
    BLANK = auto()
    EMIT = auto()
    PASS_SCAN = auto()


_Walk: TypeAlias = "Generator[tuple[_Act, int | bytes], bytes, None]"
"""Walks through a format: asks for bytes (READ, which answers fewer at the end of the file) and says what becomes of
the others. What comes after the walk's end is dropped."""


async def stripped(chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The same file without its metadata."""
    stripper = Stripper()
    async for chunk in chunks:
        if left := stripper.feed(chunk):
            yield left
    if left := stripper.finish():
        yield left


class Stripper:
    """Takes a file in chunks of any size and gives back what stays of it."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._is_over = False
        self._walk: _Walk | None = None
        self._act, self._left, self._text = _Act.READ, _SIGNATURE_BYTES, b""

    def feed(self, chunk: bytes) -> bytes:
        """What stays of it, and of what had to wait."""
        self._waiting += chunk
        return self._proceed()

    def finish(self) -> bytes:
        """The last bytes; call it once, after the last chunk."""
        self._is_over = True
        return self._proceed()

    def _proceed(self) -> bytes:
        if self._walk is None:
            if len(self._waiting) < _SIGNATURE_BYTES and not self._is_over:
                return b""
            self._walk = _walk_through(bytes(self._waiting[:_SIGNATURE_BYTES]))
            self._ask(None)
        out = bytearray()
        while self._is_through(out):
            self._ask(self._text)
        return bytes(out)

    def _ask(self, answer: bytes | None) -> None:
        """Take the walk one step further."""
        assert self._walk is not None  # noqa: S101 - narrows the type
        try:
            act, amount = next(self._walk) if answer is None else self._walk.send(answer)
        except StopIteration:
            act, amount = _Act.DROP, _ALL
        self._act = act
        self._left, self._text = (amount, b"") if isinstance(amount, int) else (0, amount)

    def _is_through(self, out: bytearray) -> bool:
        """Do what can be done with the bytes that wait; whether the step is done."""
        match self._act:
            case _Act.EMIT:
                out += self._text
                return True
            case _Act.READ:
                if len(self._waiting) < self._left and not self._is_over:
                    return False
                self._text = self._taken(self._left)
                return True
            case _Act.PASS_SCAN:
                return self._is_scan_passed(out)
            case _:
                taken = self._taken(self._left)
                self._left -= len(taken)
                out += taken if self._act is _Act.PASS else bytes(len(taken)) if self._act is _Act.BLANK else b""
                return self._left == 0

    def _is_scan_passed(self, out: bytearray) -> bool:
        marker = _JPEG_MARKER.search(self._waiting)
        # A last 0xFF may be half a marker.
        unsure = 0 if self._is_over or not self._waiting.endswith(b"\xff") else 1
        out += self._taken(marker.start() if marker else len(self._waiting) - unsure)
        return marker is not None

    def _taken(self, count: int) -> bytes:
        taken = bytes(self._waiting[:count])
        del self._waiting[:count]
        return taken


def _walk_through(signature: bytes) -> _Walk:
    if signature.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png()
    if signature.startswith(b"\xff\xd8\xff"):
        return _jpeg()
    if signature.startswith(b"RIFF") and signature[8:] == b"WEBP":
        return _webp()
    return _any_other()


def _any_other() -> _Walk:
    yield _Act.PASS, _ALL


def _png() -> _Walk:
    """A chunk: length, name, content, checksum."""
    yield _Act.PASS, 8
    name = b""
    while name != b"IEND":
        header = yield _Act.READ, 8
        if len(header) < 8:
            return
        length, name = struct.unpack(">I4s", header)
        if not _PNG_NAME.fullmatch(name):
            return
        if name[:1].isupper() or name in _PNG_KEPT:
            yield _Act.EMIT, header
            yield _Act.PASS, length + 4
        else:
            yield _Act.DROP, length + 4


def _jpeg() -> _Walk:
    """Segments: 0xFF, a marker, then mostly a length that counts itself; the scans between them have no length."""
    yield _Act.PASS, 2
    marker = 0
    while marker != _END_OF_IMAGE:
        mark = yield _Act.READ, 1
        if mark != b"\xff":
            return
        while mark == b"\xff":
            mark = yield _Act.READ, 1
        if not mark:
            return
        marker = mark[0]
        if marker in _WITHOUT_LENGTH or marker == _END_OF_IMAGE:
            yield _Act.EMIT, b"\xff" + mark
            continue
        size = yield _Act.READ, 2
        if len(size) < 2:
            return
        yield from _segment(marker, max(0, int.from_bytes(size, "big") - 2))
        if marker == _START_OF_SCAN:
            yield _Act.PASS_SCAN, 0


def _segment(marker: int, length: int) -> _Walk:
    header = struct.pack(">BBH", 0xFF, marker, length + 2)
    if not (_APP0 <= marker <= _APP15 or marker == _COMMENT):
        yield _Act.EMIT, header
        yield _Act.PASS, length
        return
    content = yield _Act.READ, length
    if marker == _APP1 and (upright := _only_orientation(content)):
        yield _Act.EMIT, struct.pack(">BBH", 0xFF, marker, len(upright) + 2) + upright
    elif marker in {_APP0, _APP14} or (marker == _APP2 and content.startswith(_ICC)):
        yield _Act.EMIT, header + content


def _only_orientation(content: bytes) -> bytes:
    """An EXIF segment with nothing but the orientation; empty where the picture stands upright anyway."""
    tiff = content.removeprefix(_EXIF)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(tiff[:4])
    if not content.startswith(_EXIF) or order is None or len(tiff) < 10:
        return b""
    (at,) = struct.unpack_from(f"{order}I", tiff, 4)
    (count,) = struct.unpack_from(f"{order}H", tiff, at) if at + 2 <= len(tiff) else (0,)
    for place in range(at + 2, min(at + 2 + 12 * count, len(tiff) - 11), 12):
        tag, kind, _, orientation = struct.unpack_from(f"{order}HHIH", tiff, place)
        if (tag, kind) == (_ORIENTATION, 3) and 2 <= orientation <= 8:
            entry = struct.pack(">HHIHH", _ORIENTATION, 3, 1, orientation, 0)
            return _EXIF + b"MM\x00*" + struct.pack(">IH", 8, 1) + entry + bytes(4)
    return b""


def _webp() -> _Walk:
    """A chunk: name, length, content, and a byte more where the length is odd."""
    riff = yield _Act.READ, 12
    yield _Act.EMIT, riff
    left = int.from_bytes(riff[4:8], "little") - 4
    while left >= 8:
        header = yield _Act.READ, 8
        if len(header) < 8:
            return
        name, length = struct.unpack("<4sI", header)
        padded = length + length % 2
        left -= 8 + padded
        if name in _WEBP_METADATA:
            yield _Act.EMIT, b"JUNK" + header[4:]
            yield _Act.BLANK, padded
        elif name == b"VP8X" and length:
            flags = yield _Act.READ, 1
            yield _Act.EMIT, header + bytes(flag & ~_WEBP_HAS_METADATA for flag in flags)
            yield _Act.PASS, padded - 1
        else:
            yield _Act.EMIT, header
            yield _Act.PASS, padded
