"""Files over HTTP: in as a form or as they are, out again byte for byte, and nothing left of those that are refused."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests import files
from tests.api.asking import NOBODY, places, problem
from tests.api.uploading import BOUNDARY, FORM, form, part, send, stored
from tests.conftest import Serve
from tests.service import Service


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
