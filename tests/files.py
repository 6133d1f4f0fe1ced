"""Small files of each kind, made by the tests that send them."""

from __future__ import annotations

import io
import random
import struct
import zlib

from PIL import Image


def png(width: int = 40, height: int = 30, seed: int = 0, **options: object) -> bytes:
    """A PNG of noise, different for each seed."""
    return picture("png", width, height, seed, **options)


def picture(kind: str, width: int = 40, height: int = 30, seed: int = 0, **options: object) -> bytes:
    """A picture of noise in a format of Pillow's."""
    noise = Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3))
    encoded = io.BytesIO()
    noise.save(encoded, kind, **options)
    return encoded.getvalue()


def pixels(encoded: bytes) -> bytes:
    """The raw RGB pixels of a picture."""
    with Image.open(io.BytesIO(encoded)) as opened:
        return opened.convert("RGB").tobytes()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header announces this size, with next to nothing behind it."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", zlib.compress(b"\x00")) + _chunk(b"IEND", b"")


def png_bomb(width: int, height: int) -> bytes:
    """A complete PNG of zeros: it takes a thousandth of the memory it needs when decoded."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 + 3 * width)) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + header + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def webp_claiming(width: int, height: int) -> bytes:
    """The header of an extended WebP of this size."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + (22).to_bytes(4, "little") + b"WEBPVP8X" + (10).to_bytes(4, "little") + bytes(4) + size


def wav(samples: int = 800) -> bytes:
    """A sound of silence: 8 kHz, 16 bits, mono."""
    header = struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)
    start = b"RIFF" + struct.pack("<I", 36 + 2 * samples) + b"WAVEfmt " + struct.pack("<I", 16) + header
    return start + b"data" + struct.pack("<I", 2 * samples) + bytes(2 * samples)


def mp4(size: int = 3000) -> bytes:
    """Enough of an MP4 to be told for one, and bytes behind it."""
    return b"\x00\x00\x00\x18ftypisom\x00\x00\x02\x00isomiso2" + random.Random(size).randbytes(size)


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
