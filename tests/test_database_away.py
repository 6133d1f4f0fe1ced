"""PostgreSQL unreachable: what was accepted ends truly, callers are told meanwhile, and nobody has to restart."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.conftest import MakeSettings
from tests.faults.moments import MOMENTS, Moment
from tests.faults.watcher import watch_like_a_browser
from tests.outage import Wire, wire_to
from tests.service import TERMINAL, Service

SHORT_S = 3.0
"""Several limits of a statement."""

LONG_S = 10.0

REQUEST: dict[str, Any] = {"prompt": "while it was away", "steps": 2, "width": 64, "height": 64}


@pytest.mark.timeout(90)
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: moment.name.replace(" ", "-"))
async def test_a_database_that_is_away_at_any_moment_changes_nothing_but_the_time(
    moment: Moment, make_settings: MakeSettings, postgres_url: str
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.01)) as comfy, wire_to(postgres_url) as wire:
        settings = make_settings(
            comfyui_urls={"gpu-0": comfy.url},
            database_url=wire.url,
            database_timeout_s=1.5,
            max_in_flight=moment.max_in_flight,
        )
        async with Service(settings) as api:
            answer = await moment.reach(api, comfy)
            watcher = asyncio.create_task(watch_like_a_browser(api, answer["id"]))
            await asyncio.sleep(0)

            await wire.cut()
            comfy.release()
            await asyncio.sleep(SHORT_S)
            await wire.mend(wire.port)
            seen = await watcher
            record = await api.finished(answer["id"])
            image = await api.bytes_of(record["imageUrls"][0])

    assert record["status"] == "succeeded"
    assert image
    assert (comfy.executions[answer["comfyuiPromptId"]], record["attempt"]) == (1, 1)
    assert [event["type"] for event in seen if event["type"] in TERMINAL] == ["complete"]


async def mend_later(wire: Wire, port: int, service: Service) -> str:
    """Put the wire back after a while; tells what the service did by then."""
    await asyncio.sleep(SHORT_S)
    found = "started" if service.server.started else "waiting"
    await wire.mend(port)
    return found


@pytest.mark.timeout(90)
async def test_ten_seconds_without_a_database_are_told_and_got_over_without_a_restart(
    make_settings: MakeSettings, postgres_url: str
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.01)) as comfy, wire_to(postgres_url) as wire:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url}, database_url=wire.url, database_timeout_s=1.5)
        async with Service(settings) as api:
            before = [await api.generate(**REQUEST | {"seed": seed, "steps": 20}) for seed in range(8)]

            await wire.cut()
            until = asyncio.get_running_loop().time() + LONG_S
            refused = await api.http.post("/api/generate", json=REQUEST)
            readiness = await api.http.get("/readyz")
            health = await api.http.get("/healthz")
            await asyncio.sleep(until - asyncio.get_running_loop().time())
            await wire.mend(wire.port)

            records = [await api.finished(each["id"]) for each in before]
            after = await api.finished((await api.generate(**REQUEST))["id"])
            ready = await api.http.get("/readyz")

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
    assert refused.headers["content-type"] == "application/problem+json"
    assert (readiness.status_code, readiness.json()["database"]) == (503, False)
    assert (health.status_code, ready.status_code) == (200, 200)
    assert {record["status"] for record in [*records, after]} == {"succeeded"}
    assert set(comfy.executions.values()) == {1}
    assert len(comfy.executions) == 9


async def test_a_service_that_starts_before_its_database_waits_for_it(
    make_settings: MakeSettings, postgres_url: str
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.01)) as comfy, wire_to(postgres_url) as wire:
        service = Service(make_settings(comfyui_urls={"gpu-0": comfy.url}, database_url=wire.url))
        port = wire.port
        await wire.cut()

        async with asyncio.TaskGroup() as group:
            mending = group.create_task(mend_later(wire, port, service))
            async with service as api:
                record = await api.finished((await api.generate(**REQUEST))["id"])

    assert mending.result() == "waiting"
    assert record["status"] == "succeeded"
