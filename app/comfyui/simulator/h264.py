"""Writes pictures as H.264 that any player shows: whole macroblocks as plain samples, and "unchanged" for the rest.

Pure. Owns the bits of a stream of the Constrained Baseline profile (ITU-T H.264, clauses 7.3 and 7.4): one IDR picture
of I_PCM macroblocks, then P pictures in which only what changed is sent anew. Nothing is compressed, so it suits
pictures in which little moves; of what moves, no detail is lost but half of the colour's resolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from PIL import Image, ImageChops

if TYPE_CHECKING:
    from collections.abc import Iterable

MACROBLOCK: Final = 16
_PROFILE_AND_LEVEL: Final = bytes((66, 0xC0, 52))
_IDR, _NOT_IDR, _SPS, _PPS = 0x65, 0x41, 0x67, 0x68
_I_SLICE, _P_SLICE = 7, 5
# `mb_type` of I_PCM: 25 in I slices; in P slices those of intra macroblocks begin at 5.
_PCM_IN_I, _PCM_IN_P = 25, 30
_FRAME_NUMBERS: Final = 16


@dataclass(slots=True)
class Bits:
    """A bit string in the making."""

    _bytes: bytearray = field(default_factory=bytearray)
    _value: int = 0
    _count: int = 0

    def put(self, value: int, count: int) -> Bits:
        """`count` bits of `value`, the highest first."""
        self._value = self._value << count | value
        self._count += count
        while self._count >= 8:
            self._count -= 8
            self._bytes.append(self._value >> self._count & 255)
        self._value &= (1 << self._count) - 1
        return self

    def ue(self, *values: int) -> Bits:
        """Each as an unsigned Exp-Golomb code (clause 9.1)."""
        for value in values:
            self.put(value + 1, 2 * (value + 1).bit_length() - 1)
        return self

    def whole(self, content: bytes) -> Bits:
        """Zero bits up to a whole byte, then `content`."""
        if self._count:
            self.put(0, 8 - self._count)
        self._bytes += content
        return self

    def ended(self) -> bytes:
        """Everything, with the bit that ends a NAL unit's payload."""
        self.put(1, 1).whole(b"")
        return bytes(self._bytes)


@dataclass(frozen=True, slots=True)
class Track:
    """A stream for a container: parameter sets and one NAL unit per picture, without start codes or lengths.

    `size` in pixels is even, a pixel less than that of the pictures where theirs is odd.
    """

    size: tuple[int, int]
    sequence: bytes
    picture: bytes
    samples: tuple[bytes, ...]


def encode(frames: Iterable[Image.Image], size: tuple[int, int]) -> Track:
    """RGB pictures of one `size`, of at least 2 x 2 pixels. Only the first sample can be begun with."""
    even = size[0] // 2 * 2, size[1] // 2 * 2
    if not all(even):
        raise ValueError(f"a video of {size[0]} x {size[1]} pixels is too small")
    return Track(even, _sequence(even), _unit(_PPS, _picture_parameters()), tuple(_samples(frames, even)))


def _samples(frames: Iterable[Image.Image], size: tuple[int, int]) -> Iterator[bytes]:
    before: Image.Image | None = None
    planes: _Planes | None = None
    for number, frame in enumerate(frames):
        after = _Planes.of(frame, size)
        if before is None or planes is None:
            yield _unit(_IDR, _whole_picture(after))
        else:
            box = ImageChops.difference(before, frame.convert("RGB")).getbbox()
            yield _unit(_NOT_IDR, _changed_picture(planes, after, box, number % _FRAME_NUMBERS))
        before, planes = frame.convert("RGB"), after


@dataclass(frozen=True, slots=True)
class _Planes:
    """A picture's samples, padded to whole macroblocks; colour at half the resolution."""

    columns: int
    rows: int
    luma: bytes
    blue: bytes
    red: bytes

    @classmethod
    def of(cls, frame: Image.Image, size: tuple[int, int]) -> _Planes:
        columns, rows = (-(-side // MACROBLOCK) for side in size)
        padded = frame.convert("YCbCr").crop((0, 0, columns * MACROBLOCK, rows * MACROBLOCK))
        luma, blue, red = padded.split()
        return cls(columns, rows, luma.tobytes(), blue.reduce(2).tobytes(), red.reduce(2).tobytes())

    def macroblock(self, column: int, row: int) -> bytes:
        """256 samples of luma, then 64 each of the two colours (clause 7.3.5)."""
        return (
            self._block(self.luma, column, row, MACROBLOCK)
            + self._block(self.blue, column, row, MACROBLOCK // 2)
            + self._block(self.red, column, row, MACROBLOCK // 2)
        )

    def _block(self, plane: bytes, column: int, row: int, side: int) -> bytes:
        stride = self.columns * side
        first = row * side * stride + column * side
        return b"".join(plane[start : start + side] for start in range(first, first + side * stride, stride))


def _whole_picture(planes: _Planes) -> bytes:
    bits = _slice_header(_I_SLICE, 0).ue(0).put(0, 2).ue(0, 1)
    for row in range(planes.rows):
        for column in range(planes.columns):
            bits.ue(_PCM_IN_I).whole(planes.macroblock(column, row))
    return bits.ended()


def _changed_picture(
    before: _Planes, after: _Planes, box: tuple[int, int, int, int] | None, frame_number: int
) -> bytes:
    """`box` holds everything that differs; all other macroblocks are skipped, which repeats them."""
    bits = _slice_header(_P_SLICE, frame_number).put(0, 3).ue(0, 1)
    skipped = 0
    for row in range(after.rows):
        for column in range(after.columns):
            content = after.macroblock(column, row) if _meets(box, column, row) else None
            if content is None or content == before.macroblock(column, row):
                skipped += 1
            else:
                bits.ue(skipped, _PCM_IN_P).whole(content)
                skipped = 0
    return (bits.ue(skipped) if skipped else bits).ended()


def _meets(box: tuple[int, int, int, int] | None, column: int, row: int) -> bool:
    if box is None:
        return False
    left, top = column * MACROBLOCK, row * MACROBLOCK
    return left < box[2] and top < box[3] and left + MACROBLOCK > box[0] and top + MACROBLOCK > box[1]


def _slice_header(slice_type: int, frame_number: int) -> Bits:
    """Up to the number of the frame: first macroblock, type, parameter set."""
    return Bits().ue(0, slice_type, 0).put(frame_number, 4)


def _sequence(size: tuple[int, int]) -> bytes:
    """Order of output is that of decoding, one reference picture; samples are full range, colours those of JPEG."""
    columns, rows = (-(-side // MACROBLOCK) for side in size)
    right, bottom = columns * MACROBLOCK - size[0], rows * MACROBLOCK - size[1]
    bits = Bits().whole(_PROFILE_AND_LEVEL).ue(0, 0, 2, 1).put(0, 1).ue(columns - 1, rows - 1).put(0b11, 2)
    if right or bottom:
        bits.put(1, 1).ue(0, right // 2, 0, bottom // 2)
    else:
        bits.put(0, 1)
    # Usage information: of all its parts only the signal type, with primaries, transfer and matrix of sRGB in JFIF.
    bits.put(0b1001, 4).put(0b101_1_1, 5).put(1, 8).put(13, 8).put(6, 8).put(0, 1)
    return _unit(_SPS, bits.put(0, 5).ended())


def _picture_parameters() -> bytes:
    """CAVLC, one slice group, one reference; nothing is filtered at block edges, since no slice asks for it."""
    return Bits().ue(0, 0).put(0, 2).ue(0, 0, 0).put(0, 3).ue(0, 0, 0).put(0b100, 3).ended()


def _unit(header: int, payload: bytes) -> bytes:
    """A NAL unit: where two zero bytes meet a byte below 4, a 3 keeps them apart (clause 7.4.1)."""
    parts = bytearray((header,))
    zeros = 0
    start = 0
    while (found := payload.find(b"\0\0", start)) >= 0:
        zeros = found + 2
        parts += payload[start:zeros]
        if zeros < len(payload) and payload[zeros] <= 3:
            parts.append(3)
        start = zeros
    return bytes(parts + payload[start:])
