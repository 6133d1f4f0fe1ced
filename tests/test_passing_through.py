"""Files that stay where they were made: fetched again when asked for, and never taken for another."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from app.copies import Copies
from app.local_storage import LocalStorage
from app.passing_through import PassingThrough
from app.storage import FileGone, StorageUnavailable
from tests.storages import OriginPlace, files_under, in_chunks, read_part, read_whole

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

KEY = "outputs/3f/3f2c9a52-7d0e-4a52-9c1b-0c8a3d7b6a11/0"
LARGE = os.urandom(3 * 1024 * 1024 + 17)


@pytest.fixture
def passing(tmp_path: Path) -> OriginPlace:
    return OriginPlace(tmp_path / "kept")


async def test_a_fresh_file_is_answered_without_asking_its_origin(passing: OriginPlace) -> None:
    kept = await passing.put(KEY, LARGE)

    assert await read_part(passing.storage, kept.location, 7, 2_000_000) == LARGE[7:2_000_000]
    assert passing.source.asked == 0


async def test_a_file_whose_copy_is_gone_is_fetched_again(passing: OriginPlace) -> None:
    kept = await passing.put(KEY, LARGE)
    passing.forget_copies()

    assert await read_whole(passing.storage, kept.location) == LARGE
    assert passing.source.asked == 1
    assert files_under(passing.folder) == []


async def test_its_beginning_needs_no_copy(passing: OriginPlace) -> None:
    kept = await passing.put(KEY, LARGE)
    passing.forget_copies()

    assert await read_part(passing.storage, kept.location, 0, 100) == LARGE[:100]
    assert files_under(passing.folder) == []


async def test_parts_from_its_middle_are_fetched_once(passing: OriginPlace) -> None:
    kept = await passing.put(KEY, LARGE)
    passing.forget_copies()

    parts = [await read_part(passing.storage, kept.location, start, start + 10) for start in (5, 2_000_000, 77)]

    assert parts == [LARGE[5:15], LARGE[2_000_000:2_000_010], LARGE[77:87]]
    assert passing.source.asked == 1


@pytest.mark.parametrize("other", [b"another", b"small", b"", b"longer than it was"])
async def test_another_file_of_the_same_name_never_goes_out(passing: OriginPlace, other: bytes) -> None:
    kept = await passing.put(KEY, b"picture")
    passing.forget_copies()
    passing.source.files[KEY] = other

    with pytest.raises(FileGone):
        await read_whole(passing.storage, kept.location)
    with pytest.raises(FileGone):
        await read_part(passing.storage, kept.location, 3, 5)
    with pytest.raises(FileGone):
        await passing.storage.inspect(kept.location, lambda file: file.read())
    assert files_under(passing.folder) == []


async def test_a_large_file_that_is_another_one_ends_before_its_end(passing: OriginPlace) -> None:
    kept = await passing.put(KEY, LARGE)
    passing.forget_copies()
    passing.source.files[KEY] = LARGE[:-1] + bytes([LARGE[-1] ^ 1])
    reading = await passing.storage.open(kept.location, lambda size: (0, size))
    pieces = [reading.first, await reading.read(), await reading.read()]

    with pytest.raises(FileGone):
        await reading.read()
    await reading.aclose()

    assert sum(len(piece) for piece in pieces) < len(LARGE)


async def test_an_origin_that_breaks_off_is_told_and_leaves_no_copy(tmp_path: Path) -> None:
    is_broken = False

    async def broken_off() -> AsyncIterator[bytes]:
        yield LARGE[:-5]
        raise StorageUnavailable(KEY, "no answer")

    @contextlib.asynccontextmanager
    async def origin(_: str) -> AsyncIterator[AsyncIterator[bytes]]:
        yield broken_off() if is_broken else in_chunks(LARGE)

    storage = PassingThrough(LocalStorage(tmp_path), Copies(tmp_path / "copies", max_bytes=0), origin)
    kept = await storage.keep(KEY, in_chunks(LARGE), max_bytes=len(LARGE), origin="somewhere")
    for path in files_under(tmp_path):
        path.unlink()
    is_broken = True

    with pytest.raises(StorageUnavailable):
        await read_whole(storage, kept.location)
    with pytest.raises(StorageUnavailable):
        await read_part(storage, kept.location, 5, 9)
    assert files_under(tmp_path) == []


async def test_no_more_stays_than_the_cache_may_hold(tmp_path: Path) -> None:
    passing = OriginPlace(tmp_path / "kept", cache_bytes=50_000)

    kept = [await passing.put(f"outputs/{number}", bytes([number]) * 10_000) for number in range(20)]

    assert sum(path.stat().st_size for path in files_under(passing.folder)) <= 50_000
    assert await read_whole(passing.storage, kept[0].location) == bytes(10_000)


async def test_a_copy_in_use_is_not_thrown_out(tmp_path: Path) -> None:
    passing = OriginPlace(tmp_path / "kept", cache_bytes=10)
    used = await passing.put("outputs/used", b"in use" * 100)

    async with passing.storage.local(used.location) as path:
        await passing.put("outputs/other", b"newest" * 100)
        assert path.read_bytes() == b"in use" * 100
    await passing.put("outputs/third", b"third" * 100)

    assert not path.exists()


async def test_what_has_no_origin_is_kept_here(passing: OriginPlace) -> None:
    kept = await passing.storage.keep("uploads/1", in_chunks(b"input"), max_bytes=5)
    passing.forget_copies()

    assert kept.location == "uploads/1"
    assert await read_whole(passing.storage, kept.location) == b"input"
    assert passing.storage.path_of(kept.location) == passing.folder / "uploads/1"
