"""The event stream of one generation: opened at once, late, twice or again, it tells the state and then the end."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
from httpx_sse import EventSource, ServerSentEvent

from app.comfyui.simulator import Simulator
from tests.api.asking import NOBODY, QUICK, held_while_drawing, hub_of, picture, places, problem
from tests.conftest import Serve
from tests.service import TERMINAL, Json, Service, milestones
from tests.waiting import WITHIN_S, until

STATE = {
    *("generationId", "comfyuiPromptId", "status", "step", "totalSteps", "percentage", "queuePosition", "etaSeconds"),
    *("message", "nodeProgress", "aggregateProgress", "image"),
}


async def first(stream: AsyncIterator[ServerSentEvent], *types: str) -> tuple[Json, str]:
    """The first event of one of these types, and its id."""
    async with asyncio.timeout(WITHIN_S):
        async for event in stream:
            if event.json()["type"] in types:
                return event.json(), event.id
    raise AssertionError(f"the stream ended without {types}")


async def test_it_comes_with_the_headers_proxies_need(api: Service, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer, api.http.stream("GET", answer["urls"]["events"]) as stream:
        headers = stream.headers
        opening = await anext(stream.aiter_raw())

    assert headers["content-type"].startswith("text/event-stream")
    assert headers["cache-control"] == "no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert opening.startswith(b"retry: 2000\nid: ")
    assert b"\nevent:" not in opening


async def test_every_event_is_unnamed_and_has_an_id(api: Service) -> None:
    answer = await api.generate(**QUICK)

    async with asyncio.timeout(WITHIN_S), api.stream(answer["id"]) as stream:
        events = [event async for event in stream]

    assert {event.event for event in events} == {"message"}
    assert all(event.id for event in events)
    assert len({event.id for event in events}) == len(events)


async def test_every_state_is_complete(watched: Service, slow_comfy: Simulator) -> None:
    slow_comfy.hold("execution_start")
    answer = await watched.generate(**{**QUICK, "steps": 4})
    watching = asyncio.create_task(watched.events(answer["id"]))
    await until(lambda: len(hub_of(watched)) == 1)
    slow_comfy.release()

    events = await watching

    states = [event for event in events if event["type"] not in {"preview", "output"}]
    assert all(event.keys() >= STATE for event in states)
    assert {event["comfyuiPromptId"] for event in states} == {answer["comfyuiPromptId"]}
    assert {"connected", "status", "progress", "preview", "complete"} <= {event["type"] for event in events}
    assert events[0]["progressType"] == "connected"
    assert events[-1]["progressType"] == "complete"
    at_work = [event["nodeProgress"] for event in states if event.get("progressType") == "inference"]
    assert at_work[0].keys() == {"nodeId", "nodeName", "nodeType", "value", "max"}
    assert at_work[0]["nodeType"] == "KSampler"


async def test_the_end_has_everything(api: Service) -> None:
    answer = await api.generate(**QUICK)

    end = (await api.events(answer["id"]))[-1]

    record = await api.record(answer["id"])
    assert end["generation"] == record
    assert {name: end[name] for name in ("images", "imageUrls", "outputs")} == {
        name: record[name] for name in ("images", "imageUrls", "outputs")
    }


async def test_the_next_js_path_is_the_same_stream(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])
    query = {"generationId": record["id"]}

    there = await api.http.get("/api/generate/progress", params=query)
    here = await api.http.get(record["urls"]["events"])

    assert there.content == here.content


@pytest.mark.parametrize("path", ["/api/generations/{id}/events", "/api/generate/progress?generationId={id}"])
async def test_a_stranger_is_turned_away_at_once(api: Service, path: str) -> None:
    problem(await api.http.get(path.format(id=NOBODY)), 404, "not_found")
    problem(await api.http.get(path.format(id=NOBODY), headers={"Last-Event-ID": "end"}), 404, "not_found")
    assert "UUID" in str(places(await api.http.get(path.format(id="chat-7"))))
    assert len(hub_of(api)) == 0


async def test_who_comes_after_the_end_gets_it_and_is_let_go(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])

    events = await api.events(record["id"])

    assert [event["type"] for event in events] == ["connected", "complete"]
    assert events[1]["generation"] == record


async def test_who_comes_after_a_restart_gets_the_end(api: Service) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])
    await api.stop()
    await api.start()

    events = await api.events(record["id"])

    assert [event["type"] for event in events] == ["connected", "complete"]
    assert events[1]["imageUrls"] == record["imageUrls"]


async def test_who_has_seen_the_end_need_not_come_back(api: Service) -> None:
    answer = await api.generate(**QUICK)
    end = (await api.events(answer["id"]))[-1]

    again = await api.http.get(answer["urls"]["events"], headers={"Last-Event-ID": end["id"]})

    assert (again.status_code, again.content) == (204, b"")


async def test_the_cursor_of_another_end_does_not_end_this_one(api: Service, comfy: Simulator) -> None:
    other = await api.generate(workflow=picture())
    end = (await api.events(other["id"]))[-1]

    async with held_while_drawing(api, comfy) as answer, api.stream(answer["id"], end["id"]) as stream:
        connected, _ = await first(stream, "connected")

    assert connected["status"] == "running"


async def test_resuming_repeats_no_milestone_and_ends(watched: Service, slow_comfy: Simulator) -> None:
    answer = await watched.generate(**{**QUICK, "steps": 6})
    async with watched.stream(answer["id"]) as stream:
        _, cursor = await first(stream, "progress")
    assert slow_comfy.count("executing") > 0

    resumed = await watched.events(answer["id"], cursor)

    assert milestones(resumed)[0] == "connected"
    assert milestones(resumed)[1:].count("status") == 0
    assert [event["type"] for event in resumed if event["type"] in TERMINAL] == ["complete"]
    percentages = [event["percentage"] for event in resumed if "percentage" in event]
    assert percentages == sorted(percentages)


async def test_resuming_at_every_place_ends_with_the_same(watched: Service) -> None:
    answer = await watched.generate(**{**QUICK, "steps": 3})
    events = await watched.events(answer["id"])

    for seen in events[:-1]:
        resumed = await watched.events(answer["id"], seen["id"])

        assert resumed[0]["type"] == "connected"
        assert {**resumed[-1], "id": ""} == {**events[-1], "id": ""}


@pytest.mark.parametrize("cursor", ["0-0", "1f-5", "nonsense", "-", "é", "x" * 4000, "ffffffffffff-ffffffff"])
async def test_a_cursor_that_is_none_of_ours_gives_a_fresh_start(watched: Service, cursor: str) -> None:
    answer = await watched.generate(**QUICK)
    headers = {"Last-Event-ID": cursor.encode()}

    async with watched.http.stream("GET", answer["urls"]["events"], headers=headers) as response:  # type: ignore[arg-type]
        events = [(event.json(), event.id) async for event in EventSource(response).aiter_sse()]

    assert [event["type"] for event, _ in events if event["type"] in {"connected", *TERMINAL}] == [
        "connected",
        "complete",
    ]
    assert events[0][1] != cursor


async def test_a_cursor_from_before_a_restart_gives_a_fresh_start(serve: Serve, comfy: Simulator) -> None:
    api = await serve()
    comfy.hold("progress", node="3")
    answer = await api.generate(**QUICK)
    await comfy.held()
    async with api.stream(answer["id"]) as stream:
        _, cursor = await first(stream, "connected")
    await api.stop()
    await api.start()

    async with api.stream(answer["id"], cursor) as stream:
        connected, fresh = await first(stream, "connected")
        comfy.release()
        end, _ = await first(stream, *TERMINAL)

    assert connected["generationId"] == answer["id"]
    assert fresh != cursor
    assert end["type"] == "complete"


async def test_previews_come_as_urls(watched: Service, slow_comfy: Simulator) -> None:
    async with held_while_drawing(watched, slow_comfy) as answer, watched.stream(answer["id"]) as stream:
        slow_comfy.release()
        preview, _ = await first(stream, "preview")
        served = await watched.http.get(preview["url"])

    assert served.status_code == 200
    assert served.headers["content-type"] == preview["mimeType"] == "image/jpeg"
    assert served.headers["cache-control"] == "no-store"
    assert served.content.startswith(b"\xff\xd8")
    assert preview["nodeId"] == "3"
    assert "dataUrl" not in preview


async def test_previews_come_inline_where_that_is_wanted(watched: Service, slow_comfy: Simulator) -> None:
    slow_comfy.hold("progress", node="3")
    answer = await watched.generate(**QUICK)
    async with watched.stream(answer["id"], previews="inline") as stream:
        slow_comfy.release()
        preview, _ = await first(stream, "preview")

    kind, _, picture_bytes = preview["dataUrl"].partition(";base64,")
    assert kind == f"data:{preview['mimeType']}"
    assert base64.b64decode(picture_bytes, validate=True).startswith(b"\xff\xd8")


async def test_there_is_no_preview_before_the_first(api: Service, comfy: Simulator) -> None:
    comfy.hold("executing", node="3")
    answer = await api.generate(**QUICK)

    problem(await api.http.get(f"/api/generations/{answer['id']}/preview"), 404, "not_found")
    comfy.release()


async def test_previews_have_two_ways_only(api: Service) -> None:
    answer = await api.generate(**QUICK)

    wrong = await api.http.get(answer["urls"]["events"], params={"previews": "maybe"})

    assert places(wrong).keys() == {"?previews"}


async def test_a_quiet_stream_is_kept_open_by_comments(serve: Serve, comfy: Simulator) -> None:
    api = await serve(ping_interval_s=0.1)
    async with held_while_drawing(api, comfy) as answer, api.http.stream("GET", answer["urls"]["events"]) as stream:
        received = b""
        async with asyncio.timeout(WITHIN_S):
            async for chunk in stream.aiter_raw():
                received += chunk
                if received.count(b"\n\n: ping\n\n") >= 1:
                    break

    assert b": ping\n\n" in received


async def test_head_tells_the_headers_and_holds_nothing_open(api: Service, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer:
        async with asyncio.timeout(WITHIN_S):
            head = await api.http.head(answer["urls"]["events"])

        assert head.status_code == 200
        assert head.headers["content-type"].startswith("text/event-stream")
        assert head.content == b""
        assert len(hub_of(api)) == 0


async def test_a_watcher_that_leaves_is_forgotten(api: Service, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer:
        async with api.stream(answer["id"]) as stream:
            await first(stream, "connected")
            assert len(hub_of(api)) == 1

        await until(lambda: len(hub_of(api)) == 0)


async def test_fifty_watchers_each_see_one_end(watched: Service, slow_comfy: Simulator) -> None:
    async with held_while_drawing(watched, slow_comfy) as answer:
        watchers = [asyncio.create_task(watched.events(answer["id"])) for _ in range(50)]
        await until(lambda: len(hub_of(watched)) == 50)

    seen = await asyncio.gather(*watchers)

    for events in seen:
        assert [event["type"] for event in events if event["type"] in TERMINAL] == ["complete"]
        assert events[-1] == seen[0][-1]
    await until(lambda: len(hub_of(watched)) == 0)
