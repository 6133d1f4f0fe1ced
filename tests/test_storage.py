"""One contract for every storage: whole or not at all, found again in every part, under harmless names."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import os
import random
from typing import TYPE_CHECKING, BinaryIO

import pytest

from app.storage import HEAD_BYTES, BadKey, FileGone, FileTooLarge
from tests.storages import in_chunks, read_part, read_whole
from tests.waiting import WITHIN_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.storages import Place

KEY = "outputs/3f/3f2c9a52-7d0e-4a52-9c1b-0c8a3d7b6a11/0"
MIB = 1024 * 1024
# Several parts of an upload to a bucket, and the last one not full.
HUGE = os.urandom(20 * MIB + 17)
LARGE = HUGE[: 3 * MIB + 17]
SIZES = {"empty": 0, "byte": 1, "small": 100_000, "a piece": MIB, "large": len(LARGE), "huge": len(HUGE)}


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES.keys())
async def test_a_kept_file_is_found_whole_under_its_location(place: Place, size: int) -> None:
    content = HUGE[:size]

    kept = await place.put(KEY, content)

    assert await read_whole(place.storage, kept.location) == content
    assert await read_whole(place.storage, kept.location, size) == content
    assert kept.size_bytes == size
    assert kept.sha256 == hashlib.sha256(content).hexdigest()
    assert kept.head == content[:HEAD_BYTES]


async def test_the_head_is_complete_when_the_file_comes_in_crumbs(place: Place) -> None:
    content = LARGE[: HEAD_BYTES + 100]

    kept = await place.put(KEY, content, chunk_bytes=7)

    assert kept.head == content[:HEAD_BYTES]


@pytest.mark.parametrize("allowed", [7, 2 * MIB, len(HUGE) - 1])
async def test_a_file_past_the_allowed_size_leaves_nothing(place: Place, allowed: int) -> None:
    with pytest.raises(FileTooLarge) as refused:
        await place.storage.keep(KEY, in_chunks(HUGE), max_bytes=allowed, origin=place.origin(KEY, HUGE))

    assert refused.value.max_bytes == allowed
    assert place.leavings() == []


async def test_keeping_again_replaces_the_file(place: Place) -> None:
    await place.put(KEY, b"old")

    kept = await place.put(KEY, b"new")

    assert await read_whole(place.storage, kept.location) == b"new"
    assert len(place.leavings()) == 1


@pytest.mark.parametrize("size", [0, 1000, len(HUGE)])
async def test_a_source_that_breaks_off_leaves_nothing_and_tells_its_own_error(place: Place, size: int) -> None:
    async def breaking() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(HUGE[:size]):
            yield chunk
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await place.storage.keep(KEY, breaking(), max_bytes=len(HUGE), origin=place.origin(KEY, HUGE))

    assert place.leavings() == []


async def test_nothing_is_visible_before_the_last_byte(place: Place) -> None:
    seen: list[bytes] = []

    async def watching() -> AsyncIterator[bytes]:
        async for chunk in in_chunks(HUGE):
            yield chunk
        seen.extend(place.visible())

    await place.storage.keep(KEY, watching(), max_bytes=len(HUGE), origin=place.origin(KEY, HUGE))

    assert seen == []
    assert place.visible() == [HUGE]


async def test_a_canceled_keep_leaves_nothing_behind(place: Place) -> None:
    is_reading = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        yield HUGE
        is_reading.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        keeping = group.create_task(place.storage.keep(KEY, endless(), max_bytes=len(HUGE) + 1, origin=KEY))
        await is_reading.wait()
        keeping.cancel()

    assert keeping.cancelled()
    assert place.leavings() == []


@pytest.mark.parametrize("turns", [*range(12), 20, 40, 80])
async def test_a_keep_canceled_at_any_moment_leaves_nothing_or_the_whole_file(place: Place, turns: int) -> None:
    origin = place.origin(KEY, HUGE)

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        keeping = group.create_task(place.storage.keep(KEY, in_chunks(HUGE), max_bytes=len(HUGE), origin=origin))
        for _ in range(turns):
            await asyncio.sleep(0)
        keeping.cancel()

    assert place.visible() in ([], [HUGE])
    assert len(place.leavings()) == len(place.visible())


@pytest.mark.parametrize("turns", range(1, 6))
async def test_an_open_canceled_at_any_moment_leaves_no_file_open(place: Place, turns: int) -> None:
    kept = await place.put(KEY, LARGE)

    opening = asyncio.create_task(place.storage.open(kept.location, lambda size: (0, size)))
    for _ in range(turns):
        await asyncio.sleep(0)
    if not opening.cancel():
        await (await opening).aclose()
    await asyncio.wait({opening})
    gc.collect()  # A file that is merely forgotten warns, and a warning fails.

    assert place.visible() == [LARGE]


@pytest.mark.parametrize("is_size_known", [True, False])
async def test_any_part_of_a_file_can_be_read(place: Place, is_size_known: bool) -> None:
    kept = await place.put(KEY, LARGE)
    dice = random.Random(7)
    parts = [(0, 1), (0, len(LARGE)), (len(LARGE) - 1, len(LARGE)), (MIB, 2 * MIB), (5, 5)]
    for _ in range(10):
        start, stop = sorted(dice.sample(range(len(LARGE) + 1), 2))
        parts.append((start, stop))

    for start, stop in parts:
        part = await read_part(place.storage, kept.location, start, stop, len(LARGE) if is_size_known else None)

        assert part == LARGE[start:stop]


async def test_whoever_reads_is_told_the_size_of_the_whole(place: Place) -> None:
    kept = await place.put(KEY, LARGE)
    told: list[int] = []

    def choose(size: int) -> tuple[int, int]:
        told.append(size)
        return 10, 20

    reading = await place.storage.open(kept.location, choose)
    await reading.aclose()

    assert (told[-1], reading.size, reading.first) == (len(LARGE), len(LARGE), LARGE[10:20])


async def test_a_file_can_be_looked_into_at_any_place(place: Place) -> None:
    kept = await place.put(KEY, LARGE)

    def look(file: BinaryIO) -> list[bytes]:
        found = [file.read(4)]
        file.seek(-5, os.SEEK_END)
        found.append(file.read())
        file.seek(2 * MIB)
        file.seek(7, os.SEEK_CUR)
        found.append(file.read(3))
        return found

    assert await place.storage.inspect(kept.location, look) == [
        LARGE[:4],
        LARGE[-5:],
        LARGE[2 * MIB + 7 : 2 * MIB + 10],
    ]


async def test_what_a_look_raises_comes_through(place: Place) -> None:
    kept = await place.put(KEY, b"x")

    def look(file: BinaryIO) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await place.storage.inspect(kept.location, look)


async def test_a_file_has_a_path_as_long_as_it_is_needed(place: Place) -> None:
    kept = await place.put(KEY, LARGE)

    async def used() -> bytes:
        async with place.storage.local(kept.location) as path:
            return path.read_bytes()

    contents = await asyncio.gather(*(used() for _ in range(5)))

    assert contents == [LARGE] * 5


async def test_a_file_that_was_never_kept_is_gone(place: Place) -> None:
    with pytest.raises(FileGone):
        await read_whole(place.storage, KEY)
    with pytest.raises(FileGone):
        await read_whole(place.storage, KEY, 100)
    with pytest.raises(FileGone):
        await place.storage.open(KEY, lambda size: (0, 0), size_bytes=100)
    with pytest.raises(FileGone):
        await place.storage.inspect(KEY, lambda file: file.read(1))


async def test_deleting_a_folder_spares_its_namesakes(place: Place) -> None:
    for key in ("a/one/0", "a/one/1", "a/one-more/0", "a/o/0"):
        await place.put(key, key.encode())

    await place.storage.delete_prefix("a/one/")

    assert sorted(place.visible()) == [b"a/o/0", b"a/one-more/0"]
    assert len(place.leavings()) == 2


async def test_deleting_a_single_file_and_what_is_not_there(place: Place) -> None:
    await place.put(KEY, b"x")

    await place.storage.delete_prefix(KEY)
    await place.storage.delete_prefix(KEY)
    await place.storage.delete_prefix("outputs/never/was")

    assert place.leavings() == []


async def test_a_usable_storage_passes_its_check_and_is_swept(place: Place) -> None:
    await place.storage.check_writable()

    assert await place.storage.sweep() == 0
    assert place.leavings() == []


HOSTILE_KEYS = ["", "/", "/etc/passwd", "../x", "a/../b", "a/..", ".", "a/./b", "a//b", "a/", "A.png", "a\\b", "a\x00"]
ODD_KEYS = ["a b", "a\n", ".incoming/x", "a/.hidden", "ä", "a:b", "~", "%2e%2e/x", "x" * 256, "１"]


@pytest.mark.parametrize("key", [*HOSTILE_KEYS, *ODD_KEYS])
async def test_a_hostile_key_reaches_no_storage(place: Place, key: str) -> None:
    with pytest.raises(BadKey):
        await place.storage.keep(key, in_chunks(b"x"), max_bytes=1, origin="anywhere")
    with pytest.raises(BadKey):
        await read_whole(place.storage, key)

    assert place.storage.path_of(key) is None
    assert place.leavings() == []


async def test_many_files_kept_at_once_do_not_mix(place: Place) -> None:
    contents = {f"outputs/aa/{number}/0": bytes([number]) * 5000 for number in range(50)}

    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        keeping = {key: group.create_task(place.put(key, content)) for key, content in contents.items()}

    found = {key: await read_whole(place.storage, task.result().location) for key, task in keeping.items()}
    assert found == contents
