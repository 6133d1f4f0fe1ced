"""The contract of every event bus: resuming after a cursor, and what is forgotten when."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest

from app.bus import CursorExpired, EventBus, cursor_of, parse_cursor
from app.events import Event
from tests.bus.watching import (
    TOPIC,
    complete,
    events_of,
    preview,
    progress,
    read,
    read_to_end,
    status,
)
from tests.buses import Buses


async def test_a_cursor_names_the_place_of_its_entry(bus: EventBus) -> None:
    async with bus.subscribe(TOPIC) as watcher:
        cursor = await bus.publish(TOPIC, status(1))
        (entry,) = await read(watcher, 1)

    assert entry.cursor == cursor
    assert parse_cursor(cursor) == entry.order
    assert cursor_of(entry.order) == cursor


async def test_watchers_who_join_at_any_time_miss_nothing_after_their_cursor(bus: EventBus) -> None:
    published: list[Event] = [*(status(step) for step in range(40)), complete()]
    cursors = [await bus.publish(TOPIC, published[0])]

    async with AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(bus.subscribe(TOPIC, cursors[-1]))]
        for event in published[1:]:
            cursors.append(await bus.publish(TOPIC, event))
            watchers.append(await stack.enter_async_context(bus.subscribe(TOPIC, cursors[-1])))
        heard = [events_of(await read_to_end(watcher)) for watcher in watchers[:-1]]

    assert heard == [published[place:] for place in range(1, len(published))]


async def test_resuming_repeats_nothing_and_skips_nothing(bus: EventBus) -> None:
    async with bus.subscribe(TOPIC) as watcher:
        await bus.publish(TOPIC, status(1))
        await bus.publish(TOPIC, status(2))
        seen = await read(watcher, 2)
    await bus.publish(TOPIC, status(3))

    async with bus.subscribe(TOPIC, seen[0].cursor) as watcher:
        await bus.publish(TOPIC, complete())
        entries = await read_to_end(watcher)

    assert events_of(entries) == [status(2), status(3), complete()]
    assert entries[0].cursor == seen[1].cursor


async def test_whoever_resumes_after_the_newest_entry_waits_for_the_next(bus: EventBus) -> None:
    cursor = await bus.publish(TOPIC, status(1))

    async with bus.subscribe(TOPIC, cursor) as watcher:
        await bus.publish(TOPIC, status(2))

        assert events_of(await read(watcher, 1)) == [status(2)]


async def test_whoever_subscribes_without_a_cursor_gets_no_history(bus: EventBus) -> None:
    await bus.publish(TOPIC, status(1))

    async with bus.subscribe(TOPIC) as watcher:
        await bus.publish(TOPIC, status(2))

        assert events_of(await read(watcher, 1)) == [status(2)]


async def test_resuming_after_a_preview_or_a_replaced_progress_works(bus: EventBus) -> None:
    replaced = await bus.publish(TOPIC, progress(1))
    pictured = await bus.publish(TOPIC, preview(1))
    await bus.publish(TOPIC, progress(2))
    await bus.publish(TOPIC, complete())

    for cursor in (replaced, pictured):
        async with bus.subscribe(TOPIC, cursor) as watcher:
            assert events_of(await read_to_end(watcher)) == [progress(2), complete()]


async def test_progress_never_pushes_milestones_out_of_the_log(buses: Buses) -> None:
    bus = buses.open(log_length=4)
    cursor = await bus.publish(TOPIC, status(0))
    await bus.publish(TOPIC, status(1))
    for step in range(20):
        await bus.publish(TOPIC, progress(step))
        await bus.publish(TOPIC, preview(step))

    async with bus.subscribe(TOPIC, cursor) as watcher:
        assert events_of(await read(watcher, 2)) == [status(1), progress(19)]


async def test_a_cursor_that_the_log_no_longer_reaches_is_expired(buses: Buses) -> None:
    bus = buses.open(log_length=4)
    cursors = [await bus.publish(TOPIC, status(step)) for step in range(10)]

    with pytest.raises(CursorExpired):
        await bus.subscribe(TOPIC, cursors[2]).__aenter__()
    async with bus.subscribe(TOPIC, cursors[-3]) as watcher:
        assert events_of(await read(watcher, 2)) == [status(8), status(9)]


@pytest.mark.parametrize(
    "foreign", ["", "-", "no cursor", "1-1", "0-0", "-1--1", "ffffffffffff-1", f"{2**64:x}-0", "1-" + "f" * 40]
)
async def test_a_foreign_cursor_is_expired(bus: EventBus, foreign: str) -> None:
    await bus.publish(TOPIC, status(1))

    with pytest.raises(CursorExpired):
        await bus.subscribe(TOPIC, foreign).__aenter__()


async def test_a_cursor_of_an_unknown_topic_is_expired(buses: Buses) -> None:
    bus = buses.open()
    cursor = await bus.publish(TOPIC, status(1))

    with pytest.raises(CursorExpired):
        await bus.subscribe("unknown", cursor).__aenter__()

    assert buses.watched(bus) == 0


async def test_a_preview_reaches_who_watches_and_is_not_replayed(bus: EventBus) -> None:
    cursor = await bus.publish(TOPIC, status(1))
    async with bus.subscribe(TOPIC) as watcher:
        await bus.publish(TOPIC, preview(1))

        assert events_of(await read(watcher, 1)) == [preview(1)]

    async with bus.subscribe(TOPIC, cursor) as watcher:
        await bus.publish(TOPIC, complete())

        assert events_of(await read_to_end(watcher)) == [complete()]


async def test_a_topic_is_forgotten_some_time_after_its_end(buses: Buses) -> None:
    bus = buses.open(ttl_s=60)
    cursor = await bus.publish(TOPIC, status(1))
    await bus.publish(TOPIC, complete())

    await buses.pass_time(30)
    async with bus.subscribe(TOPIC, cursor) as watcher:
        assert events_of(await read_to_end(watcher)) == [complete()]

    await buses.pass_time(40)
    with pytest.raises(CursorExpired):
        await bus.subscribe(TOPIC, cursor).__aenter__()
    assert (await bus.latest(TOPIC)).moment is None


async def test_a_silent_topic_is_remembered_far_longer_than_an_ended_one(buses: Buses) -> None:
    bus = buses.open(ttl_s=60)
    cursor = await bus.publish(TOPIC, status(1))

    await buses.pass_time(3600)
    await bus.publish(TOPIC, status(2))

    async with bus.subscribe(TOPIC, cursor) as watcher:
        assert events_of(await read(watcher, 1)) == [status(2)]
