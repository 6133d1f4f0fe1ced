"""Batches in both databases: what is written once stays once, and what is let go of is counted there."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from app.batch_records import Batch
from app.db import Database, Repository
from app.db.batch_shelf import BatchShelf, Item
from app.records import Generation, Status
from tests.db.records import CREATED_AT, a_generation, next_version


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as database:
        yield database


@pytest.fixture
async def shelf(database: Database) -> BatchShelf:
    return BatchShelf(database)


@pytest.fixture
async def repository(database: Database) -> AsyncIterator[Repository]:
    async with Repository(database) as repository:
        yield repository


async def a_batch(shelf: BatchShelf, items: int = 0, *, is_accepted: bool = True, **fields: Any) -> Batch:
    """One on record, with so many items that are held back."""
    given: dict[str, Any] = {"id": str(uuid.uuid4()), "total": items, "created_at": CREATED_AT, "touched_at": 1.0}
    made = Batch(**(given | fields))
    assert await shelf.add(made)
    await shelf.write_items(made.id, rows(made, items), now=CREATED_AT)
    if is_accepted:
        await shelf.accept(made.id, total=items, fingerprint="f", now=CREATED_AT)
    found = await shelf.get(made.id)
    assert found is not None
    return found


def rows(batch: Batch, count: int) -> list[Item]:
    return [
        (
            a_generation(
                batch_id=batch.id, batch_index=n, item_key=f"k{n}", priority=-100, created_at=CREATED_AT + n * 1e-6
            ),
            {},
            {},
        )
        for n in range(count)
    ]


async def ended(
    repository: Repository, record: Generation, status: Status = Status.SUCCEEDED, at: float = CREATED_AT
) -> Generation:
    after = next_version(record, status=status, completed_at=at)
    assert await repository.apply(record, after)
    return after


async def items_of(shelf: BatchShelf, batch: Batch) -> tuple[Generation, ...]:
    return await shelf.items(batch.id, after=-1, limit=1000)


async def test_what_is_held_back_does_not_wait_for_a_server(shelf: BatchShelf, repository: Repository) -> None:
    batch = await a_batch(shelf, 5)

    held = await repository.pending_count()
    released = await shelf.release(batch.id, window=2)
    claimed = await repository.claim(backend="b", client_id="c", owner="o", limit=9, now=CREATED_AT)

    assert (held, released) == (0, 2)
    assert [record.batch_index for record, _ in claimed] == [0, 1]


async def test_items_come_into_the_queue_only_as_others_end(shelf: BatchShelf, repository: Repository) -> None:
    batch = await a_batch(shelf, 5)
    await shelf.release(batch.id, window=2)

    none_yet = await shelf.release(batch.id, window=2)
    await ended(repository, (await items_of(shelf, batch))[0])
    one_more = await shelf.release(batch.id, window=2)

    assert (none_yet, one_more) == (0, 1)


async def test_many_who_let_go_at_once_do_not_let_go_of_more(database_url: str, shelf: BatchShelf) -> None:
    batch = await a_batch(shelf, 50)

    async with Database(database_url) as second:
        other = BatchShelf(second)
        released = await asyncio.gather(*(each.release(batch.id, window=7) for each in [shelf, other] * 4))

    assert sum(released) == 7


async def test_an_item_has_one_place_while_others_are_let_go(shelf: BatchShelf, repository: Repository) -> None:
    batch = await a_batch(shelf, 200)
    last = (await items_of(shelf, batch))[-1]

    async def let_go() -> None:
        for window in range(1, 100):
            await shelf.release(batch.id, window=window)

    async with asyncio.TaskGroup() as group:
        letting_go = group.create_task(let_go())
        places = set()
        while not letting_go.done():
            places.add(await repository.pending_ahead_of(last))

    assert places == {199}


async def test_nothing_of_a_batch_is_let_go_before_it_is_accepted_or_after_its_cancel(shelf: BatchShelf) -> None:
    early = await a_batch(shelf, 3, is_accepted=False)
    canceled = await a_batch(shelf, 3)
    await shelf.request_cancel(canceled.id, now=CREATED_AT)

    assert await shelf.release(early.id, window=9) == 0
    assert await shelf.release(canceled.id, window=9) == 0


async def test_items_written_again_stay_as_they_are(shelf: BatchShelf) -> None:
    batch = await a_batch(shelf, 3)
    before = await items_of(shelf, batch)

    await shelf.write_items(batch.id, rows(batch, 5), now=CREATED_AT)

    after = await items_of(shelf, batch)
    assert after[:3] == before
    assert [record.batch_index for record in after] == [0, 1, 2, 3, 4]
    assert await shelf.known(batch.id) == {n: (f"k{n}", None) for n in range(5)}


async def test_a_key_is_one_batchs(shelf: BatchShelf) -> None:
    first = await a_batch(shelf, idempotency_key="key")

    taken = await shelf.add(msgspec.structs.replace(first, id=str(uuid.uuid4())))

    assert not taken
    assert await shelf.by_key("key") == first
    assert await shelf.by_key("another") is None


async def test_items_are_counted_by_status_for_many_batches_at_once(shelf: BatchShelf, repository: Repository) -> None:
    one, other, empty = [await a_batch(shelf, count) for count in (3, 2, 0)]
    await ended(repository, (await items_of(shelf, one))[0], Status.FAILED)

    counts = await shelf.counts([one.id, other.id, empty.id])

    assert counts == {
        one.id: {Status.PENDING: 2, Status.FAILED: 1},
        other.id: {Status.PENDING: 2},
        empty.id: {},
    }
    assert await shelf.waiting() == 4


async def test_a_batch_is_completed_once_and_only_when_nothing_is_left(
    shelf: BatchShelf, repository: Repository
) -> None:
    batch = await a_batch(shelf, 2)
    first, second = await items_of(shelf, batch)
    await ended(repository, first)

    too_early = await shelf.complete(batch.id, now=CREATED_AT + 5)
    await ended(repository, second)
    noted = [await shelf.complete(batch.id, now=CREATED_AT + n) for n in (7, 8)]

    found = await shelf.get(batch.id)
    assert (too_early, noted) == (False, [True, False])
    assert found is not None
    assert found.completed_at == CREATED_AT + 7
    assert await shelf.active() == ()


async def test_an_ended_item_is_superseded_once_and_the_batch_goes_on(
    shelf: BatchShelf, repository: Repository
) -> None:
    batch = await a_batch(shelf, 2)
    first, second = await items_of(shelf, batch)
    await ended(repository, first, Status.FAILED)
    await ended(repository, second)
    await shelf.complete(batch.id, now=CREATED_AT)
    (again, *_) = rows(batch, 1)
    (once_more, *_) = rows(batch, 1)

    counts = [await shelf.supersede(batch.id, [(first.id, row)], now=CREATED_AT) for row in (again, once_more)]

    left = await repository.get(first.id)
    assert counts == [1, 0]
    assert [record.id for record in await items_of(shelf, batch)] == [again[0].id, second.id]
    assert left is not None
    assert (left.status, left.batch_id, left.batch_index, left.item_key) == (Status.FAILED, None, None, None)
    assert [each.id for each in await shelf.active()] == [batch.id]
    assert await shelf.release(batch.id, window=9) == 1


async def test_an_item_under_way_is_not_superseded(shelf: BatchShelf) -> None:
    batch = await a_batch(shelf, 1)
    (record,) = await items_of(shelf, batch)

    assert await shelf.supersede(batch.id, [(record.id, rows(batch, 1)[0])], now=CREATED_AT) == 0
    assert await items_of(shelf, batch) == (record,)


async def test_ends_are_read_in_their_order_from_behind_a_moment(shelf: BatchShelf, repository: Repository) -> None:
    batch = await a_batch(shelf, 4)
    records = await items_of(shelf, batch)
    for place, at in ((2, 1.0), (0, 2.0), (3, 3.0)):
        await ended(repository, records[place], at=CREATED_AT + at)

    found = await shelf.ended(batch.id, CREATED_AT + 1.0, 9)

    assert [record.batch_index for record in found] == [0, 3]
    assert await shelf.recent_ends(batch.id, 2) == (CREATED_AT + 3.0, CREATED_AT + 2.0)


async def test_what_was_never_accepted_is_removed_when_nobody_adds_to_it(shelf: BatchShelf) -> None:
    abandoned = await a_batch(shelf, 3, is_accepted=False)
    accepted = await a_batch(shelf, 3)

    early = await shelf.remove_abandoned(CREATED_AT)
    removed = await shelf.remove_abandoned(CREATED_AT + 1)

    assert (early, removed) == (0, 1)
    assert await shelf.get(abandoned.id) is None
    assert await items_of(shelf, abandoned) == ()
    assert len(await items_of(shelf, accepted)) == 3


async def test_only_accepted_batches_are_listed_newest_first(shelf: BatchShelf) -> None:
    made = [await a_batch(shelf, created_at=CREATED_AT + n) for n in range(3)]
    await a_batch(shelf, is_accepted=False)

    first = await shelf.list(2)
    rest = await shelf.list(2, (first[-1].created_at, first[-1].id))

    assert [each.id for each in first + rest] == [each.id for each in made[::-1]]
