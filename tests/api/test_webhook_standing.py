"""How it goes with a receiver, as every answer about it tells; and what about a receiver makes it start anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import QUICK
from tests.api.standing import standing
from tests.receiving import QUICKLY, Receiver, receiving, registered
from tests.service import Json, Service
from tests.waiting import WITHIN_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOWLY = {**QUICKLY, "webhook_retry_s": 600, "webhook_retry_max_s": 600}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    async with (
        Simulator(SimulatorOptions(step_s=0.001)) as comfy,
        standing(tmp_path_factory, migrated_sqlite, comfy, **SLOWLY) as service,
    ):
        yield service


async def failing(api: Service, receiver: Receiver, path: str) -> Json:
    """A registered receiver that refused once; it is not tried again while the test lasts."""
    made = await registered(api, receiver, path)
    receiver.stays[path] = 500
    await api.generate(**QUICK)
    async with asyncio.timeout(WITHIN_S):
        while True:
            shown: Json = (await api.http.get(f"/api/webhooks/{made['id']}")).json()
            if shown["failingSince"] is not None:
                return shown
            await asyncio.sleep(0.01)


async def test_every_answer_about_a_receiver_tells_how_it_goes(api: Service, receiver: Receiver) -> None:
    working = await registered(api, receiver, "/works", enabled=False)
    shown = await failing(api, receiver, "/fails")

    listed = (await api.http.get("/api/webhooks")).json()["items"]
    changed = (await api.http.put(f"/api/webhooks/{shown['id']}", json={"events": ["batch.completed"]})).json()

    assert (working["pending"], working["failingSince"]) == (0, None)
    assert [(each["id"], each["pending"], each["failingSince"]) for each in listed] == [
        (shown["id"], 1, shown["failingSince"]),
        (working["id"], 0, None),
    ]
    assert (changed["pending"], changed["failingSince"]) == (1, shown["failingSince"])
    for each in listed:
        await api.http.delete(f"/api/webhooks/{each['id']}")


async def test_what_does_not_change_where_it_goes_starts_no_receiver_anew(api: Service, receiver: Receiver) -> None:
    shown = await failing(api, receiver, "/stays")
    path = f"/api/webhooks/{shown['id']}"

    changes: list[Json] = [{}, {"description": "new"}, {"enabled": True}, {"url": shown["url"]}]
    since = [(await api.http.put(path, json=change)).json()["failingSince"] for change in changes]

    assert since == [shown["failingSince"]] * 4
    assert len(receiver.at("/stays")) == 1
    moved = (await api.http.put(path, json={"url": receiver.url("/moved")})).json()
    await receiver.has(1, "/moved")
    assert moved["failingSince"] is None
    await api.http.delete(path)


async def test_a_receiver_that_is_enabled_again_starts_anew(api: Service, receiver: Receiver) -> None:
    shown = await failing(api, receiver, "/back")
    path = f"/api/webhooks/{shown['id']}"

    off, on = [(await api.http.put(path, json={"enabled": enabled})).json() for enabled in (False, True)]

    assert (off["pending"], off["failingSince"]) == (0, shown["failingSince"])
    assert (on["pending"], on["failingSince"]) == (0, None)
    await api.http.delete(path)
