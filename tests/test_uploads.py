"""What a caller names as input becomes an upload, or a refusal that says what to do; nothing is left of what failed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app import data_urls
from app.addresses import Allowed
from app.db import Database, Repository
from app.db.upload_shelf import UploadShelf
from app.errors import AppError, BadSource, BodyTooLarge, NotFound, Unavailable, UnsupportedMedia, UnusableFile
from app.fetching import Fetcher
from app.intake import Upload, accepted_type, picture_size, shown_name
from app.local_storage import LocalStorage
from app.records import Generation, Output, OutputKind
from app.screening import Screening
from app.storage import Kept, StorageFull
from app.uploads import Uploads
from tests import files
from tests.comfyui.servers import answer
from tests.waiting import WITHIN_S
from tests.web import LOOPBACK, Names, running_web

NOBODY = "00000000-0000-4000-8000-000000000000"
PICTURE = files.png()


@dataclass
class Place:
    """Uploads on a database and a folder of their own."""

    uploads: Uploads
    shelf: UploadShelf
    repository: Repository
    database: Database
    storage: LocalStorage
    folder: Path

    @property
    def stored(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]

    async def content(self, upload: Upload) -> bytes:
        async with self.uploads.file(upload).local() as path:
            return path.read_bytes()


async def opened(stack: AsyncExitStack, url: str, folder: Path) -> Place:
    database = await stack.enter_async_context(Database(url))
    repository = await stack.enter_async_context(Repository(database))
    shelf, storage = UploadShelf(database), LocalStorage(folder)
    fetcher = Fetcher(
        Allowed.of(["good.test"]), timeout_s=WITHIN_S, max_bytes=100_000, resolve=Names(good_test=[[LOOPBACK]])
    )
    screening = Screening(1_000_000)
    stack.callback(fetcher.close)
    stack.callback(screening.close)
    uploads = Uploads(storage, shelf, repository, fetcher, screening, max_bytes=100_000, wall=lambda: 1234.5)
    return Place(uploads, shelf, repository, database, storage, folder)


@pytest.fixture
async def place(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        yield await opened(stack, sqlite_url, tmp_path / "files")


async def bytes_of(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def upload(**given: object) -> Upload:
    whole: dict[str, object] = {
        "id": NOBODY,
        "sha256": "a" * 64,
        "kind": OutputKind.VIDEO,
        "mime_type": "video/mp4",
        "filename": "é\x00.mp4",
        "size_bytes": 3 * 10**9,
        "location": "uploads/00/0",
        "created_at": 1234.000001,
    }
    return Upload(**{**whole, **given})  # type: ignore[arg-type]


async def generation(place: Place, *outputs: Output) -> str:
    """A finished generation with these outputs on record."""
    record = Generation(id=NOBODY, prompt_id=NOBODY, outputs=outputs, created_at=1.0)
    await place.repository.add(record, workflow={}, request={})
    return record.id


async def output(place: Place, index: int, content: bytes, kind: OutputKind = OutputKind.IMAGE) -> Output:
    """An output that is kept."""
    kept = await place.storage.keep(f"outputs/{index}", bytes_of(content), max_bytes=10**6)
    return Output(
        index=index,
        node_id="9",
        kind=kind,
        filename=f"out_{index}.png",
        mime_type="image/png",
        size_bytes=kept.size_bytes,
        sha256=kept.sha256,
        location=kept.location,
    )


async def test_an_upload_is_on_record_in_either_database(database_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        place = await opened(stack, database_url, tmp_path)

        first = await place.shelf.add(upload())
        same = await place.shelf.add(upload(id=NOBODY.replace("8", "9"), location="uploads/00/1"))

        assert first == same == upload()
        assert await place.shelf.get(NOBODY) == upload()
        assert await place.shelf.by_content("a" * 64) == upload()
        assert await place.shelf.get(NOBODY.replace("8", "9")) is None
        assert await place.shelf.move(first, "uploads/00/2")
        assert not await place.shelf.move(first, "uploads/00/3")
        assert await place.shelf.get(NOBODY) == upload(location="uploads/00/2")


async def test_many_at_once_with_the_same_content_get_one_row(database_url: str, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        place = await opened(stack, database_url, tmp_path / "files")

        kept = await asyncio.gather(*(place.uploads.keep(bytes_of(PICTURE), f"{n}.png") for n in range(10)))

        assert len({each.id for each in kept}) == 1
        assert len(place.stored) == 1
        assert await place.content(kept[0]) == PICTURE


async def test_what_is_kept_is_known_by_its_content(place: Place) -> None:
    kept = await place.uploads.keep(bytes_of(PICTURE[:5], PICTURE[5:]), "../a.PNG")

    sha256 = hashlib.sha256(PICTURE).hexdigest()
    assert (kept.sha256, kept.width, kept.height, kept.filename) == (sha256, 40, 30, "a.PNG")
    assert kept.created_at == 1234.5
    assert await place.uploads.get(kept.id) == kept
    assert kept.input_file.name == f"relay-{sha256[:32]}.png"
    assert (kept.input_file.location, kept.input_file.size_bytes) == (kept.location, len(PICTURE))


async def test_a_sender_who_fails_leaves_nothing(place: Place) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield files.mp4(50_000)
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await place.uploads.keep(failing(), None)

    assert place.stored == []


@pytest.mark.parametrize("pieces", [0, 1, 20])
async def test_a_keeping_that_is_canceled_leaves_nothing(place: Place, pieces: int) -> None:
    reached = asyncio.Event()

    async def stalling() -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield files.mp4(3000)
        reached.set()
        await asyncio.Event().wait()

    keeping = asyncio.create_task(place.uploads.keep(stalling(), None))
    await reached.wait()
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping

    assert place.stored == []


async def test_a_database_that_does_not_answer_leaves_no_file_without_a_row(place: Place) -> None:
    await place.database.write(lambda connection: connection.exec_driver_sql("DROP TABLE uploads"))

    with pytest.raises(Exception, match="database"):
        await place.uploads.keep(bytes_of(PICTURE), None)

    assert place.stored == []


async def test_a_storage_that_is_full_is_told_as_ours_to_repair(place: Place) -> None:
    class Full(LocalStorage):
        async def keep(
            self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int, origin: str | None = None
        ) -> Kept:
            raise StorageFull(key)

    uploads = Uploads(
        Full(place.folder), place.shelf, place.repository, made_for_nobody(), Screening(100), max_bytes=100
    )

    with pytest.raises(Unavailable):
        await uploads.keep(bytes_of(PICTURE), None)
    with pytest.raises(Unavailable):
        await uploads.from_source(data_url(PICTURE))


def made_for_nobody() -> Fetcher:
    return Fetcher(Allowed(), timeout_s=1, max_bytes=1)


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", UnusableFile),
        (b"text", UnsupportedMedia),
        (PICTURE[:-30], UnusableFile),
        (files.mp4(100_000), BodyTooLarge),
        (files.png_claiming(2000, 2000), UnusableFile),
    ],
)
async def test_what_is_refused_is_told_and_removed_whoever_names_it(
    place: Place, content: bytes, error: type[AppError]
) -> None:
    with pytest.raises(error):
        await place.uploads.keep(bytes_of(content), None)
    with pytest.raises(BadSource):
        await place.uploads.from_source(data_url(content))

    assert place.stored == []


async def test_a_file_is_refused_by_its_beginning_before_the_rest_is_asked_for(place: Place) -> None:
    asked = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal asked
        while True:
            asked += 1
            yield b"no picture" * 100

    with pytest.raises(UnsupportedMedia):
        await place.uploads.keep(endless(), None)

    assert asked == 5


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


@pytest.mark.parametrize(
    ("kind", "options"),
    [("webp", {"lossless": True}), ("webp", {"quality": 80}), ("webp", {"exif": b"Exif\x00\x00"}), ("png", {})],
)
def test_the_size_of_a_webp_is_read_by_its_header(kind: str, options: dict[str, Any]) -> None:
    encoded = files.picture(kind, 123, 45, **options)

    assert picture_size(encoded[:30]) == ((123, 45) if kind == "webp" else None)
    assert picture_size(encoded[:29]) is None


@pytest.mark.parametrize("extension", ["jpg", "jpeg", "JFIF", "jpe"])
def test_an_extension_that_tells_the_truth_stays(extension: str) -> None:
    assert shown_name(f"a.{extension}", "image/jpeg") == f"a.{extension}"
    assert shown_name(f"a.{extension}", "image/png") == f"a.{extension}.png"


def test_every_type_that_is_taken_has_a_name_and_no_other_type_is() -> None:
    assert accepted_type(PICTURE) == (OutputKind.IMAGE, "image/png")
    for head in (b"", b"\x89PNG", b"%PDF-1.7", b"glTF" + bytes(9), b"\x00\x00\x00\x18ftypheic" + bytes(9)):
        assert accepted_type(head) is None
