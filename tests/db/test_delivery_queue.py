"""Who gets which delivery, in which order, and what a failure does to those behind it and beside it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa

from app.db.delivery_queue import DeliveryQueue, Taken
from app.db.engine import Database
from app.db.outbox import new_id
from app.db.webhook_models import DELIVERIES, LANES
from app.db.webhook_shelf import WebhookShelf
from app.webhook_records import BROKEN_AFTER, Attempt, DeliveryStatus, Lane
from tests.db.test_outbox import an_endpoint

NOW = 1_795_000_000.0
FAILED = Attempt(NOW, 0.1, 500, "it answered 500")
TAKEN = Attempt(NOW, 0.1, 200)


@pytest.fixture
def queue(database: Database) -> DeliveryQueue:
    return DeliveryQueue(database)


@pytest.fixture
def shelf(database: Database) -> WebhookShelf:
    return WebhookShelf(database)


async def put(shelf: WebhookShelf, lane: str = "a", subject: str = "g", sequence: int = 1, **fields: Any) -> str:
    """A delivery to make; its id."""
    row: dict[str, Any] = {
        "id": new_id(),
        "lane": lane,
        "target": lane,
        "webhook_id": None,
        "url": f"https://example.com/{lane}",
        "generation_id": subject,
        "batch_id": None,
        "subject": subject,
        "sequence": sequence,
        "event": "generation.succeeded",
        "news": "{}",
        "status": "pending",
        "attempts": 0,
        "next_attempt_at": NOW,
        "leased_until": None,
        "give_up_at": NOW + 1000,
        "log": (),
        "occurred_at": NOW,
        "created_at": NOW,
        "ended_at": None,
    } | fields
    await shelf.put(row)
    return str(row["id"])


async def take(queue: DeliveryQueue, now: float = NOW, **wanted: int) -> list[Taken]:
    return list(await queue.take(wanted or {"a": 10}, now=now, lease_s=30))


def ids(taken: list[Taken]) -> set[str]:
    return {each.delivery.id for each in taken}


async def test_of_one_generation_the_next_is_taken_when_the_one_before_has_an_end(
    queue: DeliveryQueue, shelf: WebhookShelf
) -> None:
    second, first = await put(shelf, sequence=2), await put(shelf, sequence=1)
    other = await put(shelf, subject="another", sequence=9)

    begun = await take(queue)
    meanwhile = await take(queue)
    await queue.delivered(next(each for each in begun if each.delivery.id == first), TAKEN, now=NOW)
    then = await take(queue)

    assert ids(begun) == {first, other}
    assert meanwhile == []
    assert ids(then) == {second}


async def test_what_failed_holds_what_is_behind_it_until_it_is_given_up(
    queue: DeliveryQueue, shelf: WebhookShelf
) -> None:
    first, second = await put(shelf, sequence=1), await put(shelf, sequence=2)
    (taken,) = await take(queue)
    await queue.failed(taken, FAILED, retry_at=NOW + 60, lane=Lane("a", 1, NOW, NOW))

    looks = [(await queue.look())[0].opens_at, await take(queue, NOW + 59)]
    (again,) = await take(queue, NOW + 60)
    await queue.given_up(again, FAILED, now=NOW + 60, lane=Lane("a", 1, NOW, NOW))
    (last,) = await take(queue, NOW + 60)

    assert looks == [NOW + 60, []]
    assert (again.delivery.id, again.delivery.attempts) == (first, 2)
    assert last.delivery.id == second


async def test_no_two_takers_get_the_same(queue: DeliveryQueue, shelf: WebhookShelf, database: Database) -> None:
    made = [await put(shelf, subject=f"g{number}") for number in range(30)]
    takers = [DeliveryQueue(database) for _ in range(4)]

    found = await asyncio.gather(*(take(taker, a=8) for taker in takers for _ in range(2)))

    everything = [each.delivery.id for taken in found for each in taken]
    assert len(everything) == len(set(everything))
    assert ids(await take(queue)) | set(everything) == set(made)


async def test_what_a_dead_process_had_in_hand_is_taken_after_its_lease_or_given_back(
    queue: DeliveryQueue, shelf: WebhookShelf
) -> None:
    made = await put(shelf)
    (lost,) = await take(queue)

    meanwhile, later = await take(queue, NOW + 29), await take(queue, NOW + 30)
    await queue.give_back(now=NOW + 31)
    again = await take(queue, NOW + 31)

    assert (ids([lost]), meanwhile, ids(later), ids(again)) == ({made}, [], {made}, {made})
    assert again[0].delivery.attempts == 3


async def test_a_word_that_comes_after_the_lease_changes_nothing_but_a_success_counts(
    queue: DeliveryQueue, shelf: WebhookShelf
) -> None:
    made = await put(shelf)
    (late,) = await take(queue)
    (current,) = await take(queue, NOW + 30)

    await queue.failed(late, FAILED, retry_at=NOW + 999, lane=Lane("a", 1, NOW, NOW))
    held = await shelf.delivery(made)
    await queue.delivered(late, TAKEN, now=NOW + 31)
    await queue.failed(current, FAILED, retry_at=NOW + 999, lane=Lane("a", 1, NOW, NOW))

    ended = await shelf.delivery(made)
    assert held is not None
    assert ended is not None
    assert held.leased_until == NOW + 60
    assert (ended.status, ended.ended_at) == (DeliveryStatus.DELIVERED, NOW + 31)


async def test_a_broken_lane_is_tried_with_one_and_heals_for_all(queue: DeliveryQueue, shelf: WebhookShelf) -> None:
    made = {await put(shelf, subject=f"g{number}", next_attempt_at=NOW + 500 * (number % 2)) for number in range(10)}
    beside = await put(shelf, lane="b")
    first = (await take(queue, a=1))[0]
    for _ in range(BROKEN_AFTER):
        await queue.failed(first, FAILED, retry_at=NOW + 500, lane=Lane("a", BROKEN_AFTER, NOW, NOW + 40))

    blocked, other = await take(queue, NOW + 39), await take(queue, NOW + 39, b=10)
    probes = [await take(queue, NOW + 40) for _ in range(2)]
    await queue.delivered(probes[0][0], TAKEN, now=NOW + 41)
    rest = await take(queue, NOW + 41)

    assert (blocked, ids(other)) == ([], {beside})
    assert [len(each) for each in probes] == [1, 0]
    assert ids(rest) == made - ids(probes[0])
    assert await queue.trouble("a") is None


async def test_nothing_is_sent_before_the_time_a_receiver_asked_for(queue: DeliveryQueue, shelf: WebhookShelf) -> None:
    for number in range(2):
        await put(shelf, subject=f"g{number}")
    (first,) = await take(queue, a=1)
    await queue.failed(first, FAILED, retry_at=NOW + 90, lane=Lane("a", 1, NOW, NOW + 90))

    early, later = await take(queue, NOW + 89), await take(queue, NOW + 90)

    assert (len(early), len(later)) == (0, 2)


async def test_every_lane_is_seen_however_much_waits_in_another(queue: DeliveryQueue, shelf: WebhookShelf) -> None:
    for number in range(30):
        await put(shelf, lane="crowded", subject=f"g{number}")
    await put(shelf, lane="z", next_attempt_at=NOW + 7)
    await put(shelf, lane="done", status="delivered", ended_at=NOW)

    looks = await queue.look()

    assert [(each.lane, each.due_at) for each in looks] == [("crowded", NOW), ("z", NOW + 7)]


async def test_a_registered_receiver_is_looked_up_when_it_is_its_turn(
    queue: DeliveryQueue, shelf: WebhookShelf
) -> None:
    endpoint = an_endpoint()
    await shelf.add(endpoint, most=10)
    for number in range(2):
        await put(shelf, lane=endpoint.id, webhook_id=endpoint.id, url=None, subject=f"g{number}")
    await put(shelf, lane="gone", webhook_id="gone", url=None)

    taken = await take(queue, **{endpoint.id: 5, "gone": 5})

    assert [each.endpoint for each in taken] == [endpoint, endpoint, None]


async def test_a_receiver_that_is_removed_takes_everything_with_it(queue: DeliveryQueue, shelf: WebhookShelf) -> None:
    endpoint = an_endpoint()
    await shelf.add(endpoint, most=10)
    for number in range(3):
        await put(shelf, lane=endpoint.id, webhook_id=endpoint.id, url=None, subject=f"g{number}")
    kept = await put(shelf)

    removed = [await shelf.remove(endpoint.id) for _ in range(2)]

    assert removed == [True, False]
    assert [each.lane for each in await queue.look()] == ["a"]
    assert ids(await take(queue)) == {kept}


async def test_what_is_dropped_can_be_asked_for_again_and_nothing_else_is(
    queue: DeliveryQueue, shelf: WebhookShelf, database: Database
) -> None:
    old = await put(shelf, webhook_id="w", created_at=NOW - 100, subject="old")
    new = [await put(shelf, webhook_id="w", subject=f"g{number}") for number in range(3)]
    await put(shelf, webhook_id="w", subject="d", status="delivered", ended_at=NOW)
    await queue.drop_lane("a", now=NOW + 1)
    dropped = await take(queue, NOW + 2)

    count = await shelf.failed_again("w", NOW, now=NOW + 3, give_up_at=NOW + 9)
    again = await take(queue, NOW + 3)
    left = await shelf.delivery(old)

    assert (dropped, count, ids(again)) == ([], 3, set(new))
    assert left is not None
    assert left.status is DeliveryStatus.FAILED
    assert {each.delivery.give_up_at for each in again} == {NOW + 9}


async def test_a_sweep_removes_what_ended_long_ago_and_gives_up_what_is_late_where_nothing_gets_through(
    queue: DeliveryQueue, shelf: WebhookShelf, database: Database
) -> None:
    late = await put(shelf, give_up_at=NOW - 1)
    waiting = await put(shelf, lane="b", give_up_at=NOW - 1)
    gone = [await put(shelf, status=status, ended_at=NOW - 100, subject=status) for status in ("delivered", "failed")]
    kept = await put(shelf, status="delivered", ended_at=NOW - 10, subject="kept")
    broken = {"lane": "a", "failures": BROKEN_AFTER, "failing_since": NOW - 500, "blocked_until": NOW + 500}
    await database.write(lambda c: c.execute(sa.insert(LANES), broken))

    removed = await queue.sweep(now=NOW, ended_before=NOW - 50)

    rows = await database.read(lambda c: c.execute(sa.select(DELIVERIES.c.id, DELIVERIES.c.status)).all())
    assert removed == len(gone)
    assert dict(map(tuple, rows)) == {late: "failed", waiting: "pending", kept: "delivered"}
