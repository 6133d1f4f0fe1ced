"""What a caller names as input - an id, a data URL, a URL - becomes an upload, or a refusal that says what to do."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from urllib.parse import quote

import pytest

from app import data_urls
from app.errors import BadSource, NotFound
from app.records import Output, OutputKind
from tests import files
from tests.comfyui.servers import answer
from tests.intake import NOBODY, PICTURE, Place, bytes_of, data_url, generation, opened, output
from tests.web import running_web


@pytest.fixture
async def place(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        yield await opened(stack, sqlite_url, tmp_path / "files")


async def test_an_id_means_the_upload(place: Place) -> None:
    kept = await place.uploads.keep(bytes_of(PICTURE), None)

    assert await place.uploads.from_source(f" {kept.id}\n") == kept


async def test_an_id_nobody_has_is_a_bad_source(place: Place) -> None:
    with pytest.raises(NotFound):
        await place.uploads.get(NOBODY)
    with pytest.raises(BadSource, match=NOBODY):
        await place.uploads.from_source(NOBODY)


@pytest.mark.parametrize(
    "url",
    [
        data_url(PICTURE),
        data_url(PICTURE, "text/html"),
        data_url(PICTURE, "").replace("data:", "DATA:"),
        data_url(PICTURE, "image/png;name=a.png"),
        data_url(PICTURE).rstrip("="),
        data_url(PICTURE).replace("+", "-").replace("/", "_").replace("image_png", "image/png"),
        "data:image/png;base64," + "\r\n".join(base64.encodebytes(PICTURE).decode().splitlines()),
        "data:image/png;base64," + quote(base64.b64encode(PICTURE).decode(), safe=""),
        "data:," + quote(PICTURE, safe=""),
    ],
    ids=["plain", "other type", "no type", "parameter", "no padding", "url alphabet", "lines", "encoded", "percent"],
)
async def test_a_data_url_is_the_file_in_it(place: Place, url: str) -> None:
    kept = await place.uploads.from_source(url)

    assert kept.mime_type == "image/png"
    assert await place.content(kept) == PICTURE


def test_a_large_data_url_comes_in_pieces() -> None:
    content = files.mp4(3_000_000)

    pieces = list(data_urls.decoded(data_url(content)))

    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 1024 * 1024


@pytest.mark.parametrize(
    "source",
    [
        *("", " ", "picture.png", "../etc/passwd", "file:///etc/passwd", "ftp://host/a.png", NOBODY.upper(), "\x00"),
        *("data:", "data:image/png;base64", "data:image/png;base64,%%%", "data:image/png;base64,A", "data:;base64,é"),
        *("data:image/png;base64,", "http://", "http://[::1", "http://127.0.0.1/a.png", "//host/a.png", "é" * 5000),
    ],
)
async def test_what_is_no_source_is_refused_with_what_is(place: Place, source: str) -> None:
    with pytest.raises(BadSource) as raised:
        await place.uploads.from_source(source)

    assert raised.value.detail.endswith(".")
    assert place.stored == []


async def test_a_url_is_fetched_and_kept_under_the_name_in_it(place: Place) -> None:
    async with running_web() as web:
        web.pages["/x/photo%20one.png"] = answer(200, PICTURE, "text/plain")

        kept = await place.uploads.from_source(web.url("good.test", "/x/photo%20one.png"))

    assert kept.filename == "photo one.png"
    assert await place.content(kept) == PICTURE


async def test_a_url_without_an_end_is_left_at_the_limit(place: Place) -> None:
    async def endless() -> AsyncIterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n" + files.mp4(100)
        while True:
            yield bytes(10_000)

    async with running_web() as web:
        web.pages["/endless"] = endless
        with pytest.raises(BadSource, match="100000 bytes"):
            await place.uploads.from_source(web.url("good.test", "/endless"))

    assert place.stored == []


async def test_a_page_at_a_url_is_refused_by_its_beginning(place: Place) -> None:
    async with running_web() as web:
        web.pages["/page"] = answer(200, b"<!doctype html>" + b"x" * 90_000, "image/png")
        with pytest.raises(BadSource, match="no type that is taken"):
            await place.uploads.from_source(web.url("good.test", "/page"))

    assert place.stored == []


@pytest.mark.parametrize("path", ["images/0", "outputs/1", "images/0?format=webp&token=1.2", "outputs/1#x"])
@pytest.mark.parametrize("origin", ["", "http://relay.test:8000", "https://Relay.test:8000"])
async def test_an_output_of_a_generation_is_used_as_input_by_its_url(place: Place, path: str, origin: str) -> None:
    text = Output(index=0, node_id="1", kind=OutputKind.TEXT, filename="1.txt", mime_type="", size_bytes=1, sha256="b")
    picture = await output(place, 1, PICTURE)
    url = f"{origin}/api/generations/{await generation(place, text, picture)}/{path}"

    kept = await place.uploads.from_source(url, "relay.test:8000")
    again = await place.uploads.from_source(url, "relay.test:8000")

    assert again == kept
    assert kept.filename == "out_1.png"
    await place.storage.delete_prefix("outputs")
    assert await place.content(kept) == PICTURE


async def test_an_uploads_own_urls_mean_it(place: Place) -> None:
    kept = await place.uploads.keep(bytes_of(PICTURE), None)

    for url in (f"/api/uploads/{kept.id}", f"http://us/api/uploads/{kept.id}/content?token=x"):
        assert await place.uploads.from_source(url, "us") == kept


@pytest.mark.parametrize(
    "path",
    [
        *("images/5", "images/99999999", "images/-1", "outputs/0", "outputs/x", "workflow", "preview", ""),
        *("images/0/../1", "images/1"),
    ],
)
async def test_an_own_url_that_is_of_no_file_is_refused_and_nothing_is_fetched(place: Place, path: str) -> None:
    text = Output(index=0, node_id="1", kind=OutputKind.TEXT, filename="1.txt", mime_type="", size_bytes=1, sha256="b")
    gone = await output(place, 1, PICTURE)
    await place.storage.delete_prefix("outputs/1")
    made = await generation(place, text, gone)

    with pytest.raises(BadSource):
        await place.uploads.from_source(f"http://us/api/generations/{made}/{path}", "us")
    with pytest.raises(BadSource):
        await place.uploads.from_source(f"/api/generations/{made}/images/0")


async def test_an_output_that_is_no_medium_is_no_input(place: Place) -> None:
    made = await generation(place, await output(place, 0, b"solid stl", OutputKind.MODEL_3D))

    with pytest.raises(BadSource, match="no type that is taken"):
        await place.uploads.from_source(f"/api/generations/{made}/outputs/0")
