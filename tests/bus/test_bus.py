"""The contract of every event bus."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from app.bus import MAX_WAITING, EventBus, MemoryEventBus
from app.events import Event, Progressed
from tests.bus.watching import (
    TOPIC,
    WITHIN_S,
    complete,
    events_of,
    is_end,
    preview,
    progress,
    read,
    read_to_end,
    status,
    waiting,
)
from tests.buses import Buses


async def test_events_arrive_in_the_order_in_which_they_were_published(bus: EventBus) -> None:
    published: list[Event] = [*(status(step) for step in range(50)), complete()]

    async with bus.subscribe(TOPIC) as watcher:
        for event in published:
            await bus.publish(TOPIC, event)
        entries = await read_to_end(watcher)

    assert events_of(entries) == published
    assert [entry.order for entry in entries] == sorted({entry.order for entry in entries})


async def test_every_watcher_of_a_topic_gets_everything(bus: EventBus) -> None:
    published: list[Event] = [status(1), status(2), complete()]

    async with bus.subscribe(TOPIC) as one, bus.subscribe(TOPIC) as other:
        for event in published:
            await bus.publish(TOPIC, event)

        assert events_of(await read_to_end(one)) == published
        assert events_of(await read_to_end(other)) == published


async def test_a_watcher_hears_nothing_of_other_topics(bus: EventBus) -> None:
    async with bus.subscribe(TOPIC) as watcher:
        await bus.publish("another", status(1))
        await bus.publish(TOPIC, complete())

        assert events_of(await read_to_end(watcher)) == [complete()]


async def test_a_slow_reader_gets_the_newest_progress_and_preview_but_all_milestones(bus: EventBus) -> None:
    async with bus.subscribe(TOPIC) as watcher:
        for step in range(100):
            await bus.publish(TOPIC, progress(step))
            await bus.publish(TOPIC, preview(step))
            if step % 10 == 0:
                await bus.publish(TOPIC, status(step))
        await bus.publish(TOPIC, complete())
        await waiting(watcher, is_end)
        events = events_of(watcher.mailbox.drain())

    assert [event for event in events if event.is_milestone] == [*(status(10 * n) for n in range(10)), complete()]
    assert [event for event in events if not event.is_milestone] == [progress(99), preview(99)]


async def test_a_watcher_who_never_reads_is_overflowed_and_nothing_follows_the_gap(bus: EventBus) -> None:
    async with bus.subscribe(TOPIC) as watcher:
        for step in range(MAX_WAITING + 1):
            await bus.publish(TOPIC, status(step))
        async with asyncio.timeout(WITHIN_S):
            overflowed = asyncio.Event()
            watcher.attach(lambda: overflowed.set() if watcher.mailbox.is_overflowed else None)
            await overflowed.wait()
        await bus.publish(TOPIC, complete())
        events = events_of(await read_to_end(watcher))

    assert events == [status(step) for step in range(len(events))]


async def test_the_terminal_event_is_the_last_whatever_is_published_after_it(bus: EventBus) -> None:
    async with bus.subscribe(TOPIC) as watcher:
        end = await bus.publish(TOPIC, complete())
        for late in (status(9), preview(9), complete()):
            assert await bus.publish(TOPIC, late) == end
        await bus.publish("another", complete())

        assert events_of(await read(watcher, 1)) == [complete()]
    async with bus.subscribe(TOPIC, end) as watcher:
        await bus.aclose()
        assert await read_to_end(watcher) == []


async def test_the_last_watcher_who_leaves_takes_everything_with_him(buses: Buses) -> None:
    bus = buses.open()
    tasks = asyncio.all_tasks()

    async with bus.subscribe(TOPIC), bus.subscribe(TOPIC), bus.subscribe("another"):
        assert buses.watched(bus) == 2

    assert buses.watched(bus) == 0
    assert {task for task in asyncio.all_tasks() - tasks if not task.get_name().startswith("bus ")} == set()


async def test_closing_ends_every_iterator_but_loses_nothing_that_waits(bus: EventBus) -> None:
    async with bus.subscribe(TOPIC) as watcher, bus.subscribe("another") as idle:
        await bus.publish(TOPIC, status(1))
        await waiting(watcher, lambda entry: entry.event == status(1))

        await bus.aclose()

        assert events_of(await read_to_end(watcher)) == [status(1)]
        assert await read_to_end(idle) == []
        assert watcher.mailbox.is_closed


async def test_whoever_subscribes_to_a_closed_bus_gets_an_end_at_once(bus: EventBus) -> None:
    await bus.aclose()

    async with bus.subscribe(TOPIC) as watcher:
        assert await read_to_end(watcher) == []


async def test_a_thousand_watchers_each_get_the_one_end(bus: EventBus) -> None:
    async with AsyncExitStack() as stack:
        watchers = [await stack.enter_async_context(bus.subscribe(TOPIC)) for _ in range(1000)]
        await bus.publish(TOPIC, complete())
        heard = [events_of(await read_to_end(watcher)) for watcher in watchers]

    assert heard == [[complete()]] * 1000


async def test_a_thousand_topics_each_tell_their_own_watcher(bus: EventBus) -> None:
    async with AsyncExitStack() as stack:
        topics = [f"generation-{number}" for number in range(1000)]
        watchers = [await stack.enter_async_context(bus.subscribe(topic)) for topic in topics]
        for step, topic in enumerate(topics):
            await bus.publish(topic, status(step))
        heard = [events_of(await read(watcher, 1)) for watcher in watchers]

    assert heard == [[status(step)] for step in range(1000)]


async def test_latest_is_the_newest_state_and_the_newest_preview(bus: EventBus) -> None:
    unknown = await bus.latest(TOPIC)
    await bus.publish(TOPIC, status(1))
    pictured = [await bus.publish(TOPIC, preview(number)) for number in range(2)]
    cursor = await bus.publish(TOPIC, progress(2))

    latest = await bus.latest(TOPIC)

    assert unknown.moment is None
    assert unknown.preview is None
    assert latest.moment is not None
    assert (latest.moment.event, latest.moment.cursor) == (progress(2), cursor)
    assert latest.preview is not None
    assert (latest.preview.event, latest.preview.cursor) == (preview(1), pictured[1])


async def test_an_attached_callback_drives_delivery_without_a_task(bus: EventBus) -> None:
    cursor = await bus.publish(TOPIC, status(1))
    await bus.publish(TOPIC, status(2))
    ended, heard = asyncio.Event(), []

    async with bus.subscribe(TOPIC, cursor) as watcher:

        def on_ready() -> None:
            heard.extend(events_of(watcher.mailbox.drain()))
            if heard[-1].is_terminal:
                ended.set()

        watcher.attach(on_ready)
        replayed = list(heard)
        await bus.publish(TOPIC, complete())
        await asyncio.wait_for(ended.wait(), WITHIN_S)

    assert replayed == [status(2)]
    assert heard == [status(2), complete()]


async def test_an_attached_callback_hears_of_the_end_of_the_bus(bus: EventBus) -> None:
    called = asyncio.Event()

    async with bus.subscribe(TOPIC) as watcher:
        watcher.attach(called.set)
        assert not called.is_set()
        await bus.aclose()

    assert called.is_set()
    assert watcher.mailbox.is_closed


async def test_ticks_full_of_progress_cost_a_watcher_one_entry() -> None:
    bus = MemoryEventBus()
    async with bus.subscribe(TOPIC) as watcher:
        for step in range(100):
            await bus.publish(TOPIC, progress(step))
        (entry,) = await read(watcher, 1)

    assert isinstance(entry.event, Progressed)
    assert entry.event.step == 99
