"""Sockets that come back, go deaf, or stop reading (recordings 11, 11b and 21)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.comfyui.simulator.client import client_of, trivial, txt2img

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.comfyui.simulator import Simulator
    from tests.comfyui.simulator.client import Client


async def test_coming_back_in_mid_run_is_greeted_with_the_node_and_no_prompt_id(comfy: Simulator) -> None:
    comfy.hold("progress", node="3")
    async with client_of(comfy) as before:
        await before.post(txt2img())
        await comfy.held()

    async with client_of(comfy) as after:
        comfy.release()
        await after.hears("executing", node=None)

    assert after.said[0]["data"] == {"status": {"exec_info": {"queue_remaining": 1}}, "sid": "client-a"}
    assert after.said[1] == {"type": "executing", "data": {"node": "3"}}
    assert "execution_start" not in after.kinds


async def test_flags_belong_to_the_connection(comfy: Simulator) -> None:
    async with client_of(comfy) as before:
        await before.socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
        await before.hears("feature_flags")
        await before.run(txt2img(seed=1))
        await before.hears("executing", node=None)
    async with client_of(comfy) as after:
        await after.run(txt2img(seed=2))
        await after.hears("executing", node=None)

    assert {wire[3] for wire in before.binaries} == {4}
    assert {wire[3] for wire in after.binaries} == {1}


async def test_what_was_said_while_nobody_was_connected_is_not_said_again(comfy: Simulator) -> None:
    async with client_of(comfy) as before:
        await before.post(trivial())
    prompt = next(iter(await _ids(comfy)))
    await comfy.wait_for("finished", node=prompt)

    async with client_of(comfy) as after:
        await after.has_heard_all()
        entry = await after.history(prompt)

    assert after.kinds == []
    assert entry["status"]["status_str"] == "success"


async def _ids(comfy: Simulator) -> list[str]:
    await comfy.wait_for("taken")
    return list(comfy.executions)


async def test_of_two_sockets_with_one_id_only_the_newer_hears(comfy: Simulator) -> None:
    async with client_of(comfy) as older, client_of(comfy) as newer:
        await newer.run(trivial())
        await newer.hears("executing", node=None)
        await older.has_heard_all()

        assert len(older.said) == 1
        assert newer.kinds[0] == "execution_start"


async def test_the_end_of_the_older_socket_makes_the_newer_one_deaf(comfy: Simulator) -> None:
    async with contextlib.AsyncExitStack() as exits:
        async with client_of(comfy):
            newer = await exits.enter_async_context(client_of(comfy))
        await newer.run(trivial())
        await newer.socket.send(json.dumps({"type": "feature_flags", "data": {}}))
        await newer.has_heard_all()

        assert newer.kinds == []
        assert len(newer.said) == 1
        assert not newer.closed.is_set()


async def test_a_client_that_connects_late_hears_the_rest(comfy: Simulator, client: Client) -> None:
    comfy.hold("executed")
    await client.post(trivial(), client_id="late")
    await comfy.held()

    async with client_of(comfy, "late") as late:
        comfy.release()
        await late.hears("executing", node=None)

    assert late.kinds[:2] == ["executing", "executed"]
    assert "execution_start" not in late.kinds


async def test_connecting_while_another_client_runs_is_greeted_with_status_alone(
    comfy: Simulator, client: Client
) -> None:
    comfy.hold("executed")
    await client.post(trivial())
    await comfy.held()

    async with client_of(comfy, "stranger") as stranger:
        await stranger.has_heard_all()
        comfy.release()

    assert [message["type"] for message in stranger.said] == ["status"]


async def test_a_reader_that_stops_holds_up_everybody_until_it_is_gone(comfy: Simulator, client: Client) -> None:
    with _stuck_socket(comfy) as stuck:
        await asyncio.to_thread(stuck.recv, 64)
        comfy.faults.huge_frame_bytes = 32 * 1024 * 1024
        first = await client.post(trivial(1), client_id="stuck")
        second = await client.post(trivial(2))
        await comfy.wait_for("finished", node=first)
        await comfy.wait_for("finished", node=second)
        await client.has_heard_all()
        heard_while_stuck = list(client.kinds)
        comfy.faults.huge_frame_bytes = 0
        stuck.close()

        await client.hears("executing", node=None)

    assert heard_while_stuck == []
    assert client.kinds[0] == "execution_start"


@contextlib.contextmanager
def _stuck_socket(comfy: Simulator) -> Iterator[socket.socket]:
    """A WebSocket that shakes hands and never reads."""
    stuck = socket.socket()
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    address = urlsplit(comfy.url)
    stuck.connect((address.hostname, address.port))
    stuck.sendall(
        b"GET /ws?clientId=stuck HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    try:
        yield stuck
    finally:
        stuck.close()
