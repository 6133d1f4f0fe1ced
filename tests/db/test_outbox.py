"""What is told is written in the transaction of what it tells of, or not at all, and only where it is wanted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlalchemy as sa

from app.batch_records import Batch
from app.db.batch_shelf import BatchShelf
from app.db.engine import Database
from app.db.outbox import STALE_S, Outbox
from app.db.repository import Repository
from app.db.webhook_models import DELIVERIES
from app.db.webhook_shelf import WebhookShelf
from app.records import Generation, Output, OutputKind, Status, WebhookTarget
from app.webhook_news import EVENTS
from app.webhook_records import Delivery, Endpoint
from tests.db.records import CREATED_AT, a_generation, added, next_version

NAMED = WebhookTarget("https://example.com/hooks?job=7", ("generation.succeeded", "generation.output"))


class Clock:
    """A clock that stands until a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def outbox(database: Database, clock: Clock) -> Outbox:
    return Outbox(database, give_up_s=60, is_shared=True, monotonic=clock)


@pytest.fixture
async def telling(database: Database, outbox: Outbox) -> AsyncIterator[Repository]:
    """A repository with an outbox."""
    async with Repository(database, outbox=outbox) as repository:
        yield repository


@pytest.fixture
def shelf(database: Database) -> WebhookShelf:
    return WebhookShelf(database)


def an_endpoint(number: int = 0, **fields: Any) -> Endpoint:
    given: dict[str, Any] = {
        "id": f"00000000-0000-4000-8000-{number:012d}",
        "url": "https://example.com/all",
        "events": EVENTS,
        "secret": "whsec_x",
        "created_at": CREATED_AT + number,
        "updated_at": CREATED_AT,
    }
    return Endpoint(**(given | fields))


async def told(shelf: WebhookShelf, record: Generation) -> list[Delivery]:
    """The deliveries about a generation, in the order they are to be made."""
    found = await shelf.deliveries("generation_id", record.id, 100, None)
    return sorted(found, key=lambda delivery: delivery.sequence)


def an_output(index: int) -> Output:
    return Output(
        index=index,
        node_id="9",
        kind=OutputKind.IMAGE,
        filename="a.png",
        mime_type="image/png",
        size_bytes=1,
        sha256="0",
    )


async def test_what_a_request_wants_to_be_told_of_is_written_and_nothing_else(
    telling: Repository, shelf: WebhookShelf
) -> None:
    record = await added(telling, webhook=NAMED)
    running = next_version(record, status=Status.RUNNING)
    early = next_version(running, outputs=(an_output(0), an_output(1)))
    done = next_version(early, status=Status.SUCCEEDED, outputs=(*early.outputs, an_output(2)), completed_at=CREATED_AT)

    for before, after in ((record, running), (running, early), (early, done)):
        assert await telling.apply(before, after)

    deliveries = await told(shelf, record)
    assert [each.event for each in deliveries] == ["generation.output", "generation.output", "generation.succeeded"]
    assert [each.sequence for each in deliveries] == sorted({each.sequence for each in deliveries})
    assert {each.lane for each in deliveries} == {"https://example.com/hooks"}
    assert {each.target for each in deliveries} == {NAMED.url}
    assert (await telling.get(record.id)) == done


async def test_a_change_that_lost_its_race_tells_nothing(telling: Repository, shelf: WebhookShelf) -> None:
    record = await added(telling, webhook=NAMED)
    first = next_version(record, status=Status.SUCCEEDED, completed_at=CREATED_AT)
    second = next_version(record, status=Status.SUCCEEDED, completed_at=CREATED_AT + 1)

    written = await asyncio.gather(telling.apply(record, first), telling.apply(record, second))

    assert sorted(written) == [False, True]
    assert len(await told(shelf, record)) == 1


async def test_changes_committed_together_are_each_told_with_those_that_tell_nothing(
    telling: Repository, shelf: WebhookShelf, outbox: Outbox
) -> None:
    records = [await added(telling, webhook=NAMED if number % 2 else None) for number in range(20)]
    woken = 0

    def wake() -> None:
        nonlocal woken
        woken += 1

    outbox.on_written = wake

    await asyncio.gather(
        *(telling.apply(each, next_version(each, status=Status.SUCCEEDED, completed_at=1.0)) for each in records)
    )

    assert [len(await told(shelf, each)) for each in records] == [0, 1] * 10
    assert woken == 10


async def test_a_delivery_that_cannot_be_written_takes_the_change_with_it(
    telling: Repository, shelf: WebhookShelf, database: Database
) -> None:
    record = await added(telling, webhook=NAMED)
    done = next_version(record, status=Status.SUCCEEDED, completed_at=CREATED_AT)
    await database.write(lambda c: c.execute(sa.text("ALTER TABLE webhook_deliveries RENAME TO elsewhere")))

    with pytest.raises(Exception, match="database"):
        await telling.apply(record, done)

    await database.write(lambda c: c.execute(sa.text("ALTER TABLE elsewhere RENAME TO webhook_deliveries")))
    assert await telling.get(record.id) == record
    assert await telling.apply(record, done)
    assert len(await told(shelf, record)) == 1


async def test_every_registered_receiver_is_told_what_it_wants(
    telling: Repository, shelf: WebhookShelf, outbox: Outbox
) -> None:
    for number, events in enumerate([EVENTS, ("generation.failed",), ("generation.succeeded",)]):
        assert await shelf.add(an_endpoint(number, events=events), most=10)
    assert await shelf.add(an_endpoint(3, is_enabled=False), most=10)
    await outbox.refresh()
    record = await added(telling)

    await telling.apply(record, next_version(record, status=Status.SUCCEEDED, completed_at=CREATED_AT))

    assert {each.webhook_id for each in await told(shelf, record)} == {an_endpoint(0).id, an_endpoint(2).id}


async def test_what_another_process_registered_is_known_two_seconds_later(
    telling: Repository, shelf: WebhookShelf, outbox: Outbox, clock: Clock
) -> None:
    await outbox.refresh()
    first, second = await added(telling), await added(telling)
    await shelf.add(an_endpoint(), most=10)

    await telling.apply(first, next_version(first, status=Status.FAILED, completed_at=CREATED_AT))
    clock.now += STALE_S + 0.1
    await telling.apply(second, next_version(second, status=Status.FAILED, completed_at=CREATED_AT))

    assert [len(await told(shelf, each)) for each in (first, second)] == [0, 1]


async def test_the_end_of_a_batch_is_told_once(database: Database, outbox: Outbox, shelf: WebhookShelf) -> None:
    batches = BatchShelf(database, outbox)
    target = WebhookTarget("https://example.com/b", ("batch.completed",))
    batch = Batch(id=a_generation().id, total=1, created_at=CREATED_AT, touched_at=1.0, webhook=target)
    await batches.add(batch)
    item = a_generation(batch_id=batch.id, batch_index=0, status=Status.FAILED, completed_at=CREATED_AT)
    await batches.write_items(batch.id, [(item, {}, {})], now=CREATED_AT)
    await batches.accept(batch.id, total=1, fingerprint="", now=CREATED_AT)

    noted = [await batches.complete(batch.id, now=CREATED_AT + 5) for _ in range(2)]

    (delivery,) = await shelf.deliveries("batch_id", batch.id, 10, None)
    assert noted == [True, False]
    assert (delivery.event, delivery.occurred_at) == ("batch.completed", CREATED_AT + 5)
    assert '"status":"failed"' in delivery.news


async def test_there_are_no_more_receivers_than_there_may_be(shelf: WebhookShelf) -> None:
    added_ = [await shelf.add(an_endpoint(number), most=2) for number in range(3)]

    assert added_ == [True, True, False]
    assert [each.id for each in await shelf.list(10)] == [an_endpoint(1).id, an_endpoint(0).id]


async def test_the_secret_of_a_database_is_made_once(shelf: WebhookShelf) -> None:
    made = await asyncio.gather(*(shelf.service_secret(f"whsec_{number}", now=1.0) for number in range(4)))

    assert len(set(made)) == 1


async def test_a_change_nobody_wants_to_hear_of_asks_and_writes_nothing(
    telling: Repository, outbox: Outbox, database: Database
) -> None:
    await outbox.refresh()
    record = await added(telling)

    rows = await outbox.of_change(record, next_version(record, status=Status.SUCCEEDED, completed_at=CREATED_AT))

    count = await database.read(lambda c: c.execute(sa.select(sa.func.count()).select_from(DELIVERIES)).scalar_one())
    assert (rows, count) == ((), 0)
