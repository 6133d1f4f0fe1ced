"""Files over HTTP: in as a form or as they are, out again byte for byte, and nothing left of those that are refused."""

from __future__ import annotations

import asyncio
import hashlib
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests import files
from tests.api.asking import NOBODY, places, problem
from tests.conftest import Serve
from tests.service import Json, Service
from tests.waiting import until

BOUNDARY = "a-boundary"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def part(content: bytes, name: str = "file", filename: str | None = "a.png") -> bytes:
    """A part of a form, written by hand."""
    shown = f'; filename="{filename}"' if filename is not None else ""
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode() + content + b"\r\n"


def form(*parts: bytes, end: str = "--") -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}{end}\r\n".encode()


async def send(api: Service, content: bytes, filename: str = "a.png", expect: int = 201) -> Json:
    """The answer to a form with this file."""
    answer = await api.http.post("/api/uploads", files={"file": (filename, content)})
    assert answer.status_code == expect, answer.text
    upload: Json = answer.json()
    return upload


def stored(api: Service) -> list[Path]:
    """Every file of uploads on disk, half-written ones too."""
    data_dir = api.settings.data_dir
    folders = [data_dir / "uploads", data_dir / ".incoming"]
    return [path for folder in folders if folder.exists() for path in folder.rglob("*") if path.is_file()]


async def test_a_file_comes_back_byte_for_byte_with_what_is_known_of_it(api: Service) -> None:
    content = files.png(40, 30)

    answer = await api.http.post("/api/uploads", files={"file": ("photo.png", content, "text/html")})

    upload = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/api/uploads/{upload['id']}"
    known = {name: upload[name] for name in ("kind", "mimeType", "filename", "width", "height", "sizeBytes", "sha256")}
    assert known == {
        "kind": "image",
        "mimeType": "image/png",
        "filename": "photo.png",
        "width": 40,
        "height": 30,
        "sizeBytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert await api.bytes_of(upload["url"]) == content
    assert (await api.http.get(f"/api/uploads/{upload['id']}")).json() == upload


@pytest.mark.parametrize(
    ("content", "kind", "mime_type", "size"),
    [
        (files.picture("jpeg"), "image", "image/jpeg", (40, 30)),
        (files.picture("webp"), "image", "image/webp", (40, 30)),
        (files.picture("webp", lossless=True), "image", "image/webp", (40, 30)),
        (files.picture("gif"), "image", "image/gif", (40, 30)),
        (files.picture("bmp"), "image", "image/bmp", (40, 30)),
        (files.picture("tiff"), "image", "image/tiff", (40, 30)),
        (files.picture("avif"), "image", "image/avif", (40, 30)),
        (files.mp4(), "video", "video/mp4", (None, None)),
        (files.wav(), "audio", "audio/wav", (None, None)),
    ],
)
async def test_the_content_decides_what_a_file_is(
    api: Service, content: bytes, kind: str, mime_type: str, size: tuple[int | None, int | None]
) -> None:
    upload = await send(api, content, "misleading.txt")

    assert (upload["kind"], upload["mimeType"]) == (kind, mime_type)
    assert (upload["width"], upload["height"]) == size
    assert upload["filename"].startswith("misleading.txt.")
    answer = await api.http.get(upload["url"])
    assert answer.content == content
    assert answer.headers["content-type"] == mime_type


async def test_a_file_may_be_the_body_itself(api: Service) -> None:
    content = files.png()

    answer = await api.http.post("/api/uploads", content=content, params={"filename": "x.png"})

    assert answer.status_code == 201
    assert answer.json()["filename"] == "x.png"
    assert await api.bytes_of(answer.json()["url"]) == content


async def test_a_body_that_comes_in_crumbs_is_the_same_file(api: Service) -> None:
    content = files.png(9, 9)
    whole = form(part(b"ignored", "note", None), part(content), part(b"ignored too", "last", None))

    async def crumbs() -> AsyncIterator[bytes]:
        for start in range(0, len(whole), 7):
            yield whole[start : start + 7]

    answer = await api.http.post("/api/uploads", content=crumbs(), headers=FORM)

    assert answer.status_code == 201, answer.text
    assert await api.bytes_of(answer.json()["url"]) == content


async def test_a_file_with_all_but_the_forms_boundary_inside_is_kept_whole(api: Service) -> None:
    near = f"x--{BOUNDARY}\r\n--{BOUNDARY[:-1]}--\r\n\n--{BOUNDARY}\r\r\n-{BOUNDARY}--\r--{BOUNDARY}\r\n"
    content = files.mp4() + near.encode() + bytes(50)

    answer = await api.http.post("/api/uploads", content=form(part(content)), headers=FORM)

    assert answer.status_code == 201, answer.text
    assert await api.bytes_of(answer.json()["url"]) == content


async def test_the_same_content_again_is_the_same_upload_and_one_file(api: Service) -> None:
    content = files.png()

    first = await send(api, content, "one.png")
    again = await send(api, content, "two.png")

    assert again == first
    assert len(stored(api)) == 1


async def test_many_who_send_the_same_at_once_get_the_same_upload(api: Service) -> None:
    content = files.png()

    answers = await asyncio.gather(*(send(api, content) for _ in range(8)))

    assert len({answer["id"] for answer in answers}) == 1
    assert len(stored(api)) == 1
    assert await api.bytes_of(answers[0]["url"]) == content


async def test_a_file_that_was_lost_comes_back_when_it_is_sent_again(api: Service) -> None:
    content = files.png()
    upload = await send(api, content)
    [path] = stored(api)
    path.unlink()
    problem(await api.http.get(upload["url"]), 410, "output_gone")

    again = await send(api, content)

    assert again["id"] == upload["id"]
    assert await api.bytes_of(upload["url"]) == content


async def test_the_content_is_served_like_an_output(api: Service) -> None:
    content = files.png()
    url = (await send(api, content))["url"]

    whole = await api.http.get(url)
    part_of = await api.http.get(url, headers={"Range": "bytes=10-19"})
    unchanged = await api.http.get(url, headers={"If-None-Match": whole.headers["etag"]})
    head = await api.http.head(url)

    assert whole.headers["x-content-type-options"] == "nosniff"
    assert "immutable" in whole.headers["cache-control"]
    assert (part_of.status_code, part_of.content) == (206, content[10:20])
    assert unchanged.status_code == 304
    assert head.headers["content-length"] == str(len(content))


async def test_pictures_have_thumbnails_and_other_files_have_none(api: Service) -> None:
    picture, sound = await send(api, files.png(800, 600)), await send(api, files.wav())

    small = await api.http.get(picture["thumbnailUrl"])

    assert small.headers["content-type"] == "image/webp"
    assert small.headers["content-disposition"].endswith('filename="a.webp"')
    assert sound["thumbnailUrl"] is None
    refused = await api.http.get(sound["url"], params={"format": "webp"})
    assert places(refused) == {"?format": "only images are converted, and this is audio"}


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


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("../../etc/passwd", "passwd.png"),
        ("..\\..\\windows\\win.ini", "win.ini.png"),
        ("/", "image.png"),
        ("..", "image.png"),
        (".png", "png.png"),
        ("a\x00b.png", "ab.png"),
        ("a.png\r\nX-Evil: 1", "a.pngX-Evil: 1.png"),
        ("photo.PNG", "photo.PNG"),
        ("page.html", "page.html.png"),
        ("gpj.\u202egnp.exe", "gpj.gnp.exe.png"),
        ("x" * 10_000 + ".png", "x" * 116 + ".png"),
        ("Ünïcödé ☃.png", "Ünïcödé ☃.png"),
        ("", "image.png"),
    ],
)
async def test_a_hostile_name_comes_back_harmless_and_reaches_no_disk(api: Service, given: str, shown: str) -> None:
    answer = await api.http.post("/api/uploads", content=files.png(), params={"filename": given})

    assert answer.status_code == 201, answer.text
    assert answer.json()["filename"] == shown
    [path] = stored(api)
    assert re.fullmatch(r"uploads/[0-9a-f]{2}/[0-9a-f-]{36}", str(path.relative_to(api.settings.data_dir)))
    assert (await api.http.get(answer.json()["url"])).status_code == 200


async def test_a_long_name_in_a_form_is_no_reason_to_refuse_it(api: Service) -> None:
    upload = await send(api, files.png(), "../" + "n" * 10_000 + ".png")

    assert upload["filename"] == "n" * 116 + ".png"


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


async def test_an_id_nobody_has_is_a_404_and_a_malformed_one_a_422(api: Service) -> None:
    for path in ("", "/content"):
        problem(await api.http.get(f"/api/uploads/{NOBODY}{path}"), 404, "not_found")
        problem(await api.http.get(f"/api/uploads/no-id{path}"), 422, "invalid_request")


async def test_with_keys_only_the_urls_of_an_upload_open_it(serve: Serve) -> None:
    api = await serve(api_keys="secret")
    upload, other = await send(api, files.png()), await send(api, files.png(seed=1))
    token = urlsplit(upload["url"]).query

    async with httpx.AsyncClient(base_url=api.url, trust_env=False) as stranger:
        refused = await stranger.post("/api/uploads", files={"file": files.png()})
        opened = await stranger.get(upload["url"])
        thumbnail = await stranger.get(upload["thumbnailUrl"])
        foreign = await stranger.get(f"/api/uploads/{other['id']}/content?{token}")
        bare = await stranger.get(f"/api/uploads/{upload['id']}/content")

    assert [each.status_code for each in (refused, foreign, bare)] == [401, 401, 401]
    assert [each.status_code for each in (opened, thumbnail)] == [200, 200]
    assert opened.headers["cache-control"].startswith("private")


async def test_an_upload_survives_a_restart(api: Service) -> None:
    content = files.png()
    upload = await send(api, content)

    await api.stop()
    await api.start()

    assert await api.bytes_of(upload["url"]) == content
    assert await send(api, content) == upload
