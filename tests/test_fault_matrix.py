"""Every fault at every moment: the right end, the image kept, one execution per attempt, no watcher left hanging."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.conftest import MakeSettings
from tests.faults.moments import MOMENTS, Moment
from tests.faults.strikes import STRIKES, Strike
from tests.faults.watcher import watch_like_a_browser
from tests.process import KillableService, free_port
from tests.service import TERMINAL, Service


@pytest.mark.timeout(240)
@pytest.mark.parametrize("strike", STRIKES, ids=lambda strike: strike.name.replace(" ", "-"))
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.name.replace(" ", "-"))
async def test_a_fault_at_any_moment_changes_nothing_but_the_time(
    strike: Strike, moment: Moment, make_settings: MakeSettings, record_property: Callable[[str, object], None]
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.01)) as comfy:
        settings = make_settings(
            comfyui_urls={"gpu-0": comfy.url},
            max_in_flight=moment.max_in_flight,
            database_timeout_s=strike.database_timeout_s,
        )
        service = KillableService(settings, port=free_port()) if strike.kills else Service(settings)
        async with service as api:
            strike.before(comfy)
            answer = await moment.reach(api, comfy)
            watcher = asyncio.create_task(watch_like_a_browser(api, answer["id"]))
            await asyncio.sleep(0)

            await strike.during(api, comfy)
            comfy.release()
            seen = await watcher
            record = await api.finished(answer["id"])
            image = await api.bytes_of(record["imageUrls"][0])

            made = comfy.output_bytes(record["images"][0]["filename"], f"relay/{record['id'][:8]}")

    executions = comfy.executions[answer["comfyuiPromptId"]]
    record_property("fault", (strike.name, moment.name, record["status"], executions, record["attempt"]))
    assert record["status"] == "succeeded"
    assert image == made
    assert executions <= record["attempt"]
    assert executions == 1 or strike.loses_prompts
    assert [event["type"] for event in seen if event["type"] in TERMINAL] == ["complete"]
    percentages = [event["percentage"] for event in seen if "percentage" in event]
    assert percentages == sorted(percentages)
