"""Pictures: how large one is, and what becomes of it in another format."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from app.filetypes import kind_of
from app.pictures import (
    Conversion,
    PictureFormat,
    PictureGone,
    PictureTooLarge,
    UnreadablePicture,
    convert,
    dimensions,
)

if TYPE_CHECKING:
    from pathlib import Path

WEBP = Conversion(PictureFormat.WEBP)
JPEG = Conversion(PictureFormat.JPEG)
PNG = Conversion(PictureFormat.PNG)


def saved(picture: Image.Image, image_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def png_claiming(width: int, height: int) -> bytes:
    """A valid PNG header whose pixels never come."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"")
    chunks = [
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body)) for body in (header, pixels)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF"])
def test_a_picture_is_measured_by_its_beginning(image_format: str) -> None:
    assert dimensions(saved(Image.new("RGB", (40, 30)), image_format)) == (40, 30)


def test_a_jpeg_is_measured_behind_a_large_profile_when_the_file_is_at_hand(source: Path) -> None:
    content = saved(Image.new("RGB", (64, 48)), "JPEG", icc_profile=bytes(200_000))
    source.write_bytes(content)

    assert dimensions(content[:16384]) is None
    assert dimensions(source) == (64, 48)


def test_a_huge_size_is_reported_and_no_pixel_decoded() -> None:
    assert dimensions(png_claiming(100_000, 90_000)) == (100_000, 90_000)


@pytest.mark.parametrize(
    "content", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF", png_claiming(0, 5)]
)
def test_what_is_no_picture_has_no_size(content: bytes) -> None:
    assert dimensions(content) is None


def test_a_missing_file_has_no_size(tmp_path: Path) -> None:
    assert dimensions(tmp_path / "missing") is None


@given(
    st.binary(max_size=200), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8", b"GIF89a", b"RIFF\0\0\0\0WEBP"])
)
def test_measuring_broken_bytes_never_fails(rest: bytes, beginning: bytes) -> None:
    size = dimensions(beginning + rest)

    assert size is None or min(size) > 0


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("conversion", [WEBP, JPEG, PNG], ids=lambda conversion: conversion.format)
def test_every_format_converts_into_every_other(source: Path, image_format: str, conversion: Conversion) -> None:
    source.write_bytes(saved(Image.new("RGB", (40, 30), "teal"), image_format))

    content = convert(source, conversion)

    assert kind_of("x", content).mime_type == conversion.mime_type
    assert opened(content).size == (40, 30)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "I;16", "I", "F", "YCbCr", "LAB"])
@pytest.mark.parametrize("conversion", [WEBP, JPEG, PNG], ids=lambda conversion: conversion.format)
def test_every_colour_mode_converts(source: Path, mode: str, conversion: Conversion) -> None:
    source.write_bytes(saved(Image.new(mode, (8, 6)), "TIFF"))

    assert opened(convert(source, conversion)).size == (8, 6)


@pytest.mark.parametrize(("name", "renamed"), [("a.b.png", "a.b.webp"), ("bare", "bare.webp"), ("", ".webp")])
def test_a_converted_file_is_named_by_its_new_format(name: str, renamed: str) -> None:
    assert WEBP.renamed(name) == renamed


def test_a_picture_is_made_smaller_in_proportion_and_never_larger(source: Path) -> None:
    source.write_bytes(saved(Image.new("RGB", (400, 300)), "PNG"))

    smaller = convert(source, Conversion(PictureFormat.WEBP, width=100))
    larger = convert(source, Conversion(PictureFormat.WEBP, width=4000))

    assert opened(smaller).size == (100, 75)
    assert opened(larger).size == (400, 300)


def test_a_sliver_keeps_at_least_one_row(source: Path) -> None:
    source.write_bytes(saved(Image.new("RGB", (1000, 1)), "PNG"))

    assert opened(convert(source, Conversion(PictureFormat.PNG, width=10))).size == (10, 1)


def test_quality_changes_the_size_of_the_file(source: Path) -> None:
    source.write_bytes(saved(Image.effect_noise((200, 200), 80), "PNG"))

    small, large = (convert(source, Conversion(PictureFormat.JPEG, quality=quality)) for quality in (10, 95))

    assert len(small) < len(large)


def test_transparency_becomes_white_in_jpeg_and_stays_in_webp(source: Path) -> None:
    source.write_bytes(saved(Image.new("RGBA", (8, 8), (255, 0, 0, 0)), "PNG"))

    assert opened(convert(source, JPEG)).convert("RGB").getpixel((4, 4)) == (255, 255, 255)
    assert opened(convert(source, WEBP)).convert("RGBA").getchannel("A").getextrema() == (0, 0)


def test_a_photograph_is_turned_upright(source: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    source.write_bytes(saved(Image.new("RGB", (40, 30)), "JPEG", exif=exif))

    assert opened(convert(source, PNG)).size == (30, 40)
    assert opened(convert(source, Conversion(PictureFormat.JPEG, width=15))).size == (15, 20)


def test_the_workflow_inside_a_picture_is_not_handed_on(source: Path) -> None:
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", '{"3": {"class_type": "KSampler"}}')
    source.write_bytes(saved(Image.new("RGB", (8, 8)), "PNG", pnginfo=texts))

    for conversion in (WEBP, JPEG, PNG):
        assert b"KSampler" not in convert(source, conversion)


def test_an_animation_stays_one_in_webp_of_its_size_and_is_its_first_frame_elsewhere(source: Path) -> None:
    frames = [Image.new("RGB", (40, 30), colour) for colour in ("red", "green", "blue")]
    source.write_bytes(
        saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=[100, 200, 300], loop=0)
    )

    animation = opened(convert(source, WEBP))
    small = opened(convert(source, Conversion(PictureFormat.WEBP, width=20)))
    still = opened(convert(source, PNG))

    assert (getattr(animation, "n_frames", 1), animation.size) == (3, (40, 30))
    assert (getattr(small, "n_frames", 1), small.size) == (1, (20, 15))
    assert (getattr(still, "n_frames", 1), still.convert("RGB").getpixel((5, 5))) == (1, (255, 0, 0))


def test_sixteen_bits_are_scaled_and_not_clipped(source: Path) -> None:
    source.write_bytes(saved(Image.new("I;16", (8, 8), 32768), "PNG"))

    low, high = opened(convert(source, PNG)).convert("L").getextrema()

    assert (low, high) == (128, 128)


def test_a_decompression_bomb_is_refused(source: Path) -> None:
    source.write_bytes(png_claiming(100_000, 90_000))

    with pytest.raises(PictureTooLarge):
        convert(source, WEBP)


def test_what_pillow_would_only_warn_of_is_refused_under_ordinary_warning_filters(source: Path) -> None:
    source.write_bytes(png_claiming(11_000, 10_000))
    script = """
import pathlib, sys
from app.pictures import Conversion, PictureFormat, PictureTooLarge, convert
try:
    convert(pathlib.Path(sys.argv[1]), Conversion(PictureFormat.WEBP))
except PictureTooLarge:
    print("refused")
"""

    ran = subprocess.run([sys.executable, "-c", script, source], capture_output=True, text=True, timeout=30, check=True)

    assert ran.stdout.strip() == "refused"


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("cut", [0, 5, 20, 60, 200, -30])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_a_cut_off_picture_is_unreadable(source: Path, image_format: str, cut: int) -> None:
    source.write_bytes(saved(Image.effect_noise((60, 60), 50).convert("RGB"), image_format)[:cut])

    with pytest.raises(UnreadablePicture):
        convert(source, PNG)


def test_a_video_is_unreadable_as_picture_and_a_missing_file_gone(source: Path, tmp_path: Path) -> None:
    source.write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(100))

    with pytest.raises(UnreadablePicture):
        convert(source, WEBP)
    with pytest.raises(PictureGone):
        convert(tmp_path / "missing", WEBP)
