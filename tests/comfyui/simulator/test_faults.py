"""Every knob does what its docstring says."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
from typing import TYPE_CHECKING

import httpx
import pytest

from app.comfyui.simulator import OUT_OF_MEMORY, Faults, LostReply, NodeFailure
from tests.comfyui.simulator.client import client_of, saving, trivial, txt2img

if TYPE_CHECKING:
    from app.comfyui.simulator import Simulator
    from tests.comfyui.simulator.client import Client


async def test_http_status_replaces_the_answer_of_a_route(comfy: Simulator, client: Client) -> None:
    comfy.faults.http_status = {"POST /prompt": 500, "/queue": 404}

    statuses = [
        (await client.http.post("/prompt", json={})).status_code,
        (await client.http.get("/prompt")).status_code,
        (await client.http.get("/api/queue")).status_code,
    ]

    assert statuses == [500, 200, 404]


@pytest.mark.parametrize("lost", LostReply)
async def test_a_lost_reply_leaves_the_prompt_queued(comfy: Simulator, client: Client, lost: LostReply) -> None:
    comfy.faults.lost_reply = lost

    with pytest.raises(httpx.TransportError):
        await client.http.post("/prompt", json={"prompt": trivial(), "prompt_id": "mine"}, timeout=0.2)

    await comfy.wait_for("finished", node="mine")
    assert comfy.submits == 1


async def test_a_fork_answers_another_id(comfy: Simulator, client: Client) -> None:
    comfy.faults.ignore_prompt_id = True

    answered = await client.run(trivial(), prompt_id="mine")

    assert answered != "mine"
    assert await client.history("mine") == {}


async def test_history_comes_late_after_success(comfy: Simulator, client: Client) -> None:
    comfy.faults.history_delay_s = 3600
    prompt = await client.post(trivial())

    await client.hears("execution_success")
    early, queue = await client.history(prompt), await client.queue()
    comfy.faults.history_delay_s = 0
    await client.hears("executing", node=None)

    assert (early, queue["queue_running"]) == ({}, [prompt])
    assert (await client.history(prompt))["status"]["completed"]


async def test_history_stays_empty_for_a_while(comfy: Simulator, client: Client) -> None:
    comfy.faults.history_empty_for_s = 3600
    prompt = await client.run(trivial())

    hidden = await client.history(prompt)
    comfy.faults.history_empty_for_s = 0

    assert hidden == {}
    assert await client.history(prompt) != {}


async def test_forgotten_prompts_are_accepted_and_nowhere(comfy: Simulator, client: Client) -> None:
    comfy.faults.forget_prompts = True

    prompt = await client.post(trivial())

    assert await client.queue() == {"queue_running": [], "queue_pending": []}
    assert await client.history(prompt) == {}
    assert (comfy.submits, comfy.executions[prompt]) == (1, 0)


async def test_a_running_prompt_can_be_lost(comfy: Simulator, client: Client) -> None:
    comfy.hold("executing", node="2")
    lost = await client.post(trivial(1))
    await comfy.held()

    comfy.forget(lost)
    comfy.release()
    await client.run(trivial(2))

    assert await client.history(lost) == {}
    assert client.kinds.count("execution_success") == 1


async def test_a_dead_worker_keeps_its_prompt_running(comfy: Simulator, client: Client) -> None:
    comfy.faults.dead_worker = True
    prompt = await client.post(trivial())
    await comfy.wait_for("taken", node=prompt)

    await client.http.post("/interrupt", json={"prompt_id": prompt})
    stuck = await client.queue()
    comfy.faults.reset()
    await comfy.wait_for("finished", node=prompt)

    assert stuck["queue_running"] == [prompt]


@pytest.mark.parametrize("named", ["2", "PreviewAny"])
async def test_a_node_fails_by_id_or_by_class(comfy: Simulator, client: Client, named: str) -> None:
    comfy.faults.failures = {named: NodeFailure("too blue", "ValueError")}

    await client.run(trivial())
    await client.hears("executing", node=None)

    error = client.data("execution_error")[0]
    assert (error["node_id"], error["exception_type"], error["exception_message"]) == ("2", "ValueError", "too blue\n")


async def test_samplers_run_out_of_memory(comfy: Simulator, client: Client) -> None:
    comfy.faults.out_of_memory = True
    await client.run(txt2img())
    comfy.faults.out_of_memory = False
    after = await client.run(txt2img())
    await client.hears("execution_success")

    assert client.data("execution_error")[0]["exception_type"] == OUT_OF_MEMORY.exception_type
    assert (await client.history(after))["status"]["completed"]


async def test_vanished_outputs_are_404(comfy: Simulator, client: Client) -> None:
    item = (await client.files(await client.run(saving())))[0]
    comfy.faults.vanished_outputs = True

    response = await client.http.get("/view", params=item)

    assert response.status_code == 404


async def test_a_slow_view_outlasts_a_short_patience(comfy: Simulator, client: Client) -> None:
    item = (await client.files(await client.run(saving())))[0]
    comfy.faults.slow_view_s = 5

    with pytest.raises(httpx.ReadTimeout):
        await client.http.get("/view", params=item, timeout=0.1)


async def test_a_slow_submission_outlasts_a_short_patience(comfy: Simulator, client: Client) -> None:
    comfy.faults.submit_delay_s = 5

    with pytest.raises(httpx.ReadTimeout):
        await client.http.post("/prompt", json={"prompt": trivial()}, timeout=0.1)


async def test_mute_sockets_are_greeted_and_hear_nothing(comfy: Simulator) -> None:
    comfy.faults.mute_sockets = True

    async with client_of(comfy) as client:
        await client.run(trivial())
        await client.socket.send('{"type": "feature_flags", "data": {}}')
        await client.has_heard_all()

    assert [message["type"] for message in client.said] == ["status"]


async def test_a_reconnected_socket_is_deaf(comfy: Simulator) -> None:
    comfy.faults.deaf_after_reconnect = True
    async with client_of(comfy) as first:
        await first.run(trivial(1))
        await first.hears("executing", node=None)

    async with client_of(comfy) as second, client_of(comfy, "fresh") as fresh:
        await second.run(trivial(2))
        await second.has_heard_all()
        await fresh.hears("status", count=3)

    assert [message["type"] for message in second.said] == ["status"]


async def test_frames_are_doubled(comfy: Simulator, client: Client) -> None:
    comfy.faults.duplicate_frames = True

    await client.run(trivial())
    await client.hears("executing", node=None, count=2)

    assert client.kinds[:4] == ["execution_start"] * 2 + ["execution_cached"] * 2


async def test_junk_comes_between_the_frames(comfy: Simulator, client: Client) -> None:
    comfy.faults.junk_frames = True

    await client.run(txt2img())
    await client.hears("executing", node=None)

    assert {"{not json", "null", b"\x00"} <= set(client.wires)
    assert "execution_success" in client.kinds


async def test_neighbouring_frames_change_places(comfy: Simulator, client: Client) -> None:
    comfy.faults.reorder_frames = True

    await client.run(trivial())
    await client.hears("execution_success")

    assert client.kinds.index("execution_cached") < client.kinds.index("execution_start")


async def test_a_socket_is_cut_before_a_message_once(comfy: Simulator, client: Client) -> None:
    comfy.faults.cut_socket_before("executing", node=None)
    prompt = await client.post(trivial(1))

    await asyncio.wait_for(client.closed.wait(), 5)

    assert client.close_code == 1006
    assert client.kinds[-1] == "execution_success"
    assert (await client.history(prompt))["status"]["completed"]
    async with client_of(comfy) as again:
        await again.run(trivial(2))
        await again.hears("executing", node=None)


async def test_a_huge_frame_is_as_large_as_asked_for(comfy: Simulator, client: Client) -> None:
    comfy.faults.huge_frame_bytes = 2_000_000

    await client.run(trivial())
    await client.hears("executing", node=None)

    assert max(len(wire) for wire in client.wires) > 2_000_000


async def test_nan_comes_as_a_bare_word(comfy: Simulator, client: Client) -> None:
    comfy.faults.nan_in_frames = True

    prompt = await client.run(trivial())
    await client.hears("executed")
    response = await client.http.get(f"/history/{prompt}")

    assert math.isnan(client.data("executed")[0]["loss"][0])
    assert "NaN" in response.text


async def test_outputs_run_in_the_order_asked_for(comfy: Simulator, client: Client) -> None:
    graph = trivial()
    graph |= {name: graph["2"] | {"inputs": {"source": ["1", 0], "note": name}} for name in ("3", "4")}
    comfy.faults.output_order = ("4", "2", "3")

    await client.run(graph)
    await client.hears("executing", node=None)

    assert [data["node"] for data in client.data("executed")] == ["4", "2", "3"]


async def test_a_server_that_is_down_refuses_and_comes_back_with_its_state(comfy: Simulator, client: Client) -> None:
    prompt = await client.run(trivial())
    comfy.faults.refuse_connections = True
    await asyncio.wait_for(client.closed.wait(), 5)

    with pytest.raises(httpx.ConnectError):
        await client.http.get("/queue")
    await comfy.restore_connections()

    assert (await client.history(prompt))["status"]["completed"]


def test_reset_turns_every_knob_off() -> None:
    faults = Faults(dead_worker=True, http_status={"/prompt": 500}, huge_frame_bytes=7)
    faults.cut_socket_before("executing")

    faults.reset()

    assert dataclasses.asdict(faults) == dataclasses.asdict(Faults())


async def test_requests_are_counted_by_pattern(comfy: Simulator, client: Client) -> None:
    await client.http.get("/history/one")
    await client.http.get("/api/history/two")

    assert comfy.requests["GET /history/{prompt_id}"] == 2


async def test_waiting_for_a_message_that_never_comes_times_out(comfy: Simulator) -> None:
    with pytest.raises(TimeoutError):
        await comfy.wait_for("execution_success", timeout_s=0.05)


async def test_the_simulator_says_json_with_the_separators_of_python(client: Client) -> None:
    await client.run(trivial())
    await client.hears("executing", node=None)

    assert all(json.dumps(json.loads(wire)) == wire for wire in client.wires if isinstance(wire, str))
