"""What a file is: content first, name second, and nothing that could run code passes for a picture or a text."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from app.filetypes import kind_of
from app.records import OutputKind


@pytest.mark.parametrize(
    ("image_format", "mime_type"),
    [(name, f"image/{name.lower()}") for name in ("PNG", "JPEG", "WEBP", "GIF", "AVIF", "BMP", "TIFF")],
)
def test_a_picture_is_known_by_its_content_whatever_its_name(image_format: str, mime_type: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(buffer, image_format)
    content = buffer.getvalue()

    for name in ("a.mp4", "noextension", "x.html", "a.TXT", ""):
        assert kind_of(name, content) == (OutputKind.IMAGE, mime_type)


def test_an_animated_png_is_served_as_the_png_it_also_is() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])

    assert kind_of("a.apng", buffer.getvalue()) == (OutputKind.IMAGE, "image/png")


@pytest.mark.parametrize(
    ("head", "kind", "mime_type"),
    [
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2", OutputKind.VIDEO, "video/mp4"),
        (b"\x00\x00\x00\x14ftypqt  \x00\x00\x02\x00qt  ", OutputKind.VIDEO, "video/quicktime"),
        (b"\x00\x00\x00\x1cftypM4A \x00\x00\x02\x00", OutputKind.AUDIO, "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\x82\x84webm", OutputKind.VIDEO, "video/webm"),
        (b"\x1a\x45\xdf\xa3\xa3\x42\x86\x81\x01\x42\x82\x88matroska", OutputKind.VIDEO, "video/x-matroska"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", OutputKind.AUDIO, "audio/wav"),
        (b"RIFF\x24\x00\x00\x00AVI LIST", OutputKind.VIDEO, "video/x-msvideo"),
        (b"ID3\x04\x00\x00\x00\x00", OutputKind.AUDIO, "audio/mpeg"),
        (b"\xff\xfb\x90\x64\x00\x00", OutputKind.AUDIO, "audio/mpeg"),
        (b"fLaC\x00\x00\x00\x22", OutputKind.AUDIO, "audio/flac"),
        (b"OggS\x00\x02" + bytes(22) + b"OpusHead", OutputKind.AUDIO, "audio/ogg"),
        (b"OggS\x00\x02" + bytes(22) + b"\x80theora", OutputKind.VIDEO, "video/ogg"),
        (b"glTF\x02\x00\x00\x00", OutputKind.MODEL_3D, "model/gltf-binary"),
        (b"ply\nformat ascii 1.0\n", OutputKind.MODEL_3D, "model/ply"),
        (b'\x40\x00\x00\x00\x00\x00\x00\x00{"latent_tensor":', OutputKind.LATENT, "application/octet-stream"),
        (b"%PDF-1.7", OutputKind.FILE, "application/pdf"),
        (b"<!DOCTYPE html><p>", OutputKind.FILE, "text/html"),
        (b"\xef\xbb\xbf \n<HTML>", OutputKind.FILE, "text/html"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", OutputKind.FILE, "image/svg+xml"),
        (b"<?xml version='1.0'?>\n<svg>", OutputKind.FILE, "image/svg+xml"),
        (b"<?xml version='1.0'?><a/>", OutputKind.FILE, "application/xml"),
    ],
)
def test_content_beats_an_innocent_name(head: bytes, kind: OutputKind, mime_type: str) -> None:
    assert kind_of("ComfyUI_00001_.png", head) == (kind, mime_type)
    assert kind_of("ComfyUI_00001_.txt", head) == (kind, mime_type)


@pytest.mark.parametrize(
    ("name", "head", "kind", "mime_type"),
    [
        ("a.txt", b"BM is how this text begins", OutputKind.TEXT, "text/plain; charset=utf-8"),
        ("a.txt", b"", OutputKind.TEXT, "text/plain; charset=utf-8"),
        ("a.json", b'{"a": 1}', OutputKind.TEXT, "application/json"),
        ("a.srt", b"1\n00:00:00,000 --> 00:00:01,000\n", OutputKind.TEXT, "application/x-subrip"),
        ("a.gltf", b'{"asset": {}}', OutputKind.MODEL_3D, "model/gltf+json"),
        ("a.OBJ", b"v 0 0 0\n", OutputKind.MODEL_3D, "model/obj"),
        ("a.stl", bytes(84), OutputKind.MODEL_3D, "model/stl"),
        ("a.js", b"alert(1)", OutputKind.FILE, "text/javascript"),
        ("a.html", b"just words", OutputKind.FILE, "text/html"),
        ("a.usdz", b"PK\x03\x04", OutputKind.MODEL_3D, "model/vnd.usdz+zip"),
        ("a.png", b"not a picture", OutputKind.FILE, "application/octet-stream"),
        ("a.txt", b"binary\x00after all", OutputKind.FILE, "application/octet-stream"),
        ("unknown.xyz", b"words", OutputKind.FILE, "application/octet-stream"),
        ("", b"", OutputKind.FILE, "application/octet-stream"),
    ],
)
def test_the_extension_decides_only_what_content_cannot(
    name: str, head: bytes, kind: OutputKind, mime_type: str
) -> None:
    assert kind_of(name, head) == (kind, mime_type)


@given(name=st.text(max_size=12), head=st.binary(max_size=64))
def test_any_bytes_have_some_type(name: str, head: bytes) -> None:
    kind, mime_type = kind_of(name, head)

    assert kind in OutputKind
    assert mime_type.isascii()
