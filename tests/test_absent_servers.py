"""A server that stays away: what it had goes to another, what only it can run waits, and nothing hangs on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.observations import Absent, CancelRequested
from app.records import ErrorCode, Status
from tests.conftest import MakeSettings, Serve
from tests.following import ACCEPTED, STARTED, claimed, follow
from tests.service import Service
from tests.waiting import WITHIN_S

REQUEST: dict[str, Any] = {"prompt": "somewhere else", "steps": 2, "width": 64, "height": 64}


@pytest.fixture
async def other() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(step_s=0.005)) as simulator:
        yield simulator


async def emptied(comfy: Simulator) -> None:
    """Return when it answers, and has nothing waiting in its queue."""
    async with asyncio.timeout(WITHIN_S), httpx.AsyncClient(base_url=comfy.url, trust_env=False) as client:
        left = True
        while left:
            await asyncio.sleep(0.02)
            with contextlib.suppress(httpx.ConnectError):
                left = bool((await client.get("/queue")).json()["queue_pending"])


def test_what_an_absent_server_has_is_another_attempts() -> None:
    life = follow(claimed(), ACCEPTED, STARTED).see(Absent(), at=10)

    assert life.last.resubmit
    assert (life.record.status, life.record.attempt, life.record.backend) == (Status.PENDING, 2, None)


def test_what_an_absent_server_never_took_uses_no_attempt() -> None:
    life = follow(claimed()).see(Absent(), at=10)

    assert (life.record.status, life.record.attempt) == (Status.PENDING, 1)


def test_what_is_being_canceled_at_an_absent_server_is_canceled() -> None:
    life = follow(claimed(), ACCEPTED, CancelRequested()).see(Absent(), at=10)

    assert life.record.status is Status.CANCELED


def test_servers_that_go_away_again_and_again_end_it() -> None:
    life = follow(claimed(attempt=3), ACCEPTED).see(Absent(), at=10)

    assert life.record.error is not None
    assert (life.record.status, life.record.error.code) == (Status.FAILED, ErrorCode.LOST_BY_BACKEND)


async def test_what_a_server_had_is_run_by_another_and_not_again_when_it_is_back(
    serve: Serve, comfy: Simulator, other: Simulator
) -> None:
    comfy.hold("execution_start")
    api = await serve(comfyui_urls={"gpu-0": comfy.url}, away_timeout_s=0.3)
    started = [await api.generate(**REQUEST | {"seed": seed}) for seed in range(3)]
    await comfy.held()
    await api.stop()
    api.settings = api.settings.model_copy(update={"comfyui_urls": {"gpu-0": comfy.url, "gpu-1": other.url}})
    await api.start()

    comfy.faults.refuse_connections = True
    records = [await api.finished(each["id"]) for each in started]
    comfy.faults.refuse_connections = False
    await emptied(comfy)
    comfy.release()

    assert {(record["status"], record["backend"], record["attempt"]) for record in records} == {
        ("succeeded", "gpu-1", 2)
    }
    assert sum(comfy.executions.values()) <= 1  # The one it was at when it went away.


async def test_what_only_an_absent_server_could_run_waits_for_it(serve: Serve, comfy: Simulator) -> None:
    comfy.hold("execution_start")
    api = await serve(comfyui_urls={"gpu-0": comfy.url}, away_timeout_s=0.1)
    started = await api.generate(**REQUEST)
    await comfy.held()

    comfy.faults.refuse_connections = True
    await asyncio.sleep(0.5)  # Several times what moves a prompt elsewhere, if there were another server.
    comfy.faults.refuse_connections = False
    comfy.release()

    record = await api.finished(started["id"])
    assert (record["status"], record["attempt"]) == ("succeeded", 1)


async def test_a_cancel_does_not_wait_for_an_absent_server_for_ever(serve: Serve, comfy: Simulator) -> None:
    comfy.hold("execution_start")
    api = await serve(comfyui_urls={"gpu-0": comfy.url}, away_timeout_s=0.3)
    started = await api.generate(**REQUEST)
    await comfy.held()
    comfy.faults.refuse_connections = True

    await api.http.post(started["urls"]["cancel"])

    assert (await api.finished(started["id"]))["status"] == "canceled"


@pytest.mark.parametrize("ending", ["finish", "cancel", "delete"])
async def test_what_a_server_had_that_is_none_of_ours_any_more_goes_on_elsewhere(
    make_settings: MakeSettings, comfy: Simulator, other: Simulator, ending: str
) -> None:
    comfy.hold("execution_start")
    async with Service(make_settings(comfyui_urls={"old": comfy.url})) as api:
        started = await api.generate(**REQUEST)
        await comfy.held()
    other.hold("execution_start")
    async with Service(api.settings.model_copy(update={"comfyui_urls": {"new": other.url}})) as api:
        await other.held()

        if ending == "finish":
            other.release()
            record = await api.finished(started["id"])
            assert (record["status"], record["backend"], record["attempt"]) == ("succeeded", "new", 2)
        elif ending == "cancel":
            await api.http.post(started["urls"]["cancel"])
            other.release()
            assert (await api.finished(started["id"]))["status"] == "canceled"
        else:
            asyncio.get_running_loop().call_later(0.2, other.release)
            assert (await api.http.delete(started["urls"]["self"])).status_code == 204


async def test_a_cancel_of_what_a_server_had_that_is_gone_is_answered_even_before_anybody_else_has_it(
    make_settings: MakeSettings, comfy: Simulator
) -> None:
    comfy.hold("execution_start")
    async with Service(make_settings(comfyui_urls={"old": comfy.url})) as api:
        started = await api.generate(**REQUEST)
        await comfy.held()
    nowhere = api.settings.model_copy(update={"comfyui_urls": {"new": "http://127.0.0.1:9"}})
    async with Service(nowhere) as api:
        answer = await api.http.post(started["urls"]["cancel"])

        assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
