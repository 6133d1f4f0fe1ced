"""From POST to picture, through the front door: real sockets, both databases, both buses, every dialect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.comfyui.simulator import OUT_OF_MEMORY, Dialect, Simulator, SimulatorOptions
from tests.conftest import Serve
from tests.service import TERMINAL, Service, milestones
from tests.waiting import WITHIN_S, until

INSTANT: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "instant"}},
}


def instant(color: int) -> dict[str, Any]:
    """A graph that takes no time, unlike any other."""
    graph = {node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in INSTANT.items()}
    graph["1"]["inputs"]["color"] = color
    graph["2"]["inputs"]["filename_prefix"] = f"instant/{color}/image"
    return graph


@pytest.mark.parametrize("bus", ["memory", "redis"])
async def test_a_generation_ends_with_the_very_bytes_comfyui_made(
    serve: Serve, comfy: Simulator, database_url: str, bus: str, request: pytest.FixtureRequest
) -> None:
    redis_url = request.getfixturevalue("redis_url") if bus == "redis" else None
    api = await serve(database_url=database_url, redis_url=redis_url)

    answer = await api.generate(prompt="a lighthouse", steps=6, width=64, height=64)
    events = await api.events(answer["id"])
    record = await api.record(answer["id"])

    assert record["status"] == "succeeded"
    assert milestones(events)[0] == "connected"
    assert milestones(events)[-1] == "complete"
    assert events[-1]["generation"] == record
    assert events[-1]["imageUrls"] == record["imageUrls"]
    (image,) = record["images"]
    folder = f"relay/{record['id'][:8]}"
    assert await api.bytes_of(image["url"]) == comfy.output_bytes(image["filename"], folder)
    assert (image["width"], image["height"], image["mimeType"]) == (64, 64, "image/png")


async def test_two_hundred_at_once_all_answer_with_the_prompt_id_that_is_on_record(
    api: Service, comfy: Simulator
) -> None:
    async def one(number: int) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
        answer = await api.generate(workflow=instant(number))
        record, events = await asyncio.gather(api.record(answer["id"]), api.events(answer["id"]))
        return answer, record, events

    results = await asyncio.gather(*(one(number) for number in range(200)))

    for number, (answer, record, events) in enumerate(results):
        assert answer["comfyuiPromptId"]
        assert record["comfyuiPromptId"] == answer["comfyuiPromptId"]
        assert events[0]["type"] == "connected"
        assert [event["type"] for event in events if event["type"] in TERMINAL] == ["complete"]
        (image,) = events[-1]["images"]
        expected = comfy.output_bytes(image["filename"], f"instant/{number}")
        assert await api.bytes_of(image["url"]) == expected
    assert comfy.submits == 200
    assert set(comfy.executions.values()) == {1}


@pytest.mark.parametrize("dialect", Dialect)
async def test_every_dialect_ends_in_the_same_state(serve: Serve, dialect: Dialect) -> None:
    async with Simulator(SimulatorOptions(step_s=0.02, dialect=dialect)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        answer = await api.generate(prompt="a pier", steps=5, seed=7, width=64, height=64)

        events = await api.events(answer["id"])

    states = [event for event in events if "percentage" in event]
    percentages = [event["percentage"] for event in states]
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100
    assert max(percentages[:-1]) < 100
    assert all(event["step"] <= event["totalSteps"] == 5 for event in states)
    steps = [event["step"] for event in states if event.get("progressType") == "inference"]
    assert steps == sorted(steps)
    assert {2, 3, 4} & set(steps)  # A busy machine may coalesce some of them.
    assert (states[-1]["step"], states[-1]["totalSteps"]) == (5, 5)
    assert {"connected", "inference", "aggregate", "complete"} <= {event.get("progressType") for event in states}


async def test_a_cached_run_completes_with_its_images(api: Service) -> None:
    graph = instant(1)
    first = await api.finished((await api.generate(workflow=graph))["id"])

    second = await api.finished((await api.generate(workflow=graph))["id"])

    assert second["status"] == "succeeded"
    assert second["outputsReused"] is True
    assert first["outputsReused"] is False
    assert await api.bytes_of(second["imageUrls"][0]) == await api.bytes_of(first["imageUrls"][0])


async def test_force_runs_what_is_cached(api: Service) -> None:
    graph = instant(2)
    await api.finished((await api.generate(workflow=graph))["id"])

    forced = await api.finished((await api.generate(workflow=graph, force=True))["id"])

    assert forced["outputsReused"] is False


async def test_a_batch_of_four_lists_four(api: Service) -> None:
    answer = await api.generate(prompt="four", steps=2, width=64, height=64, batchSize=4)

    events = await api.events(answer["id"])

    complete = events[-1]
    assert len(complete["imageUrls"]) == 4
    assert complete["image"] == {"current": 4, "total": 4}
    pictures = [await api.bytes_of(url) for url in complete["imageUrls"]]
    assert len(set(pictures)) == 4


async def test_every_output_of_a_graph_with_three_is_listed(api: Service) -> None:
    graph = instant(3)
    for node_id, folder in (("3", "a"), ("4", "b/c")):
        inputs = {"images": ["1", 0], "filename_prefix": f"{folder}/image"}
        graph[node_id] = {"class_type": "SaveImage", "inputs": inputs}

    record = await api.finished((await api.generate(workflow=graph))["id"])

    assert {image["nodeId"] for image in record["images"]} == {"2", "3", "4"}
    assert [image["index"] for image in record["images"]] == [0, 1, 2]


async def test_it_ends_correctly_when_the_socket_never_says_a_word(api: Service, comfy: Simulator) -> None:
    comfy.faults.mute_sockets = True

    answer = await api.generate(prompt="silence", steps=3, width=64, height=64)
    events = await api.events(answer["id"])

    assert events[-1]["type"] == "complete"
    assert len(events[-1]["imageUrls"]) == 1
    assert comfy.executions[answer["comfyuiPromptId"]] == 1


async def test_two_watchers_see_the_same(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0.02)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        comfy.hold("executing", node="3")
        answer = await api.generate(prompt="two", steps=6, width=64, height=64)
        await comfy.held()
        watchers = [asyncio.create_task(api.events(answer["id"])) for _ in range(2)]
        await until(lambda: len(api.app.state.services.hub) == 2)
        comfy.release()

        one, other = await asyncio.gather(*watchers)

    assert one[1:] == other[1:]


async def test_what_waits_goes_out_by_priority_then_age(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_in_flight=1)
    comfy.hold("execution_success")
    first = await api.generate(workflow=instant(10))
    await comfy.held()
    waiting = [await api.generate(workflow=instant(11 + n), priority=priority) for n, priority in enumerate((0, 5, 0))]
    pending = [await api.record(each["id"]) for each in waiting]
    comfy.release()

    ended = [await api.finished(each["id"]) for each in waiting]

    assert [record["status"] for record in pending] == ["pending"] * 3
    assert [record["queuePosition"] for record in pending] == [2, 1, 3]
    assert ended[1]["startedAt"] < ended[0]["startedAt"] < ended[2]["startedAt"]
    assert (await api.finished(first["id"]))["status"] == "succeeded"


async def test_a_comfyui_that_is_down_loses_nothing(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve()

    answer = await api.generate(workflow=instant(20))
    await comfy.start()
    record = await api.finished(answer["id"])

    assert answer["status"] == "pending"
    assert answer["comfyuiPromptId"]
    assert record["status"] == "succeeded"


async def test_work_survives_a_restart_of_the_service(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_in_flight=1)
    comfy.hold("execution_success")
    running = await api.generate(workflow=instant(30))
    await comfy.held()
    waiting = await api.generate(workflow=instant(31))

    await api.stop()
    comfy.release()
    await api.start()
    records = [await api.finished(each["id"]) for each in (running, waiting)]

    assert [record["status"] for record in records] == ["succeeded", "succeeded"]
    assert [comfy.executions[each["comfyuiPromptId"]] for each in (running, waiting)] == [1, 1]


async def test_who_comes_to_wait_while_the_service_stops_is_answered_at_once(api: Service, comfy: Simulator) -> None:
    comfy.hold("execution_success")
    answer = await api.generate(workflow=instant(32))
    await comfy.held()

    api.app.state.services.generations.end_waits()
    record = await api.record(answer["id"], wait=str(2 * WITHIN_S))
    comfy.release()

    assert record["status"] == "running"


async def test_a_canceled_run_stops_at_comfyui_and_its_neighbour_goes_on(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0.05)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        victim = await api.generate(prompt="long", steps=100, width=64, height=64)
        neighbour = await api.generate(prompt="short", steps=2, width=64, height=64)
        await comfy.wait_for("progress_state", count=3)

        await api.http.post(f"/api/generations/{victim['id']}/cancel")
        events = await api.events(victim["id"])
        record = await api.finished(neighbour["id"])

    assert events[-1]["type"] == "canceled"
    assert record["status"] == "succeeded"


async def test_a_failing_node_is_told_with_its_name_and_cause(api: Service, comfy: Simulator) -> None:
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY

    answer = await api.generate(prompt="too big", steps=2, width=64, height=64)
    events = await api.events(answer["id"])

    error = events[-1]["error"]
    assert events[-1]["type"] == "error"
    assert (error["code"], error["nodeType"], error["nodeId"]) == ("out_of_memory", "KSampler", "3")
    assert (await api.record(answer["id"]))["status"] == "failed"
    await until(lambda: comfy.requests["POST /free"] == 1)
