"""A batch yields: whoever waits for a picture waits for the job that runs, and for no item of a batch behind it."""

from __future__ import annotations

import asyncio

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.slots import Slots
from tests.batching import TINY, batch, completed, numbered, standing
from tests.conftest import Serve
from tests.waiting import until


@pytest.mark.parametrize(("depth", "callers"), [(None, 1), (None, 5), (1, 5), (2, 5), (3, 5), (8, 5)])
async def test_interactive_generations_wait_for_the_item_that_runs_and_for_no_other(
    serve: Serve, comfy: Simulator, depth: int | None, callers: int
) -> None:
    # Of several callers only the first ones have a slot at once. A real picture takes long enough for the next one to
    # get the slot of the last; so do these.
    slow = {**TINY, "steps": 60}
    api = await serve(max_in_flight=depth)
    comfy.hold("execution_success")
    started = await batch(api, {"items": numbered(30)})
    await comfy.held()
    await until(lambda: comfy.submits == Slots(depth).room(is_background=True))

    answers = [await api.generate(prompt=f"somebody waits {number}", **slow) for number in range(callers)]
    comfy.release()
    for answer in answers:
        await api.finished(answer["id"])
    await completed(api, started["id"])

    order = list(comfy.executions)
    assert [order.index(answer["comfyuiPromptId"]) for answer in answers] == list(range(1, callers + 1))
    assert len(order) == 30 + callers


async def test_no_more_items_than_asked_for_are_under_way_at_a_time(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0.05)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url}, max_in_flight=8)
        started = await batch(api, {"items": numbered(20, steps=2), "maxInFlight": 2})
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
