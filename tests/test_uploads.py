"""What a caller names as input becomes an upload, or a refusal that says what to do; nothing is left of what failed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from app.addresses import Allowed
from app.errors import AppError, BadSource, BodyTooLarge, Unavailable, UnsupportedMedia, UnusableFile
from app.fetching import Fetcher
from app.intake import Upload, accepted_type, picture_size, shown_name
from app.local_storage import LocalStorage
from app.records import OutputKind
from app.screening import Screening
from app.storage import Kept, StorageFull
from app.uploads import Uploads
from tests import files
from tests.intake import NOBODY, PICTURE, Place, bytes_of, data_url, opened


@pytest.fixture
async def place(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Place]:
    async with AsyncExitStack() as stack:
        yield await opened(stack, sqlite_url, tmp_path / "files")


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
