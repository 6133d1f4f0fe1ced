"""The event stream of a batch: a snapshot, each end once, the end; resumed without a gap or a repetition."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from httpx_sse import EventSource

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests.api.asking import NOBODY, problem
from tests.batching import batch, batch_events, completed, numbered
from tests.conftest import Serve
from tests.service import Json, Service
from tests.waiting import WITHIN_S


def keys_of(events: list[Json]) -> list[str]:
    return [event["item"]["key"] for event in events if event["type"] == "item"]


async def first_items(api: Service, url: str, count: int, last_event_id: str | None = None) -> list[Json]:
    """Events up to the one that tells of so many items; then the watcher leaves."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
    events: list[Json] = []
    async with asyncio.timeout(WITHIN_S), api.http.stream("GET", url, headers=headers) as response:
        async for event in EventSource(response).aiter_sse():
            events.append({**event.json(), "cursor": event.id})
            if len(keys_of(events)) == count:
                break
    return events


@pytest.mark.parametrize("bus", ["memory", "redis"])
async def test_a_watcher_is_told_of_every_end_and_then_of_the_last(
    serve: Serve, database_url: str, bus: str, request: pytest.FixtureRequest
) -> None:
    redis_url = request.getfixturevalue("redis_url") if bus == "redis" else None
    api = await serve(database_url=database_url, redis_url=redis_url)
    started = await batch(api, {"items": numbered(25)})

    events = await batch_events(api, started["urls"]["events"])

    states = [event for event in events if event["type"] != "item"]
    percentages = [event["percentage"] for event in states]
    assert (events[0]["type"], events[-1]["type"]) == ("connected", "complete")
    assert [event["type"] for event in events].count("complete") == 1
    assert percentages == sorted(percentages)
    assert (percentages[-1], events[-1]["status"], events[-1]["counts"]["succeeded"]) == (100, "succeeded", 25)
    already = events[0]["counts"]["succeeded"]
    assert len(keys_of(events)) == len(set(keys_of(events))) >= 25 - already
    assert {event["batchId"] for event in events} == {started["id"]}


async def test_progress_is_told_twice_a_second_at_most(api: Service) -> None:
    started = await batch(api, {"items": numbered(40)})

    began = asyncio.get_running_loop().time()
    events = await batch_events(api, started["urls"]["events"])
    took_s = asyncio.get_running_loop().time() - began

    assert len([event for event in events if event["type"] == "progress"]) <= took_s / 0.5 + 1


async def test_a_watcher_who_comes_back_again_and_again_is_told_of_each_end_once(watched: Service) -> None:
    started = await batch(watched, {"items": numbered(30)})
    url, cursor, seen = started["urls"]["events"], "0", list[str]()

    while True:
        events = await first_items(watched, url, 4, cursor)
        seen += keys_of(events)
        cursor = events[-1]["cursor"]
        if events[-1]["type"] == "complete":
            break

    assert sorted(seen) == sorted(f"k{n}" for n in range(30))


async def test_who_comes_after_the_end_is_told_so_and_then_to_stay_away(api: Service) -> None:
    started = await batch(api, {"items": numbered(3)})
    await completed(api, started["id"])

    late = await batch_events(api, started["urls"]["events"])
    everything = await batch_events(api, started["urls"]["events"], "0")
    again = await api.http.get(started["urls"]["events"], headers={"Last-Event-ID": late[-1]["cursor"]})

    assert [event["type"] for event in late] == ["connected", "complete"]
    assert keys_of(everything) == ["k0", "k1", "k2"]
    assert (again.status_code, again.content) == (204, b"")


async def test_a_cursor_that_is_none_gives_a_snapshot(api: Service) -> None:
    started = await batch(api, {"items": numbered(2)})
    await completed(api, started["id"])

    events = await batch_events(api, started["urls"]["events"], "what is this")

    assert [event["type"] for event in events] == ["connected", "complete"]


async def test_a_retried_batch_can_be_watched_again(api: Service, comfy: Simulator) -> None:
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY
    started = await batch(api, {"items": numbered(2)})
    failed = await batch_events(api, started["urls"]["events"])
    comfy.faults.failures.clear()
    await api.http.post(started["urls"]["retry"])

    events = await batch_events(api, started["urls"]["events"], failed[-1]["cursor"])

    assert (failed[-1]["status"], events[-1]["status"]) == ("failed", "succeeded")


async def test_many_watchers_are_all_told(api: Service) -> None:
    started = await batch(api, {"items": numbered(20)})

    told = await asyncio.gather(*(batch_events(api, started["urls"]["events"], "0") for _ in range(20)))

    assert {tuple(sorted(keys_of(events))) for events in told} == {tuple(sorted(f"k{n}" for n in range(20)))}
    assert {events[-1]["type"] for events in told} == {"complete"}


async def test_streams_of_batches_end_when_the_service_stops(watched: Service) -> None:
    started = await batch(watched, {"items": numbered(50)})
    connected = asyncio.Event()

    async def watch() -> list[str]:
        types = []
        async with watched.http.stream("GET", started["urls"]["events"]) as response:
            async for event in EventSource(response).aiter_sse():
                types.append(event.json()["type"])
                connected.set()
        return types

    watcher = asyncio.create_task(watch())
    await connected.wait()
    await watched.stop()
    types = await watcher
    await watched.start()

    assert types[0] == "connected"
    assert "complete" not in types


async def test_a_batch_nobody_made_has_no_stream(api: Service) -> None:
    answer: httpx.Response = await api.http.get(f"/api/batches/{NOBODY}/events")

    problem(answer, 404, "not_found")
