"""Starting a generation: what is accepted, and what the answer says."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from httpx_sse import EventSource

from app.comfyui.simulator import Simulator
from tests.api.asking import QUICK, held_while_drawing, picture, places, post, problem
from tests.conftest import Serve
from tests.service import Json, Service
from tests.waiting import WITHIN_S


async def test_parameters_in_camel_case_reach_the_graph(api: Service) -> None:
    body = {**QUICK, "negativePrompt": "fog", "cfg": 4.5, "seed": 42, "sampler": "dpmpp_2m", "batchSize": 2}

    answer = await api.generate(**body)
    graph = (await api.http.get(f"/api/generations/{answer['id']}/workflow")).json()

    assert answer["params"].items() >= body.items()
    assert graph["3"]["inputs"].items() >= {"seed": 42, "steps": 1, "cfg": 4.5, "sampler_name": "dpmpp_2m"}.items()
    assert graph["5"]["inputs"] == {"width": 64, "height": 64, "batch_size": 2}
    assert (graph["6"]["inputs"]["text"], graph["7"]["inputs"]["text"]) == ("a lighthouse", "fog")


async def test_parameters_in_snake_case_mean_the_same(api: Service) -> None:
    answer = await api.generate(**QUICK, negative_prompt="fog", batch_size=2, project_id="p")

    assert (answer["params"]["negativePrompt"], answer["params"]["batchSize"]) == ("fog", 2)
    assert answer["projectId"] == "p"


async def test_parameters_inside_params_mean_the_same(api: Service) -> None:
    answer = await api.generate(template="txt2img", prompt="beside", params={"steps": 2, "negative_prompt": "fog"})

    assert answer["params"].items() >= {"prompt": "beside", "steps": 2, "negativePrompt": "fog"}.items()


async def test_a_raw_workflow_runs_as_it_was_sent(api: Service) -> None:
    graph = picture(7)

    answer = await api.generate(workflow=graph)
    record = await api.finished(answer["id"])
    ran = (await api.http.get(f"/api/generations/{answer['id']}/workflow")).json()

    assert ran == graph
    assert (answer["template"], answer["seed"], answer["params"]) == (None, None, {})
    assert record["status"] == "succeeded"


async def test_null_counts_as_not_given(api: Service) -> None:
    names = ("template", "workflow", "params", "projectId", "metadata", "priority", "force", "seed", "webhook")

    nothing: Json = dict.fromkeys(names)
    answer = await api.generate(**QUICK, **nothing)

    assert (answer["template"], answer["priority"], answer["metadata"]) == ("txt2img", 0, {})


@pytest.mark.parametrize("seed", [{}, {"seed": -1}])
async def test_a_seed_not_given_is_chosen_and_told(api: Service, seed: Json) -> None:
    first, second = [await api.generate(**QUICK, **seed) for _ in range(2)]

    assert first["seed"] == first["params"]["seed"]
    assert 0 <= first["seed"] < 2**53
    assert first["seed"] != second["seed"]


async def test_the_answer_leads_on(api: Service) -> None:
    answer = await post(api, QUICK)

    record = answer.json()
    here = f"/api/generations/{record['id']}"
    assert answer.status_code == 202
    assert answer.headers["location"] == here
    assert record["urls"] == {"self": here, "events": f"{here}/events", "cancel": f"{here}/cancel"}
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", record["id"])
    assert record["comfyuiPromptId"] not in {None, record["id"]}


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", "application/json", None])
async def test_the_content_type_does_not_matter(api: Service, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}

    answer = await post(api, content=json.dumps(QUICK).encode(), headers=headers)

    assert answer.status_code == 202


async def test_prefer_wait_answers_with_the_images(api: Service) -> None:
    answer = await post(api, QUICK, headers={"Prefer": "respond-async, wait=10"})

    record = answer.json()
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == "wait=10"
    assert record["status"] == "succeeded"
    assert (await api.bytes_of(record["imageUrls"][0])).startswith(b"\x89PNG")


async def test_prefer_wait_that_does_not_see_the_end_answers_that_it_runs(api: Service, comfy: Simulator) -> None:
    comfy.hold("executing", node="3")

    answer = await post(api, QUICK, headers={"Prefer": "wait=0.2"})
    comfy.release()

    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "wait=0.2"
    assert answer.json()["status"] in {"queued", "running"}


async def test_waiting_is_capped_by_the_settings(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_wait_s=0.1)
    comfy.hold("executing", node="3")

    answer = await post(api, QUICK, headers={"Prefer": "wait=3600"})
    comfy.release()

    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=0.1")


async def test_a_preference_that_is_none_is_ignored(api: Service) -> None:
    answer = await post(api, QUICK, headers={"Prefer": "wait=soon, handling=lenient"})

    assert answer.status_code == 202
    assert "preference-applied" not in answer.headers


async def test_the_same_post_answers_with_the_event_stream(api: Service) -> None:
    headers = {"Accept": "text/event-stream"}

    async with asyncio.timeout(WITHIN_S), api.http.stream("POST", "/api/generate", json=QUICK, headers=headers) as got:
        events = [event.json() async for event in EventSource(got).aiter_sse()]

    assert got.status_code == 200
    assert got.headers["content-type"].startswith("text/event-stream")
    assert (events[0]["type"], events[-1]["type"]) == ("connected", "complete")
    assert await api.record(events[0]["generationId"]) == events[-1]["generation"]


async def test_a_wrong_post_for_the_event_stream_is_still_a_problem(api: Service) -> None:
    answer = await post(api, {"prompt": "x", "steps": 0}, headers={"Accept": "text/event-stream"})

    assert places(answer).keys() == {"/steps"}


async def test_a_large_metadata_comes_back_as_it_was(api: Service) -> None:
    metadata: dict[str, Any] = {"rows": [{"n": n, "π": [n / 3, None, True, "\0 \"'\\ 𝄞"]} for n in range(20_000)]}
    assert len(json.dumps(metadata)) > 1_000_000

    answer = await api.generate(**QUICK, metadata=metadata)
    record = await api.finished(answer["id"])

    assert answer["metadata"] == metadata
    assert record["metadata"] == metadata


async def test_metadata_may_be_nested_to_its_limit(api: Service) -> None:
    metadata: dict[str, Any] = {}
    for _ in range(99):
        metadata = {"deeper": metadata}

    answer = await api.generate(**QUICK, metadata=metadata)

    assert (await api.record(answer["id"]))["metadata"] == metadata


@pytest.mark.parametrize("odd", ["a\0b", "%_\\", "'; DROP TABLE generations; --", "Ä" * 200])
async def test_any_text_will_do_for_a_project(serve: Serve, database_url: str, odd: str) -> None:
    api = await serve(database_url=database_url)

    answer = await api.generate(**QUICK, projectId=odd)
    found = (await api.http.get("/api/generations", params={"projectId": odd})).json()

    assert [each["projectId"] for each in found["items"]] == [odd]
    assert (await api.record(answer["id"]))["projectId"] == odd


@pytest.mark.parametrize("priority", [-1_000_000, 1_000_000])
async def test_priorities_reach_to_a_million(api: Service, priority: int) -> None:
    assert (await api.generate(**QUICK, priority=priority))["priority"] == priority


async def test_a_full_queue_says_when_to_come_back(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_in_flight=1, max_pending=1)
    async with held_while_drawing(api, comfy):
        waiting = await api.generate(**QUICK)

        refused = await post(api, QUICK)

    document = problem(refused, 503, "queue_full")
    assert int(refused.headers["retry-after"]) > 0
    assert "1 generations" in document["detail"]
    assert (await api.finished(waiting["id"]))["status"] == "succeeded"
    assert len((await api.http.get("/api/generations")).json()["items"]) == 2


async def test_without_a_comfyui_work_is_refused_where_that_is_wanted(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve(accept_when_down=False)

    refused = await post(api, QUICK)

    problem(refused, 503, "no_backend")
    assert int(refused.headers["retry-after"]) > 0
    assert (await api.http.get("/api/generations")).json()["items"] == []


async def test_fifty_at_once_each_get_their_own_answer(api: Service) -> None:
    answers: list[httpx.Response] = await asyncio.gather(
        *(post(api, {"workflow": picture(number)}, headers={"Prefer": "wait=15"}) for number in range(50))
    )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["comfyuiPromptId"] for answer in answers}) == 50
