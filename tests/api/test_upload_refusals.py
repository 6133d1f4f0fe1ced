"""What is no usable file, or no whole request, is told so and leaves nothing behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest

from tests import files
from tests.api.asking import places, problem
from tests.api.uploading import BOUNDARY, FORM, form, part, send, stored
from tests.conftest import Serve
from tests.service import Service
from tests.waiting import until


@pytest.mark.parametrize(
    "content",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        b"<!doctype html><script>alert(1)</script>",
        b"GIF",
        b"just some text",
        b"PK\x03\x04" + bytes(100),
        b'\x10\x00\x00\x00\x00\x00\x00\x00{"a":1}' + bytes(100),
        b"\x7fELF" + bytes(5000),
    ],
    ids=["svg", "html", "cut signature", "text", "zip", "tensors", "program"],
)
async def test_what_is_no_medium_is_refused_with_what_is_taken(api: Service, content: bytes) -> None:
    answer = await api.http.post("/api/uploads", files={"file": ("picture.png", content, "image/png")})

    assert "PNG" in problem(answer, 415, "unsupported_media_type")["detail"]
    assert stored(api) == []


@pytest.mark.parametrize(
    "content",
    [
        files.png(64, 64)[:-200],
        files.picture("jpeg", 64, 64)[:-500],
        files.picture("webp", 64, 64)[:-100],
        files.png(64, 64)[:40],
        files.png(64, 64)[:8],
        b"\xff\xd8\xff" + bytes(5000),
        b"GIF89a" + bytes(5000),
        files.png_claiming(500, 500),
    ],
    ids=["png", "jpeg", "webp", "png header", "png signature", "jpeg of zeros", "gif of zeros", "png without pixels"],
)
async def test_a_picture_that_is_cut_off_or_broken_is_refused(api: Service, content: bytes) -> None:
    answer = await api.http.post("/api/uploads", files={"file": ("a.png", content)})

    assert "broken" in problem(answer, 422, "unusable_file")["detail"]
    assert stored(api) == []


@pytest.mark.parametrize(
    "content",
    [
        files.png_claiming(10_000, 10_001),
        files.png_claiming(2**31 - 1, 2**31 - 1),
        files.png_bomb(9_000, 6_000),
        files.webp_claiming(16_000, 16_000),
        b"GIF89a" + b"\xff\xff\xff\xff" + bytes(9000),
    ],
    ids=["100 megapixels", "all the pixels there are", "bomb", "webp", "gif"],
)
async def test_a_picture_with_too_many_pixels_is_refused_before_it_is_decoded(api: Service, content: bytes) -> None:
    answer = await api.http.post("/api/uploads", content=content)

    assert "50000000 pixels" in problem(answer, 422, "unusable_file")["detail"]
    assert stored(api) == []


async def test_a_file_over_the_limit_is_refused_announced_or_not(serve: Serve) -> None:
    api = await serve(max_upload_bytes=100_000)
    content = files.mp4(200_000)

    async def unannounced() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 10_000):
            yield content[start : start + 10_000]

    announced = await api.http.post("/api/uploads", files={"file": content})
    streamed = await api.http.post("/api/uploads", content=unannounced())
    just_over = await api.http.post("/api/uploads", content=content[:100_001])
    just_right = await api.http.post("/api/uploads", content=content[:100_000])

    for refused in (announced, streamed, just_over):
        problem(refused, 413, "body_too_large")
    assert just_right.status_code == 201
    assert len(stored(api)) == 1


async def test_an_upload_may_be_larger_than_other_bodies_and_they_stay_limited(serve: Serve) -> None:
    api = await serve(max_body_bytes=10_000)
    content = files.mp4(100_000)

    upload = await send(api, content)
    other = await api.http.post("/api/generate", content=b"x" * 20_000)

    assert upload["sizeBytes"] == len(content)
    problem(other, 413, "body_too_large")


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"", {}, 422, "unusable_file"),
        (form(part(b"")), FORM, 422, "unusable_file"),
        (b"", FORM, 400, "malformed_body"),
        (form(), FORM, 422, "invalid_request"),
        (form(part(files.png(), "image")), FORM, 422, "invalid_request"),
        (form(part(files.png()), part(files.png(seed=1))), FORM, 422, "invalid_request"),
        (part(files.png()), FORM, 400, "malformed_body"),
        (part(files.png())[:-40], FORM, 400, "malformed_body"),
        (form(part(files.png())), {"Content-Type": "multipart/form-data; boundary=other"}, 400, "malformed_body"),
        (form(part(files.png())), {"Content-Type": "multipart/form-data"}, 400, "malformed_body"),
        (form(*(part(b"x", f"f{n}", None) for n in range(200))), FORM, 400, "malformed_body"),
        (b"--" + BOUNDARY.encode() + b"\r\n" + b"X: y\r\n" * 50 + b"\r\n", FORM, 400, "malformed_body"),
    ],
    ids=[
        *("empty body", "empty file", "empty form body", "form without fields", "other field", "two files"),
        *("no end", "cut off", "wrong boundary", "no boundary", "too many fields", "too many headers"),
    ],
)
async def test_a_body_that_is_no_file_is_told_so_and_leaves_nothing(
    api: Service, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    answer = await api.http.post("/api/uploads", content=body, headers=headers)

    problem(answer, status, code)
    assert stored(api) == []


async def test_a_form_without_the_field_is_told_which_it_has(api: Service) -> None:
    answer = await api.http.post("/api/uploads", files={"image": files.png()})

    assert places(answer) == {"/file": "is missing, and the form has 'image'; send the file in a field of this name"}


@pytest.mark.parametrize("sent", [100, 60_000])
async def test_who_hangs_up_in_the_middle_leaves_nothing(api: Service, sent: int) -> None:
    content = files.mp4(200_000)
    before = part(content)
    address = urlsplit(api.url)
    head = f"POST /api/uploads HTTP/1.1\r\nHost: x\r\nContent-Type: {FORM['Content-Type']}\r\n"
    raw = f"{head}Content-Length: {len(before) + 100}\r\n\r\n".encode() + before[:sent]

    def hang_up() -> None:
        with socket.create_connection((address.hostname or "", address.port or 0)) as caller:
            caller.sendall(raw)

    await asyncio.to_thread(hang_up)

    later = await send(api, files.png())
    await until(lambda: len(stored(api)) == 1)
    assert later["id"] in str(stored(api)[0])
