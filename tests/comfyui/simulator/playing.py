"""Plays the files a simulator makes, each by its standard and as narrowly as the simulator writes it.

Independent of the code that writes them; anything unexpected in a file is a failed assertion.
"""

from __future__ import annotations

import json
import re
import struct
from array import array
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from PIL import Image

FLAC_BLOCK = 4096


@dataclass(frozen=True)
class Film:
    """A video: its frames, and frames per second."""

    frames: list[Image.Image]
    fps: float


@dataclass
class Reader:
    """Reads the bits of a NAL unit's payload."""

    content: bytes
    at: int = 0

    def bits(self, count: int) -> int:
        value = 0
        for _ in range(count):
            value = value << 1 | self.content[self.at // 8] >> (7 - self.at % 8) & 1
            self.at += 1
        return value

    def ue(self) -> int:
        zeros = 0
        while not self.bits(1):
            zeros += 1
        return (1 << zeros) - 1 + self.bits(zeros)

    def whole_bytes(self, count: int) -> bytes:
        assert self.bits(-self.at % 8) == 0
        start = self.at // 8
        self.at += 8 * count
        return self.content[start : start + count]

    @property
    def has_more(self) -> bool:
        """Whether anything but the last set bit is left."""
        last = max(index for index, byte in enumerate(self.content) if byte)
        end = last * 8 + 7 - (self.content[last] & -self.content[last]).bit_length() + 1
        return self.at < end


def boxes(content: bytes) -> dict[bytes, bytes]:
    """The boxes of an ISO media file at one level."""
    found, at = {}, 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        found[content[at + 4 : at + 8]] = content[at + 8 : at + size]
        at += size
    assert at == len(content)
    return found


def film(content: bytes) -> Film:
    """An MP4 file of one H.264 track whose macroblocks are samples or skipped."""
    outer = boxes(content)
    assert list(outer) == [b"ftyp", b"moov", b"mdat"]
    media = boxes(boxes(boxes(outer[b"moov"])[b"trak"])[b"mdia"])
    table = boxes(boxes(media[b"minf"])[b"stbl"])
    ticks_per_s, duration = struct.unpack(">II", media[b"mdhd"][12:20])
    fixed, count = struct.unpack(">II", table[b"stsz"][4:12])
    sizes = struct.unpack(f">{count}I", table[b"stsz"][12:])
    starts = struct.unpack(f">{count}I", table[b"stco"][8:])
    assert not fixed
    assert starts[-1] + sizes[-1] == len(content)
    columns, rows, size = _configuration(table[b"stsd"][16:])
    picture = {name: bytearray(columns * rows * 256 // part) for name, part in (("Y", 1), ("Cb", 4), ("Cr", 4))}
    frames: list[Image.Image] = []
    for start, length in zip(starts, sizes, strict=True):
        assert int.from_bytes(content[start : start + 4], "big") == length - 4
        _paint(content[start + 4 : start + length], picture, columns, rows, len(frames))
        frames.append(_shown(picture, columns, rows).crop((0, 0, *size)))
    return Film(frames, count * ticks_per_s / duration)


def _payload(unit: bytes) -> Reader:
    """These bytes would be taken for the start of a unit."""
    assert not re.search(rb"\0\0[\0-\2]", unit)
    return Reader(unit[1:].replace(b"\0\0\3", b"\0\0"))


def _configuration(entry: bytes) -> tuple[int, int, tuple[int, int]]:
    """Macroblocks across and down, and the size that is shown."""
    width, height = struct.unpack(">HH", entry[24:28])
    settings = entry[entry.index(b"avcC") + 4 :]
    length = int.from_bytes(settings[6:8], "big")
    sps = _payload(settings[8 : 8 + length])
    assert sps.bits(8) == 66
    sps.bits(16)
    assert [sps.ue() for _ in range(4)] == [0, 0, 2, 1]
    sps.bits(1)
    columns, rows = sps.ue() + 1, sps.ue() + 1
    sps.bits(2)
    cut = [sps.ue() for _ in range(4)] if sps.bits(1) else [0] * 4
    assert (width, height) == (columns * 16 - 2 * cut[1], rows * 16 - 2 * cut[3])
    return columns, rows, (width, height)


def _paint(unit: bytes, picture: dict[str, bytearray], columns: int, rows: int, number: int) -> None:
    is_first = number == 0
    reader = _payload(unit)
    assert unit[0] & 31 == (5 if is_first else 1)
    assert [reader.ue() for _ in range(3)] == [0, 7 if is_first else 5, 0]
    assert reader.bits(4) == number % 16
    if is_first:
        assert reader.ue() == 0
    assert reader.bits(2 if is_first else 3) == 0
    assert [reader.ue(), reader.ue()] == [0, 1]
    at = 0
    while at < columns * rows:
        if not is_first:
            at += reader.ue()
            if not reader.has_more:
                break
        assert reader.ue() == (25 if is_first else 30)
        _place(reader.whole_bytes(384), picture, columns, at)
        at += 1
    assert at == columns * rows
    assert not reader.has_more


def _place(samples: bytes, picture: dict[str, bytearray], columns: int, at: int) -> None:
    start = 0
    for name, side in (("Y", 16), ("Cb", 8), ("Cr", 8)):
        for line in range(side):
            begins = (at // columns * side + line) * columns * side + at % columns * side
            picture[name][begins : begins + side] = samples[start : start + side]
            start += side


def _shown(picture: dict[str, bytearray], columns: int, rows: int) -> Image.Image:
    whole, half = (columns * 16, rows * 16), (columns * 8, rows * 8)
    planes = [Image.frombytes("L", whole, bytes(picture["Y"]))]
    planes += [Image.frombytes("L", half, bytes(picture[name])).resize(whole, 0) for name in ("Cb", "Cr")]
    return Image.merge("YCbCr", planes).convert("RGB")


def notes(content: bytes) -> tuple[array[int], int]:
    """Samples and rate of a FLAC file of one channel, 16 bits and verbatim subframes; its digest is checked."""
    assert content[:8] == b"fLaC\x80\0\0\x22"
    packed = int.from_bytes(content[18:26], "big")
    total, rate_hz = packed & (1 << 36) - 1, packed >> 44
    assert packed >> 36 & 255 == 15
    samples: array[int] = array("h")
    at, number = 42, 0
    while at < len(content):
        begins, count = at, min(FLAC_BLOCK, total - len(samples))
        assert content[at : at + 2] == b"\xff\xf8"
        at += 4 + len(chr(number).encode())
        if count < FLAC_BLOCK:
            assert int.from_bytes(content[at : at + 2], "big") == count - 1
            at += 2
        assert _remainder(content[begins : at + 1], 0x107, 8) == 0
        assert content[at + 1] == 2
        samples.extend(struct.unpack(f">{count}h", content[at + 2 : at + 2 + 2 * count]))
        at += 4 + 2 * count
        assert _remainder(content[begins:at], 0x18005, 16) == 0
        number += 1
    assert md5(struct.pack(f"<{total}h", *samples), usedforsecurity=False).digest() == content[26:42]
    return samples, rate_hz


def _remainder(content: bytes, polynomial: int, bits: int) -> int:
    """Of the content, checksum included, as one long number: 0 if they fit."""
    value = 0
    for byte in content:
        for shift in range(7, -1, -1):
            value = value << 1 | byte >> shift & 1
            if value >> bits:
                value ^= polynomial
    return value


def shape(content: bytes) -> tuple[dict[str, Any], list[tuple[float, ...]], list[int]]:
    """Description, corners and indices of a GLB file with one mesh."""
    magic, version, total = struct.unpack("<4sII", content[:12])
    assert (magic, version, total) == (b"glTF", 2, len(content))
    length, kind = struct.unpack("<I4s", content[12:20])
    assert (kind, length % 4) == (b"JSON", 0)
    scene = json.loads(content[20 : 20 + length])
    binary = content[28 + length :]
    assert struct.unpack("<I4s", content[20 + length : 28 + length]) == (len(binary), b"BIN\0")
    views = [binary[view["byteOffset"] :][: view["byteLength"]] for view in scene["bufferViews"]]
    corners = list(struct.iter_unpack("<3f", views[0]))
    return scene, corners, [index for (index,) in struct.iter_unpack("<I", views[1])]
