"""What was learned of earlier runs comes true on a simulated ComfyUI, through the front door."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any, Final, TypeAlias

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.conftest import Serve
from tests.service import Service

STEP_S: Final = 0.05

States: TypeAlias = list[tuple[float, dict[str, Any]]]
"""Every state of a stream, and when it came."""


@pytest.fixture
async def slow() -> AsyncIterator[Simulator]:
    """Twenty steps take a second; previews would only cost the tests' own time."""
    async with Simulator(SimulatorOptions(step_s=STEP_S, load_s=0.5, previews=False)) as simulator:
        yield simulator


async def watched(api: Service, generation_id: str) -> States:
    async with api.stream(generation_id) as stream:
        return [(time.monotonic(), state) async for event in stream if "percentage" in (state := event.json())]


def longest_pause(states: States) -> float:
    """Seconds between two steps: those of the sampler, and whatever the machine did instead."""
    steps = [at for at, state in states if state["step"]]
    return max(later - earlier for earlier, later in pairwise(steps))


async def draw_undisturbed(api: Service, text: str) -> States:
    """A run that nothing else on this machine held up: of the others no forecast could have known."""
    for attempt in range(5):
        states = await draw(api, f"{text}, attempt {attempt}")
        if longest_pause(states) < 3 * STEP_S:
            break
    return states


async def draw(api: Service, text: str, **params: Any) -> States:
    answer = await api.generate(prompt=text, **{"steps": 20, "width": 64, "height": 64, **params})
    return await watched(api, answer["id"])


def error_at_half_way(states: States) -> float:
    """By how much of the time that was truly left the remaining time was wrong."""
    ended_at = states[-1][0]
    half_way, shown = next((at, state) for at, state in states if 2 * state["step"] >= state["totalSteps"])
    assert shown["status"] == "running"
    left = ended_at - half_way
    return abs(float(shown["etaSeconds"]) - left) / left


async def test_from_the_second_run_on_the_remaining_time_at_half_way_comes_true(serve: Serve, slow: Simulator) -> None:
    api = await serve(comfyui_urls={"gpu-0": slow.url})

    runs = [await draw_undisturbed(api, f"number {number}") for number in range(3)]

    assert [error_at_half_way(states) <= 0.25 for states in runs[1:]] == [True, True]
    first_word = next(state for _, state in runs[2] if state["status"] == "running")
    assert first_word["etaSeconds"] == pytest.approx(1.2, rel=0.5)


async def test_twice_the_steps_are_known_to_take_twice_the_time(serve: Serve, slow: Simulator) -> None:
    api = await serve(comfyui_urls={"gpu-0": slow.url})
    await draw(api, "short", steps=10)

    states = await draw(api, "long", steps=30)

    first_word = next(state for _, state in states if state["status"] == "running" and state["etaSeconds"])
    assert first_word["etaSeconds"] == pytest.approx(30 * STEP_S, rel=0.4)


async def test_what_was_learned_survives_a_restart(serve: Serve, slow: Simulator) -> None:
    api = await serve(comfyui_urls={"gpu-0": slow.url})
    await draw(api, "before")

    await api.stop()
    await api.start()
    states = await draw(api, "after", seed=5)

    early = [state for _, state in states if state["status"] == "running" and state["step"] <= 1]
    assert early[-1]["etaSeconds"] is not None


async def test_the_place_in_the_queue_and_the_wait_are_known_with_the_answer(serve: Serve, slow: Simulator) -> None:
    api = await serve(comfyui_urls={"gpu-0": slow.url}, max_in_flight=4, silence_s=60)
    await draw(api, "to learn from")
    answers = [await api.generate(prompt=f"{n}", steps=20, width=64, height=64, seed=n) for n in range(3)]

    waiting = [await api.record(answer["id"]) for answer in answers[1:]]
    streams = await asyncio.gather(*(watched(api, answer["id"]) for answer in answers))

    assert [record["queuePosition"] for record in waiting] == [1, 2]
    assert all(record["etaSeconds"] is not None for record in waiting)
    assert waiting[0]["etaSeconds"] < waiting[1]["etaSeconds"]
    ends = [states[-1][0] for states in streams]
    asked = streams[2][0][0]
    assert waiting[1]["etaSeconds"] == pytest.approx(ends[2] - asked, rel=0.4)


async def test_a_poller_and_a_watcher_see_the_same_remaining_time(serve: Serve, slow: Simulator) -> None:
    api = await serve(comfyui_urls={"gpu-0": slow.url})
    await draw(api, "to learn from")
    slow.hold("progress", node="3")
    answer = await api.generate(prompt="held", steps=20, width=64, height=64, seed=1)
    await slow.held()

    shown: list[dict[str, Any]] = []
    async with api.stream(answer["id"]) as stream:
        shown.append((await anext(stream)).json())
        record = await api.record(answer["id"])
        slow.release()
        shown += [event.json() async for event in stream]

    assert shown[-1]["type"] == "complete"
    assert record["etaSeconds"] == shown[0]["etaSeconds"]
    assert record["etaSeconds"] is not None
