"""Puts an H.264 track into an MP4 file, with the table of contents first, so that a browser can begin at once.

Pure. Owns the boxes of an ISO base media file (ISO/IEC 14496-12 and -15) with one video track of even pace.
"""

from __future__ import annotations

import struct
from itertools import accumulate
from typing import TYPE_CHECKING

from app.comfyui.simulator.h264 import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from app.comfyui.simulator.h264 import Track

_TICKS_PER_FRAME = 1000
_UNITY = struct.pack(">9i", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def movie(frames: Sequence[Image.Image], fps: float) -> bytes:
    """The file. `frames` are RGB pictures of one size, at least one; `fps` is exact to a thousandth of a frame."""
    track = encode(frames, frames[0].size)
    ticks_per_s = max(1, round(fps * _TICKS_PER_FRAME))
    content = b"".join(struct.pack(">I", len(sample)) + sample for sample in track.samples)
    first = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomiso2avc1mp41")
    # The offset of the content has the same width whatever its value, so the table's length is known beforehand.
    begins = len(first) + len(_contents(track, ticks_per_s, 0)) + 8
    return first + _contents(track, ticks_per_s, begins) + _box(b"mdat", content)


def _contents(track: Track, ticks_per_s: int, begins: int) -> bytes:
    duration = len(track.samples) * _TICKS_PER_FRAME
    return _box(
        b"moov",
        _movie_header(ticks_per_s, duration),
        _box(
            b"trak",
            _track_header(track, duration),
            _box(
                b"mdia",
                _full(b"mdhd", 0, struct.pack(">4IHH", 0, 0, ticks_per_s, duration, 0x55C4, 0)),
                _full(b"hdlr", 0, bytes(4), b"vide", bytes(12), b"ComfyUI simulator\0"),
                _box(
                    b"minf",
                    _full(b"vmhd", 1, bytes(8)),
                    _box(b"dinf", _full(b"dref", 0, struct.pack(">I", 1), _full(b"url ", 1))),
                    _sample_table(track, begins),
                ),
            ),
        ),
    )


def _movie_header(ticks_per_s: int, duration: int) -> bytes:
    times, pace_and_volume = struct.pack(">4I", 0, 0, ticks_per_s, duration), b"\0\1\0\0\1\0"
    return _full(b"mvhd", 0, times, pace_and_volume, bytes(10), _UNITY, bytes(24), struct.pack(">I", 2))


def _track_header(track: Track, duration: int) -> bytes:
    width, height = (side << 16 for side in track.size)
    return _full(
        b"tkhd",
        3,
        struct.pack(">5I", 0, 0, 1, 0, duration),
        bytes(16),
        _UNITY,
        struct.pack(">II", width, height),
    )


def _sample_table(track: Track, begins: int) -> bytes:
    sizes = [len(sample) + 4 for sample in track.samples]
    count = len(sizes)
    offsets = list(accumulate(sizes[:-1], initial=begins))
    return _box(
        b"stbl",
        _full(b"stsd", 0, struct.pack(">I", 1), _sample_entry(track)),
        _full(b"stts", 0, struct.pack(">3I", 1, count, _TICKS_PER_FRAME)),
        _full(b"stss", 0, struct.pack(">2I", 1, 1)),
        _full(b"stsc", 0, struct.pack(">4I", 1, 1, 1, 1)),
        _full(b"stsz", 0, struct.pack(f">2I{count}I", 0, count, *sizes)),
        _full(b"stco", 0, struct.pack(f">I{count}I", count, *offsets)),
    )


def _sample_entry(track: Track) -> bytes:
    """`avc1` with its decoder configuration: lengths of four bytes, one parameter set of each kind."""
    sets = track.sequence, track.picture
    configuration = (
        b"\1"
        + track.sequence[1:4]
        + b"\xff"
        + b"".join(
            lead + struct.pack(">H", len(parameters)) + parameters
            for lead, parameters in zip((b"\xe1", b"\1"), sets, strict=True)
        )
    )
    name = b"\x11ComfyUI simulator".ljust(32, b"\0")
    return _box(
        b"avc1",
        bytes(6) + b"\0\1" + bytes(16),
        struct.pack(">HHIIIH", *track.size, 72 << 16, 72 << 16, 0, 1),
        name,
        b"\0\x18\xff\xff",
        _box(b"avcC", configuration),
    )


def _full(kind: bytes, flags: int, *parts: bytes) -> bytes:
    """A box of version 0 with flags."""
    return _box(kind, struct.pack(">I", flags), *parts)


def _box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", len(content) + 8) + kind + content
