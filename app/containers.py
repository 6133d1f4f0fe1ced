"""Size and duration of videos, from the few headers that tell: MP4 and QuickTime, Matroska and WebM, AVI. Pure.

Sources: ISO/IEC 14496-12 (boxes), RFC 8794 and RFC 9559 (EBML, Matroska), Microsoft's AVI RIFF reference. The readers
jump from header to header and read nothing else; a broken file raises struct.error, ValueError or the like.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

# Real files have some dozen boxes, or some hundred clusters, before what is looked for.
MAX_STEPS: Final = 10_000

_EBML, _SEGMENT, _CLUSTER, _INFO, _TRACKS = 0x1A45DFA3, 0x18538067, 0x1F43B675, 0x1549A966, 0x1654AE6B
_TIMESTAMP_SCALE, _DURATION, _TRACK_ENTRY = 0x2AD7B1, 0x4489, 0xAE
_VIDEO, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0xE0, 0xB0, 0xBA


class Shape(NamedTuple):
    """What a file's headers tell; None for what they do not."""

    width: int | None = None
    height: int | None = None
    duration_s: float | None = None


def mp4_shape(file: BinaryIO) -> Shape:
    """Of the movie header and the first track with a picture, turned as it is shown."""
    width = height = duration_s = None
    file.seek(0, io.SEEK_END)
    for moov, stop in _boxes(file, 0, file.tell(), b"moov"):
        for place, end in _boxes(file, moov, stop, b"mvhd"):
            duration_s = _mvhd_duration(_content(file, place, end, 112))
        for track, track_end in _boxes(file, moov, stop, b"trak"):
            for place, end in _boxes(file, track, track_end, b"tkhd"):
                width, height = (width, height) if width else _tkhd_size(_content(file, place, end, 104))
        if not duration_s:
            duration_s = _fragments_duration(file, moov, stop)
        break
    return Shape(width, height, duration_s or None)


def matroska_shape(file: BinaryIO) -> Shape:
    """Of the segment's information and its first track with a picture."""
    width = height = None
    scale, duration = 1_000_000, 0.0
    is_informed = is_tracked = False
    for name, place, end in _segment_elements(file):
        if name == _INFO:
            is_informed = True
            for inner, at, stop in _elements(file, place, end):
                if inner == _TIMESTAMP_SCALE:
                    scale = _unsigned(file, at, stop)
                elif inner == _DURATION:
                    duration = _float(file, at, stop)
        elif name == _TRACKS:
            is_tracked = True
            width, height = _first_video(file, place, end)
        if is_informed and is_tracked:
            break
    return Shape(width, height, duration * scale / 1e9 or None)


def avi_shape(file: BinaryIO) -> Shape:
    """Of the main header, which is always the first."""
    head = file.read(88)
    if head[20:28] != b"hdrlavih":
        return Shape()
    frame_us, frames, width, height = struct.unpack_from("<I12xI12xII", head, 32)
    return Shape(width or None, height or None, frame_us * frames / 1e6 or None)


def _boxes(file: BinaryIO, place: int, stop: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """(begin, end) of the content of each box of this name between two places."""
    for _ in range(MAX_STEPS):
        if place + 8 > stop:
            return
        file.seek(place)
        size, name = struct.unpack(">I4s", file.read(8))
        begin = place + 8
        if size == 1:
            (size,) = struct.unpack(">Q", file.read(8))
            begin += 8
        end = place + size if size else stop
        if end < begin:
            return
        if name == wanted:
            yield begin, min(end, stop)
        place = end


def _content(file: BinaryIO, place: int, end: int, most: int) -> bytes:
    file.seek(place)
    return file.read(min(most, end - place))


def _mvhd_duration(content: bytes) -> float | None:
    form = ">16xIQ" if content[0] == 1 else ">8xII"
    timescale, duration = struct.unpack_from(form, content, 4)
    is_unknown = duration in {0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF}
    return None if is_unknown or not timescale else duration / timescale


def _fragments_duration(file: BinaryIO, moov: int, stop: int) -> float | None:
    """A file written in fragments has its duration elsewhere, if anywhere."""
    timescale = 0
    for place, end in _boxes(file, moov, stop, b"mvhd"):
        content = _content(file, place, end, 32)
        (timescale,) = struct.unpack_from(">I", content, 20 if content[0] == 1 else 12)
    for mvex, mvex_end in _boxes(file, moov, stop, b"mvex"):
        for place, end in _boxes(file, mvex, mvex_end, b"mehd"):
            content = _content(file, place, end, 12)
            (duration,) = struct.unpack_from(">Q" if content[0] == 1 else ">I", content, 4)
            return float(duration) / timescale if timescale else None
    return None


def _tkhd_size(content: bytes) -> tuple[int | None, int | None]:
    """Width and height as 16.16 numbers; the matrix before them may lay the picture on its side."""
    at = 52 if content[0] == 1 else 40
    first, second = struct.unpack_from(">ii", content, at)
    width, height = struct.unpack_from(">II", content, at + 36)
    size = (width >> 16 or None, height >> 16 or None)
    return size if first or not second else size[::-1]


def _segment_elements(file: BinaryIO) -> Iterator[tuple[int, int, int]]:
    file.seek(0, io.SEEK_END)
    size = file.tell()
    for name, place, end in _elements(file, 0, size):
        if name == _SEGMENT:
            yield from _elements(file, place, end)
            return
        if name != _EBML:
            return


def _elements(file: BinaryIO, place: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """(id, begin, end) of each element. Where a length is unknown the element goes on to the end of what holds it."""
    for _ in range(MAX_STEPS):
        if place + 2 > stop:
            return
        file.seek(place)
        header = file.read(12)
        name, used = _varint(header, 0, keeps_mark=True)
        length, used = _varint(header, used, keeps_mark=False)
        is_unknown = length == (1 << 7 * (used - _width(header[0]))) - 1
        begin = place + used
        end = stop if is_unknown else min(stop, begin + length)
        yield name, begin, end
        if is_unknown and name == _CLUSTER:
            return
        place = end


def _first_video(file: BinaryIO, place: int, end: int) -> tuple[int | None, int | None]:
    for name, begin, stop in _elements(file, place, end):
        if name != _TRACK_ENTRY:
            continue
        for inner, video, video_end in _elements(file, begin, stop):
            if inner == _VIDEO:
                told = {part: (at, to) for part, at, to in _elements(file, video, video_end)}
                if _PIXEL_WIDTH in told and _PIXEL_HEIGHT in told:
                    return _unsigned(file, *told[_PIXEL_WIDTH]), _unsigned(file, *told[_PIXEL_HEIGHT])
    return None, None


def _width(first: int) -> int:
    """Bytes of a variable-length number, by its first byte: the leading zeros say it."""
    if not first:
        raise ValueError("no length of more than eight bytes exists")
    return 9 - first.bit_length()


def _varint(header: bytes, at: int, *, keeps_mark: bool) -> tuple[int, int]:
    """(number, place behind it). Ids keep the bit that marks their length, lengths do not."""
    width = _width(header[at])
    if at + width > len(header):
        raise ValueError("cut off")
    number = int.from_bytes(header[at : at + width], "big")
    return (number if keeps_mark else number & (1 << 7 * width) - 1), at + width


def _unsigned(file: BinaryIO, place: int, end: int) -> int:
    return int.from_bytes(_content(file, place, end, 8), "big")


def _float(file: BinaryIO, place: int, end: int) -> float:
    content = _content(file, place, end, 8)
    return float(struct.unpack(">f" if len(content) == 4 else ">d", content)[0])
