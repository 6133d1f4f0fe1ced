"""Two replicas on one database and one bus: a watcher of one sees what the other does, and its death loses nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import hub_of
from tests.conftest import MakeSettings
from tests.process import KillableService, free_port
from tests.service import Service
from tests.waiting import until

REQUEST: dict[str, Any] = {"prompt": "for two", "steps": 6, "width": 64, "height": 64}


async def test_a_watcher_of_the_other_replica_sees_all_of_it(
    make_settings: MakeSettings, postgres_url: str, redis_url: str
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.02)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url}, database_url=postgres_url, redis_url=redis_url)
        async with Service(settings) as one, Service(settings) as other:
            comfy.hold("execution_start")
            answer = await one.generate(**REQUEST)
            watching = asyncio.create_task(other.events(answer["id"]))
            await until(lambda: len(hub_of(other)) == 1)
            comfy.release()
            events = await watching

    assert events[-1]["type"] == "complete"
    assert any(event["type"] == "progress" for event in events)
    assert comfy.executions[answer["comfyuiPromptId"]] == 1


async def test_the_other_replica_can_cancel(make_settings: MakeSettings, postgres_url: str, redis_url: str) -> None:
    async with Simulator(SimulatorOptions(step_s=0.1)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url}, database_url=postgres_url, redis_url=redis_url)
        async with Service(settings) as one, Service(settings) as other:
            answer = await one.generate(**REQUEST | {"steps": 100})
            await until(lambda: comfy.count("progress", node="3") >= 1)
            await other.http.post(f"/api/generations/{answer['id']}/cancel")
            events = await one.events(answer["id"])

    assert events[-1]["type"] == "canceled"


@pytest.mark.timeout(90)
async def test_what_a_killed_replica_followed_is_ended_by_the_other(
    make_settings: MakeSettings, postgres_url: str, redis_url: str
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.02)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url}, database_url=postgres_url, redis_url=redis_url)
        async with Service(settings) as survivor, KillableService(settings, port=free_port()) as victim:
            comfy.hold("executing", node="8")
            answer = await victim.generate(**REQUEST)
            await comfy.held()
            watcher = asyncio.create_task(survivor.record(answer["id"], wait="60"))
            await victim.kill()
            comfy.release()
            survivor.http.timeout = 60
            record = await watcher

    assert record["status"] == "succeeded"
    assert comfy.executions[answer["comfyuiPromptId"]] == 1
