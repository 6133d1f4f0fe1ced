"""Converted pictures: made once for all who ask, remembered within bounds, and never half there."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from app.conversions import MAX_WAITING, Conversions, ConversionsBusy
from app.pictures import Conversion, PictureFormat, PictureGone, UnreadablePicture, convert
from app.storage import StorageUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HASH = "ab" * 32
THUMBNAIL = Conversion(PictureFormat.WEBP, width=64)


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.effect_noise((800, 600), 60).save(path)
    return path


@pytest.fixture
async def conversions(cache_dir: Path) -> AsyncIterator[Conversions]:
    made = Conversions(cache_dir)
    yield made
    await made.aclose()


class GatedConvert:
    """The real conversion, counted and held back until it is let go."""

    def __init__(self) -> None:
        self.calls = 0
        self.has_begun = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._gate = threading.Event()

    def __call__(self, source: Path, conversion: Conversion) -> bytes:
        self.calls += 1
        self._loop.call_soon_threadsafe(self.has_begun.set)
        assert self._gate.wait(timeout=20)
        return convert(source, conversion)

    def let_go(self) -> None:
        self._gate.set()


@pytest.fixture
async def gated() -> GatedConvert:
    return GatedConvert()


@pytest.fixture
async def gated_conversions(cache_dir: Path, gated: GatedConvert) -> AsyncIterator[Conversions]:
    made = Conversions(cache_dir, convert=gated)
    yield made
    gated.let_go()
    await made.aclose()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def bytes_of(path: Path) -> bytes:
    return path.read_bytes()


def remove(path: Path) -> None:
    path.unlink()


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


async def test_twenty_who_ask_at_once_get_one_file_made_once(
    gated_conversions: Conversions, gated: GatedConvert, picture: Path, cache_dir: Path
) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(gated_conversions.converted(picture, HASH, THUMBNAIL)) for _ in range(20)]
        await gated.has_begun.wait()
        gated.let_go()

    [path] = {task.result() for task in tasks}
    assert gated.calls == 1
    assert names_in(cache_dir) == [path.name]
    assert size_of(path) == (64, 48)


async def test_a_remembered_conversion_needs_its_source_no_more(conversions: Conversions, picture: Path) -> None:
    first = await conversions.converted(picture, HASH, THUMBNAIL)
    content = bytes_of(first)
    remove(picture)

    again = await conversions.converted(picture, HASH, THUMBNAIL)

    assert again == first
    assert bytes_of(again) == content


async def test_different_wishes_and_different_sources_are_different_files(
    conversions: Conversions, picture: Path
) -> None:
    wishes = [(HASH, THUMBNAIL), (HASH, Conversion(PictureFormat.WEBP, width=65)), ("cd" * 32, THUMBNAIL)]
    wishes += [(HASH, Conversion(PictureFormat.JPEG, width=64)), (HASH, Conversion(PictureFormat.WEBP, 10, 64))]

    paths = {await conversions.converted(picture, sha256, wish) for sha256, wish in wishes}

    assert len(paths) == len(wishes)


async def test_a_caller_that_goes_away_takes_nothing_from_the_others(
    gated_conversions: Conversions, gated: GatedConvert, picture: Path
) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        leaving = group.create_task(gated_conversions.converted(picture, HASH, THUMBNAIL))
        staying = group.create_task(gated_conversions.converted(picture, HASH, THUMBNAIL))
        await gated.has_begun.wait()
        leaving.cancel()
        gated.let_go()

    assert leaving.cancelled()
    assert gated.calls == 1
    assert size_of(staying.result()) == (64, 48)


async def test_when_all_callers_go_away_the_next_gets_what_was_begun_for_them(
    gated_conversions: Conversions, gated: GatedConvert, picture: Path
) -> None:
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        leaving = group.create_task(gated_conversions.converted(picture, HASH, THUMBNAIL))
        await gated.has_begun.wait()
        leaving.cancel()
    gated.let_go()

    async with asyncio.timeout(20):
        path = await gated_conversions.converted(picture, HASH, THUMBNAIL)

    assert gated.calls == 1
    assert size_of(path) == (64, 48)


async def test_a_failed_conversion_is_told_to_everyone_and_tried_again(
    conversions: Conversions, picture: Path, cache_dir: Path
) -> None:
    whole = bytes_of(picture)
    put(picture, whole[:1000])

    results = await asyncio.gather(
        *(conversions.converted(picture, HASH, THUMBNAIL) for _ in range(5)), return_exceptions=True
    )
    put(picture, whole)
    path = await conversions.converted(picture, HASH, THUMBNAIL)

    assert [type(result) for result in results] == [UnreadablePicture] * 5
    assert names_in(cache_dir) == [path.name]


async def test_a_missing_source_is_gone(conversions: Conversions, tmp_path: Path) -> None:
    with pytest.raises(PictureGone):
        await conversions.converted(tmp_path / "missing", HASH, THUMBNAIL)


async def test_a_cache_that_cannot_be_written_is_a_storage_failure(
    conversions: Conversions, picture: Path, cache_dir: Path
) -> None:
    put(cache_dir, b"in the way")

    with pytest.raises(StorageUnavailable):
        await conversions.converted(picture, HASH, THUMBNAIL)


async def test_the_cache_forgets_what_was_not_used_for_longest(cache_dir: Path, picture: Path) -> None:
    sized = Conversions(cache_dir, max_bytes=10**9)
    wishes = [Conversion(PictureFormat.PNG, width=width) for width in (200, 201, 202, 203)]
    old, used, young = [await sized.converted(picture, HASH, wish) for wish in wishes[:3]]
    for age, path in ((30, old), (20, used), (10, young)):
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    room = bytes_in(cache_dir)
    await sized.aclose()
    bounded = Conversions(cache_dir, max_bytes=int(room * 1.2))

    assert await bounded.converted(picture, HASH, wishes[0]) == old
    newest = await bounded.converted(picture, HASH, wishes[3])
    await bounded.aclose()

    kept = names_in(cache_dir)
    assert used.name not in kept
    assert {old.name, newest.name} <= set(kept)
    assert bytes_in(cache_dir) <= room * 1.2


async def test_a_cache_of_no_size_still_answers(cache_dir: Path, picture: Path) -> None:
    tiny = Conversions(cache_dir, max_bytes=0)

    await tiny.converted(picture, HASH, THUMBNAIL)
    path = await tiny.converted(picture, HASH, Conversion(PictureFormat.JPEG))
    await tiny.aclose()

    assert names_in(cache_dir) == [path.name]


async def test_too_many_waiting_conversions_are_refused_and_the_others_made(
    gated_conversions: Conversions, gated: GatedConvert, picture: Path, cache_dir: Path
) -> None:
    wishes = [Conversion(PictureFormat.PNG, width=width) for width in range(1, MAX_WAITING + 6)]

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        tasks = [group.create_task(outcome(gated_conversions, picture, wish)) for wish in wishes]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        gated.let_go()

    refused = [task.result() for task in tasks if isinstance(task.result(), ConversionsBusy)]
    assert 1 <= len(refused) <= 5
    assert len(names_in(cache_dir)) == len(wishes) - len(refused)


async def outcome(conversions: Conversions, picture: Path, wish: Conversion) -> Path | ConversionsBusy:
    try:
        return await conversions.converted(picture, HASH, wish)
    except ConversionsBusy as busy:
        return busy
