"""kill -9 of the service, with work in every state: all of it ends, none is lost, none is doubled."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.conftest import MakeSettings
from tests.faults.watcher import watch_like_a_browser
from tests.process import KillableService, free_port
from tests.service import TERMINAL
from tests.waiting import until

GENERATIONS = 50


@pytest.mark.timeout(150)
async def test_fifty_generations_survive_three_kills(make_settings: MakeSettings) -> None:
    async with Simulator(SimulatorOptions(step_s=0.02)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url}, max_in_flight=8)
        async with KillableService(settings, port=free_port()) as api:
            answers = [
                await api.generate(prompt=f"number {n}", steps=4, width=64, height=64) for n in range(GENERATIONS)
            ]
            watchers = [asyncio.create_task(watch_like_a_browser(api, each["id"])) for each in answers[::10]]

            for kill in range(3):
                goal = (kill + 1) * GENERATIONS // 5
                await until(lambda goal=goal: len(comfy.executions) >= goal)  # type: ignore[misc]
                await api.kill()
                await api.start()
            records = [await api.finished(each["id"]) for each in answers]
            seen = [await watcher for watcher in watchers]
            pictures = [await api.bytes_of(record["imageUrls"][0]) for record in records]

    assert Counter(record["status"] for record in records) == {"succeeded": GENERATIONS}
    assert [comfy.executions[each["comfyuiPromptId"]] for each in answers] == [1] * GENERATIONS
    assert len(set(pictures)) == GENERATIONS
    for events in seen:
        assert [event["type"] for event in events if event["type"] in TERMINAL] == ["complete"]
