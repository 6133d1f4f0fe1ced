"""What only the bus over Redis has to get right: several replicas, and a Redis that goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import stamina
from redis.asyncio import Redis

from app.bus import BusUnavailable, CursorExpired, EventBus
from app.events import Event
from app.redis_bus import BusTimeouts, RedisEventBus
from tests.bus.watching import (
    TOPIC,
    WITHIN_S,
    complete,
    events_of,
    preview,
    progress,
    read,
    read_to_end,
    status,
)
from tests.buses import Gate, RedisBuses, RedisServer

PATIENT = BusTimeouts(command_s=WITHIN_S, outage_s=600)
HASTY = BusTimeouts(command_s=1.5, block_s=0.1, outage_s=600)


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    server = RedisServer()
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def own_buses(own_server: RedisServer) -> AsyncIterator[RedisBuses]:
    buses = RedisBuses(own_server.url)
    yield buses
    await buses.aclose()


@pytest.fixture
async def gate(own_server: RedisServer, own_buses: RedisBuses) -> AsyncIterator[Gate]:
    async with Gate(own_server.port) as gate:
        yield gate
        gate.open()
        gate.flow()


async def publish_when_possible(bus: EventBus, topic: str, event: Event) -> None:
    async for attempt in stamina.retry_context(on=BusUnavailable, timeout=WITHIN_S, attempts=None, wait_max=0.1):
        with attempt:
            await bus.publish(topic, event)


async def test_replicas_hear_each_others_events(redis_buses: RedisBuses) -> None:
    one, other = redis_buses.open(), redis_buses.open()

    async with one.subscribe(TOPIC) as here, other.subscribe(TOPIC) as there:
        await one.publish(TOPIC, status(1))
        await other.publish(TOPIC, complete())

        assert events_of(await read_to_end(here)) == [status(1), complete()]
        assert events_of(await read_to_end(there)) == [status(1), complete()]


async def test_a_watcher_resumes_on_another_replica(redis_buses: RedisBuses) -> None:
    one, other = redis_buses.open(), redis_buses.open()
    cursor = await one.publish(TOPIC, status(1))
    await one.publish(TOPIC, status(2))

    async with other.subscribe(TOPIC, cursor) as watcher:
        await one.publish(TOPIC, preview(1))

        assert events_of(await read(watcher, 2)) == [status(2), preview(1)]


async def test_all_watchers_of_a_process_share_one_reading_connection(redis_buses: RedisBuses) -> None:
    bus = redis_buses.open()

    async with bus.subscribe("a") as a, bus.subscribe("b") as b, bus.subscribe("c") as c:
        for topic, watcher in (("a", a), ("b", b), ("c", c)):
            await bus.publish(topic, complete())
            await read_to_end(watcher)
        async with Redis.from_url(redis_buses.url) as client:
            clients = await client.client_list()

    assert sum(1 for each in clients if each["cmd"] == "xread") == 1


async def test_every_key_expires(redis_buses: RedisBuses) -> None:
    bus = redis_buses.open()
    async with bus.subscribe("watched") as watcher:
        await bus.publish("watched", progress(1))
        await bus.publish("ended", complete())
        await read(watcher, 1)

        await redis_buses.pass_time(24 * 3600)

        async with Redis.from_url(redis_buses.url) as client:
            assert [key async for key in client.scan_iter(f"{redis_buses.prefix}*")] == []


async def test_what_was_published_while_the_connection_was_cut_arrives_after_it(
    own_buses: RedisBuses, gate: Gate
) -> None:
    cut, whole = own_buses.open(url=gate.url, timeouts=PATIENT), own_buses.open()
    published: list[Event] = [status(2), status(3), complete()]

    async with cut.subscribe(TOPIC) as watcher:
        await whole.publish(TOPIC, status(1))
        before = await read(watcher, 1)
        gate.shut()
        for event in published:
            await whole.publish(TOPIC, event)
        gate.open()

        assert events_of(before) == [status(1)]
        assert events_of(await read_to_end(watcher)) == published


async def test_a_publish_that_failed_is_made_up_for_by_the_newest_state(own_buses: RedisBuses, gate: Gate) -> None:
    cut, whole = own_buses.open(url=gate.url, timeouts=PATIENT), own_buses.open()
    await cut.publish(TOPIC, status(1))

    async with whole.subscribe(TOPIC) as watcher:
        gate.shut()
        for event in (status(2), preview(2), complete()):
            with pytest.raises(BusUnavailable):
                await cut.publish(TOPIC, event)
        gate.open()

        assert events_of(await read_to_end(watcher)) == [complete()]


async def test_a_redis_that_hangs_costs_a_publisher_no_more_than_the_timeout(own_buses: RedisBuses, gate: Gate) -> None:
    hung, whole = own_buses.open(url=gate.url, timeouts=HASTY), own_buses.open()
    async with hung.subscribe(TOPIC) as watcher, whole.subscribe(TOPIC) as other:
        gate.stall()
        with pytest.raises(BusUnavailable, match=r"no answer within 1\.5 s"):
            await asyncio.wait_for(hung.publish(TOPIC, complete()), WITHIN_S)
        with pytest.raises(BusUnavailable):
            await asyncio.wait_for(hung.latest(TOPIC), WITHIN_S)
        gate.flow()

        assert events_of(await read_to_end(watcher)) == [complete()]
        assert events_of(await read_to_end(other)) == [complete()]


async def test_an_outage_that_lasts_breaks_watchers_off(own_buses: RedisBuses, gate: Gate) -> None:
    bus = own_buses.open(url=gate.url, timeouts=BusTimeouts(command_s=1, outage_s=0))

    async with bus.subscribe(TOPIC) as watcher:
        await bus.publish(TOPIC, status(1))
        await read(watcher, 1)
        gate.shut()

        assert await read_to_end(watcher) == []
        assert watcher.mailbox.is_overflowed
        with pytest.raises(BusUnavailable):
            await bus.subscribe(TOPIC).__aenter__()


async def test_a_server_that_forgot_everything_has_its_watchers_resume(
    own_server: RedisServer, own_buses: RedisBuses
) -> None:
    bus = own_buses.open(timeouts=PATIENT)
    async with bus.subscribe(TOPIC) as watcher:
        cursor = await bus.publish(TOPIC, status(1))
        assert events_of(await read(watcher, 1)) == [status(1)]
        own_server.stop()
        with pytest.raises(BusUnavailable):
            await bus.publish(TOPIC, status(2))
        own_server.start()

        assert await read_to_end(watcher) == []
        assert watcher.mailbox.is_overflowed

    await publish_when_possible(bus, "another", status(1))
    if (await bus.latest(TOPIC)).moment is None:
        with pytest.raises(CursorExpired):
            await bus.subscribe(TOPIC, cursor).__aenter__()
    async with bus.subscribe("another") as watcher:
        await bus.publish("another", complete())
        assert events_of(await read_to_end(watcher)) == [complete()]


async def test_an_event_nobody_here_can_read_breaks_watchers_off_but_not_for_good(redis_buses: RedisBuses) -> None:
    bus = redis_buses.open()
    async with bus.subscribe(TOPIC) as watcher:
        cursor = await bus.publish(TOPIC, status(1))
        await read(watcher, 1)
        async with Redis.from_url(redis_buses.url) as client:
            number = await client.incr(f"{redis_buses.prefix}count")
            alien = '{"type":"of a later version"}'
            await client.xadd(
                f"{redis_buses.prefix}feed", {"event": alien, "number": number, "topic": TOPIC, "id": "9-0"}
            )

        assert await read_to_end(watcher) == []
        assert watcher.mailbox.is_overflowed

    await bus.publish(TOPIC, complete())
    async with bus.subscribe(TOPIC, cursor) as watcher:
        assert events_of(await read_to_end(watcher)) == [complete()]


async def test_a_process_that_lags_behind_the_feed_has_its_watchers_resume(own_buses: RedisBuses, gate: Gate) -> None:
    lagging, whole = own_buses.open(url=gate.url, timeouts=PATIENT), own_buses.open(feed_length=10)
    async with lagging.subscribe(TOPIC) as watcher:
        cursor = await whole.publish(TOPIC, status(0))
        await read(watcher, 1)
        gate.shut()
        for step in range(250):  # Redis trims a stream by whole blocks of 100 entries.
            await whole.publish(TOPIC, status(step))
        gate.open()

        assert await read_to_end(watcher) == []
        assert watcher.mailbox.is_overflowed
    async with lagging.subscribe(TOPIC, cursor) as watcher:
        assert events_of(await read(watcher, 250)) == [status(step) for step in range(250)]


async def test_a_server_that_is_emptied_has_its_watchers_resume(own_server: RedisServer, own_buses: RedisBuses) -> None:
    bus = own_buses.open()
    async with bus.subscribe(TOPIC) as watcher:
        for step in range(3):
            await bus.publish(TOPIC, status(step))
        await read(watcher, 3)
        async with Redis.from_url(own_server.url) as client:
            await client.flushall()
        await bus.publish(TOPIC, status(4))

        assert await read_to_end(watcher) == []
        assert watcher.mailbox.is_overflowed


async def test_a_bus_without_a_server_starts_and_closes() -> None:
    bus = RedisEventBus("redis://127.0.0.1:1/0", timeouts=HASTY)
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        running = group.create_task(bus.run())
        with pytest.raises(BusUnavailable):
            await bus.publish(TOPIC, status(1))
        with pytest.raises(BusUnavailable):
            await bus.subscribe(TOPIC).__aenter__()

        await bus.aclose()

    assert running.done()


async def test_errors_never_show_the_servers_address() -> None:
    bus = RedisEventBus("redis://someone:secret@127.0.0.1:1/0", timeouts=HASTY)

    with pytest.raises(BusUnavailable) as caught:
        await bus.latest(TOPIC)
    await bus.aclose()

    assert "secret" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
