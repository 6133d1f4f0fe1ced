"""Metadata taken out of passing files: all of it, and not one pixel."""

from __future__ import annotations

import io
import random
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo

from app.stripping import Stripper, stripped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SECRET = b"the secret workflow"
PICTURE = Image.effect_noise((120, 80), 90).convert("RGB")
EXIF = Image.Exif()
EXIF[0x010E] = EXIF[0x0110] = SECRET.decode()
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"


def saved(file_format: str, picture: Image.Image = PICTURE, **options: object) -> bytes:
    target = io.BytesIO()
    picture.save(target, file_format, **options)
    return target.getvalue()


def texts() -> PngInfo:
    told = PngInfo()
    told.add_text("prompt", SECRET.decode())
    told.add_text("zipped", SECRET.decode(), zip=True)
    told.add_itxt("workflow", SECRET.decode())
    told.add(b"comf", SECRET, after_idat=True)
    return told


def moving(file_format: str, **options: object) -> bytes:
    frames = [Image.effect_noise((40, 30), sigma).convert("RGB") for sigma in (20, 60, 90)]
    return saved(file_format, frames[0], save_all=True, append_images=frames[1:], duration=[100, 200, 300], **options)


FILES = {
    "png": saved("PNG", pnginfo=texts(), exif=EXIF, icc_profile=PROFILE, dpi=(72, 72)),
    "indexed png": saved("PNG", PICTURE.quantize(9), pnginfo=texts(), transparency=3),
    "moving png": moving("PNG", pnginfo=texts()),
    "png with a tail": saved("PNG", pnginfo=texts()) + SECRET,
    "jpeg": saved("JPEG", exif=EXIF, icc_profile=PROFILE, comment=SECRET, xmp=XMP, quality=90),
    "progressive jpeg": saved("JPEG", exif=EXIF, comment=SECRET, progressive=True),
    "jpeg with restarts": saved("JPEG", comment=SECRET, restart_marker_blocks=2),
    "jpeg with a tail": saved("JPEG") + SECRET,
    "gray jpeg": saved("JPEG", PICTURE.convert("L"), comment=SECRET),
    "cmyk jpeg": saved("JPEG", PICTURE.convert("CMYK"), comment=SECRET),
    "webp": saved("WEBP", exif=EXIF, xmp=XMP, icc_profile=PROFILE),
    "lossless webp": saved("WEBP", lossless=True, exif=EXIF, xmp=XMP + b"!"),
    "moving webp": moving("WEBP", exif=EXIF, xmp=XMP),
    "webp with a tail": saved("WEBP", exif=EXIF) + SECRET,
}


def run(content: bytes, chunk_bytes: int = 1000) -> bytes:
    stripper = Stripper()
    chunks = [content[start : start + chunk_bytes] for start in range(0, len(content), chunk_bytes)]
    return b"".join([*(stripper.feed(chunk) for chunk in chunks), stripper.finish()])


def frames_of(content: bytes) -> list[tuple[str, bytes, object]]:
    picture = Image.open(io.BytesIO(content))
    found = []
    for number in range(getattr(picture, "n_frames", 1)):
        picture.seek(number)
        picture.load()
        found.append((picture.mode, picture.tobytes(), picture.info.get("duration")))
    return found


def tells(content: bytes) -> bool:
    """Whether the secret is in it, openly or in a compressed text."""
    picture = Image.open(io.BytesIO(content))
    picture.load()
    return SECRET in content or SECRET.decode() in str(picture.info) or SECRET.decode() in str(dict(picture.getexif()))


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_the_texts_are_gone_and_every_pixel_is_there(content: bytes) -> None:
    left = run(content)

    assert SECRET in content
    assert not tells(left)
    assert frames_of(left) == frames_of(content)
    assert len(left) <= len(content)


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 4096, 10**9])
def test_the_size_of_the_chunks_changes_nothing(content: bytes, chunk_bytes: int) -> None:
    assert run(content, chunk_bytes) == run(content)


@pytest.mark.parametrize("content", FILES.values(), ids=FILES.keys())
def test_a_stripped_file_has_nothing_left_to_take(content: bytes) -> None:
    left = run(content)

    assert run(left) == left


@pytest.mark.parametrize("name", ["png", "jpeg", "webp"])
def test_a_color_profile_stays(name: str) -> None:
    assert Image.open(io.BytesIO(run(FILES[name]))).info["icc_profile"] == PROFILE


def test_the_resolution_and_the_transparency_of_a_png_stay() -> None:
    assert Image.open(io.BytesIO(run(FILES["png"]))).info["dpi"] == pytest.approx((72, 72), abs=0.1)
    assert Image.open(io.BytesIO(run(FILES["indexed png"]))).info["transparency"] == 3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_photograph_stays_upright(orientation: int, order: str) -> None:
    turned = Image.Exif()
    turned.endian = order
    turned[0x0112], turned[0x010E] = orientation, SECRET.decode()
    content = saved("JPEG", exif=turned)

    left = run(content)

    upright = [ImageOps.exif_transpose(Image.open(io.BytesIO(each))).tobytes() for each in (content, left)]
    assert not tells(left)
    assert upright[0] == upright[1]
    assert dict(Image.open(io.BytesIO(left)).getexif()) == ({} if orientation == 1 else {0x0112: orientation})


@pytest.mark.parametrize("name", sorted(path.name for path in (Path(__file__).parent / "media").iterdir()))
def test_other_files_pass_as_they_are(name: str) -> None:
    content = (Path(__file__).parent / "media" / name).read_bytes()

    left = run(content)

    assert left == content or name.endswith((".png", ".webp"))
    assert len(left) == len(content) or name.endswith(".png")


@pytest.mark.parametrize("content", [b"", b"x", b"\x89PNG", b"just a text, longer than a signature", b"GIF89a" * 9])
def test_what_is_no_picture_passes_as_it_is(content: bytes) -> None:
    assert run(content, 3) == content


@given(st.sampled_from(sorted(FILES)), st.integers(0, 2000), st.binary(min_size=1, max_size=20), st.integers(1, 500))
def test_a_broken_file_neither_raises_nor_grows(name: str, place: int, junk: bytes, chunk_bytes: int) -> None:
    content = FILES[name]
    place %= len(content)
    broken = content[:place] + junk + content[place + len(junk) :]

    assert len(run(broken, chunk_bytes)) <= len(broken) + 40


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_cut_off_leaves_a_file_cut_off(name: str) -> None:
    content = FILES[name]
    whole = run(content)

    for length in range(0, len(content), 97):
        assert whole.startswith(run(content[:length]))


def test_a_chunk_that_claims_gigabytes_takes_no_memory() -> None:
    stripper = Stripper()
    stripper.feed(FILES["png"][:33] + struct.pack(">I4s", 2**31 - 1, b"tEXt"))

    assert all(stripper.feed(SECRET * 50_000) == b"" for _ in range(20))
    assert len(stripper._waiting) == 0


async def test_a_stream_is_stripped_as_it_comes() -> None:
    content, dice = FILES["png"], random.Random(3)

    async def coming() -> AsyncIterator[bytes]:
        place = 0
        while place < len(content):
            step = dice.randrange(1, 3000)
            yield content[place : place + step]
            place += step

    assert b"".join([chunk async for chunk in stripped(coming())]) == run(content)


def test_the_checksums_of_what_stays_are_right() -> None:
    left, place = run(FILES["moving png"]), 8

    while place < len(left):
        (length,) = struct.unpack_from(">I", left, place)
        body = left[place + 4 : place + 8 + length]
        assert struct.unpack_from(">I", left, place + 8 + length) == (zlib.crc32(body),)
        place += 12 + length
