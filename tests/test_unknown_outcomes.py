"""A posted prompt whose fate is unknown: found by looking, never posted again blindly."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.comfyui.simulator import Simulator
from app.comfyui.simulator.faults import LostReply
from tests.conftest import Serve
from tests.service import Service
from tests.waiting import until

REQUEST: dict[str, Any] = {"prompt": "a storm", "steps": 2, "width": 64, "height": 64}


@pytest.mark.parametrize("lost", LostReply)
async def test_a_prompt_whose_acceptance_was_lost_runs_once(serve: Serve, comfy: Simulator, lost: LostReply) -> None:
    api = await serve(request_timeout_s=1, submit_wait_s=0.2)
    comfy.faults.lost_reply = lost

    answer = await api.generate(**REQUEST)
    comfy.faults.lost_reply = None
    record = await api.finished(answer["id"])

    assert (record["status"], record["attempt"]) == ("succeeded", 1)
    assert comfy.executions[answer["comfyuiPromptId"]] == 1
    assert comfy.submits == 1


async def test_a_server_that_cuts_every_posting_is_not_tried_for_ever(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_attempts=2, lost_grace_s=0.1)
    comfy.faults.lost_reply = LostReply.CUT
    comfy.faults.forget_prompts = True

    record = await api.finished((await api.generate(**REQUEST))["id"])

    assert record["status"] == "failed"
    assert (record["error"]["code"], record["attempt"]) == ("lost_by_backend", 2)


async def test_a_server_that_answers_every_posting_with_500_is_named_as_the_cause(
    serve: Serve, comfy: Simulator
) -> None:
    api = await serve(max_attempts=2, lost_grace_s=0.1)
    comfy.faults.http_status["POST /prompt"] = 500
    comfy.faults.forget_prompts = True

    record = await api.finished((await api.generate(**REQUEST))["id"])

    assert (record["error"]["code"], record["attempt"]) == ("lost_by_backend", 2)
    assert "status 500" in record["error"]["message"]


async def test_a_500_on_a_posting_that_was_queued_all_the_same_runs_once(api: Service, comfy: Simulator) -> None:
    comfy.faults.http_status["POST /prompt"] = 500

    answer = await api.generate(**REQUEST)
    await until(lambda: comfy.requests["POST /prompt"] >= 1)
    comfy.faults.http_status.clear()
    record = await api.finished(answer["id"])

    assert record["status"] == "succeeded"
    assert comfy.executions[answer["comfyuiPromptId"]] == 1


async def test_a_prompt_that_comfyui_forgets_is_tried_again_and_told(api: Service, comfy: Simulator) -> None:
    comfy.hold("executing", node="3")
    answer = await api.generate(**REQUEST)
    await comfy.held()
    watcher = asyncio.create_task(api.events(answer["id"]))
    await until(lambda: len(api.app.state.services.hub) == 1)

    comfy.forget(answer["comfyuiPromptId"])
    comfy.release()
    events = await watcher

    assert events[-1]["type"] == "complete", events[-1]
    assert events[-1]["generation"]["attempt"] == 2
    assert "pending" in {event.get("status") for event in events}


async def test_a_fork_that_ignores_our_prompt_id_is_followed_under_its_own(api: Service, comfy: Simulator) -> None:
    await api.finished((await api.generate(**REQUEST))["id"])
    comfy.faults.ignore_prompt_id = True

    answer = await api.generate(**REQUEST | {"seed": 2})
    record = await api.finished(answer["id"])

    assert record["status"] == "succeeded"
    assert comfy.executions[record["comfyuiPromptId"]] == 1
    assert answer["comfyuiPromptId"] == record["comfyuiPromptId"]


async def test_a_prompt_that_runs_for_ever_is_stalled_and_its_backend_gets_no_more_work_until_it_is_restarted(
    serve: Serve, comfy: Simulator
) -> None:
    api = await serve(stall_timeout_s=0.5, stuck_after_s=0.5)
    comfy.faults.dead_worker = True

    stuck = await api.finished((await api.generate(**REQUEST))["id"])
    [backend] = api.app.state.services.health.pool.all
    await until(lambda: not backend.is_healthy)
    readiness = (await api.http.get("/readyz")).json()
    waiting = await api.generate(**REQUEST | {"seed": 2})
    submits = comfy.submits
    comfy.faults.dead_worker = False
    await comfy.restart()
    record = await api.finished(waiting["id"])

    assert (stuck["status"], stuck["error"]["code"]) == ("failed", "stalled")
    assert readiness["ready"] is False
    assert "restart" in readiness["backends"]["gpu-0"]["lastError"]
    assert (waiting["status"], submits) == ("pending", 1)
    assert record["status"] == "succeeded"
    assert (await api.record(stuck["id"]))["error"]["code"] == "stalled"


async def test_a_prompt_that_arrives_while_the_socket_is_away_waits_for_it_and_is_heard(
    serve: Serve, comfy: Simulator
) -> None:
    api = await serve(poll_interval_s=30, silence_s=30)
    [backend] = api.app.state.services.health.pool.all
    await until(lambda: backend.is_listening)

    await comfy.drop_sockets()
    await until(lambda: backend.listener.client_id is None)
    events = await api.events((await api.generate(**REQUEST | {"steps": 20}))["id"])

    assert len({event["step"] for event in events if event["type"] == "progress"}) > 5
    assert events[-1]["type"] == "complete"
