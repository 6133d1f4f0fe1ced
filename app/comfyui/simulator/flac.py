"""Writes sound as FLAC, without compressing it.

Pure. Owns the bytes of a stream of verbatim subframes (RFC 9639): one channel, 16 bits a sample.
"""

from __future__ import annotations

import struct
import sys
from array import array
from hashlib import md5
from typing import Final

_BLOCK: Final = 4096
# Fixed block size; a block of 4096 (code 12) or one whose size follows the header in 16 bits (code 7); the rate is in
# STREAMINFO; one channel; 16 bits.
_SYNC, _BLOCK_OF_4096, _BLOCK_SIZE_FOLLOWS, _MONO_16_BITS = b"\xff\xf8", 0xC0, 0x70, 0x08
_VERBATIM: Final = b"\x02"


def encode(samples: array[int], rate_hz: int) -> bytes:
    """A whole file. `samples` are of array type "h"; `rate_hz` is below 2**20."""
    little = _ordered(samples, "little")
    described = struct.pack(">HH", _BLOCK, _BLOCK) + bytes(6)
    described += (rate_hz << 44 | 15 << 36 | len(samples)).to_bytes(8, "big")
    described += md5(little, usedforsecurity=False).digest()
    frames = [_frame(number, samples[start : start + _BLOCK]) for number, start in _blocks(len(samples))]
    return b"fLaC\x80" + len(described).to_bytes(3, "big") + described + b"".join(frames)


def _blocks(count: int) -> list[tuple[int, int]]:
    return list(enumerate(range(0, count, _BLOCK)))


def _frame(number: int, block: array[int]) -> bytes:
    is_full = len(block) == _BLOCK
    header = _SYNC + bytes((_BLOCK_OF_4096 if is_full else _BLOCK_SIZE_FOLLOWS, _MONO_16_BITS))
    # The number is spelt as UTF-8 spells a character.
    header += chr(number).encode("utf-8", "surrogatepass")
    if not is_full:
        header += struct.pack(">H", len(block) - 1)
    frame = header + bytes((_check(header, _CRC8, 8),)) + _VERBATIM + _ordered(block, "big")
    return frame + struct.pack(">H", _check(frame, _CRC16, 16))


def _ordered(samples: array[int], byte_order: str) -> bytes:
    if sys.byteorder == byte_order:
        return samples.tobytes()
    swapped = array("h", samples)
    swapped.byteswap()
    return swapped.tobytes()


def _table(polynomial: int, bits: int) -> tuple[int, ...]:
    """What each value of a byte does to a checksum of so many bits."""
    top, mask = 1 << bits - 1, (1 << bits) - 1
    table = []
    for byte in range(256):
        value = byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ polynomial if value & top else value << 1) & mask
        table.append(value)
    return tuple(table)


def _check(content: bytes, table: tuple[int, ...], bits: int) -> int:
    mask, value = (1 << bits) - 1, 0
    for byte in content:
        value = (value << 8 ^ table[value >> bits - 8 ^ byte]) & mask
    return value


_CRC8: Final = _table(0x07, 8)
_CRC16: Final = _table(0x8005, 16)
