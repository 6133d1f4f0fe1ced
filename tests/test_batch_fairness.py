"""A batch yields: whoever waits for a picture waits for the job that runs, and for no item of a batch behind it."""

from __future__ import annotations

import asyncio

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.batching import TINY, batch, completed, numbered, standing
from tests.conftest import Serve
from tests.waiting import until


@pytest.mark.parametrize("depth", [None, 1, 2, 3])
async def test_an_interactive_generation_waits_for_one_item_at_most(serve: Serve, depth: int | None) -> None:
    async with Simulator(SimulatorOptions(step_s=0.05)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url}, max_in_flight=depth)
        started = await batch(api, {"items": numbered(60, steps=2)})
        await until(lambda: len(comfy.executions) >= 3)
        waited = []
        for number in range(4):
            begun_before = len(comfy.executions)
            answer = await api.generate(prompt=f"somebody waits {number}", **TINY)
            await until(lambda answer=answer: answer["comfyuiPromptId"] in comfy.executions)  # type: ignore[misc]
            order = list(comfy.executions)
            waited.append(order.index(answer["comfyuiPromptId"]) - begun_before)
            await api.finished(answer["id"])
        await api.http.post(started["urls"]["cancel"])

    # The one that runs had begun before; at the moment of asking another may just have taken its place.
    assert max(waited) <= 1, waited


async def test_several_interactive_generations_go_before_every_item_that_has_not_begun(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0.05)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        started = await batch(api, {"items": numbered(60, steps=2)})
        await until(lambda: len(comfy.executions) >= 3)
        begun_before = len(comfy.executions)
        answers = await asyncio.gather(*(api.generate(prompt=f"waits {n}", **TINY) for n in range(8)))
        for answer in answers:
            await api.finished(answer["id"])
        order = list(comfy.executions)
        await api.http.post(started["urls"]["cancel"])

    last = max(order.index(answer["comfyuiPromptId"]) for answer in answers)
    items_between = last + 1 - begun_before - len(answers)
    assert items_between <= 1, items_between


async def test_no_more_items_than_asked_for_are_under_way_at_a_time(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0.005)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url}, max_in_flight=8)
        started = await batch(api, {"items": numbered(20), "maxInFlight": 2})
        most = 0
        while (found := await standing(api, started["id"]))["completedAt"] is None:
            most = max(most, found["counts"]["queued"] + found["counts"]["running"])

    assert found["counts"]["succeeded"] == 20
    assert 1 <= most <= 2


async def test_a_full_batch_takes_no_place_from_interactive_work(serve: Serve) -> None:
    api = await serve(max_pending=5, max_in_flight=1)
    async with asyncio.timeout(30):
        started = await batch(api, {"items": numbered(50)})
        answer = await api.generate(prompt="there is room", **TINY)
        record = await api.finished(answer["id"])
        await completed(api, started["id"])

    assert record["status"] == "succeeded"


async def test_places_in_the_queue_count_what_a_batch_holds_back(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve()
    started = await batch(api, {"items": numbered(300)})
    await asyncio.sleep(0)

    page = await api.http.get(started["urls"]["generations"], params={"limit": "2"})

    assert [item["queuePosition"] for item in page.json()["items"]] == [300, 299]
