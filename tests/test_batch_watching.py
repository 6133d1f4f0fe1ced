"""Watching a batch that stands in the database: pages of what was missed, and ends that are on record late."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from app.batch_events import BatchCompleted, BatchEvent, ItemEnded
from app.batch_records import Batch, Standing
from app.batch_watching import PAGE, BatchWatch, BatchWatches
from app.bus import Entry
from app.db import Database, Repository
from app.db.batch_shelf import BatchShelf
from app.records import Generation, Status
from tests.db.records import CREATED_AT, a_generation, next_version
from tests.waiting import WITHIN_S

BATCH = Batch(id="watched", total=1, created_at=CREATED_AT, accepted_at=CREATED_AT)


class Stand:
    """A batch on record whose items end when a test says so."""

    def __init__(self, database: Database, repository: Repository, group: asyncio.TaskGroup) -> None:
        self.shelf, self.repository = BatchShelf(database), repository
        self.watches = BatchWatches(self.shelf, self.standing)
        self.watches.owned_by(group)

    async def standing(self, batch_id: str) -> Standing:
        return Standing(BATCH, (await self.shelf.counts([batch_id]))[batch_id])

    async def add(self, count: int) -> list[Generation]:
        records = [a_generation(batch_id=BATCH.id, batch_index=n, created_at=CREATED_AT + n) for n in range(count)]
        await asyncio.gather(*(self.repository.add(record, workflow={}, request={}) for record in records))
        return records

    async def end(self, record: Generation, after_s: float) -> None:
        ended = next_version(record, status=Status.SUCCEEDED, completed_at=CREATED_AT + after_s)
        assert await self.repository.apply(record, ended)


@pytest.fixture
async def stand(database_url: str) -> AsyncIterator[Stand]:
    async with Database(database_url) as database, Repository(database) as repository, asyncio.TaskGroup() as group:
        stand = Stand(database, repository, group)
        await stand.shelf.add(BATCH)
        yield stand


def told(entries: tuple[Entry, ...] | list[Entry]) -> list[int | None]:
    """The places of the items these tell of."""
    events = [cast("BatchEvent", entry.event) for entry in entries]
    return [event.record.batch_index for event in events if isinstance(event, ItemEnded)]


async def followed(watch: BatchWatch) -> list[Entry]:
    """Everything from the opening to the end."""
    async with asyncio.timeout(WITHIN_S):
        return [entry async for entry in watch]


async def test_who_missed_more_than_a_page_gets_it_page_by_page(stand: Stand) -> None:
    count = PAGE + 20
    await asyncio.gather(*(stand.end(record, n / 10) for n, record in enumerate(await stand.add(count))))

    async with stand.watches.watch(BATCH.id, "0") as first:
        pass
    async with stand.watches.watch(BATCH.id, first.opening[-1].cursor) as second:
        pass

    assert (first.is_over, second.is_over) == (True, True)
    assert told(first.opening) + told(second.opening) == list(range(count))
    assert not isinstance(cast("BatchEvent", first.opening[-1].event), BatchCompleted)
    assert isinstance(cast("BatchEvent", second.opening[-1].event), BatchCompleted)


async def test_who_lost_the_connection_before_the_first_end_misses_none(stand: Stand) -> None:
    (record,) = await stand.add(1)

    async with stand.watches.watch(BATCH.id) as first:
        pass
    await stand.end(record, 1)
    async with stand.watches.watch(BATCH.id, first.opening[-1].cursor) as second:
        pass

    assert told(second.opening) == [0]


async def test_an_end_that_was_committed_late_is_told(stand: Stand) -> None:
    early, late, last = await stand.add(3)
    await stand.end(early, 10.0)

    async with stand.watches.watch(BATCH.id) as watch, asyncio.TaskGroup() as group:
        following = group.create_task(followed(watch))
        await stand.end(late, 9.5)
        await stand.end(last, 11.0)

    assert sorted(told(following.result()), key=str) == [1, 2]
    assert isinstance(cast("BatchEvent", following.result()[-1].event), BatchCompleted)


async def test_nobody_looks_at_a_batch_that_nobody_watches(stand: Stand) -> None:
    await stand.add(1)
    async with stand.watches.watch(BATCH.id):
        watched = len(stand.watches._rooms)

    assert (watched, len(stand.watches._rooms)) == (1, 0)
