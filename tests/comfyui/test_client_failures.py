"""Every call without an answer, and every answer that is none, becomes one of our errors."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from app.comfyui.client import ComfyClient, connect
from app.comfyui.errors import BadReply, NoAnswer, Unreachable
from app.comfyui.exchange import ClientOptions
from app.comfyui.history import OutputFile
from tests.comfyui.servers import HANG_UP, STALL, ScriptedServer, answer, closed_port_url

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

PROMPT_ID = "0f679f11-e3de-45ec-a87a-392530089e3d"
WORKFLOW = {"1": {"class_type": "SaveImage", "inputs": {}}}
FILE = OutputFile("1", "a b+c&d=é%20#.png", "sub/folder")
# Long enough for a busy machine to connect, short enough to wait for.
OPTIONS = ClientOptions(connect_s=5.0, call_s=0.3, submit_s=0.3, transfer_s=0.3)

EVERY_CALL: dict[str, Callable[[ComfyClient], Awaitable[object]]] = {
    "POST /prompt": lambda client: client.submit(WORKFLOW, prompt_id=PROMPT_ID, client_id="c"),
    "GET /queue": lambda client: client.queue(),
    f"GET /history/{PROMPT_ID}": lambda client: client.history(PROMPT_ID),
    "POST /interrupt": lambda client: client.interrupt(PROMPT_ID),
    "POST /queue": lambda client: client.delete(PROMPT_ID),
    f"POST /api/jobs/{PROMPT_ID}/cancel": lambda client: client.cancel(PROMPT_ID),
    "GET /view": lambda client: read(client, FILE),
    "POST /upload/image": lambda client: client.upload(b"picture", "a.png"),
    "GET /object_info": lambda client: client.object_info(),
    "GET /system_stats": lambda client: client.system_stats(),
    "GET /features": lambda client: client.features(),
    "GET /prompt": lambda client: client.queue_remaining(),
    "POST /free": lambda client: client.free(),
}


async def read(client: ComfyClient, file: OutputFile, preview: str | None = None) -> bytes:
    async with client.view(file, preview=preview) as download:
        return b"".join([chunk async for chunk in download.chunks])


@asynccontextmanager
async def impatient(url: str) -> AsyncIterator[ComfyClient]:
    async with connect("gpu-1", url, OPTIONS) as client:
        yield client


def remaining(count: object) -> dict[str, Any]:
    return {"exec_info": {"queue_remaining": count}}


@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL.keys())
async def test_every_call_to_nobody_is_unreachable_and_says_so_without_the_address(
    call: Callable[[ComfyClient], Awaitable[object]],
) -> None:
    async with impatient(await closed_port_url()) as client:
        with pytest.raises(Unreachable) as caught:
            await call(client)

    assert str(caught.value) == "gpu-1: cannot be reached (connection refused)"


@pytest.mark.parametrize("silence", [HANG_UP, STALL], ids=["hangs up", "stalls"])
@pytest.mark.parametrize("name", EVERY_CALL)
async def test_every_call_that_was_sent_and_got_no_answer_has_an_unknown_fate(
    server: ScriptedServer, name: str, silence: bytes | None
) -> None:
    server.answers[name] = silence

    async with impatient(server.url) as client:
        with pytest.raises(NoAnswer):
            await EVERY_CALL[name](client)

    assert server.requests


@pytest.mark.parametrize(
    "scripted",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 X\r\nContent-Length: nonsense\r\n\r\n",
        answer(200, remaining(1))[:-5],
        answer(200, b"not gzip", Content_Encoding="gzip"),
        answer(200, remaining("many")),
        answer(500, b"500 Internal Server Error", "text/plain"),
    ],
)
async def test_broken_answers_become_our_errors_too(server: ScriptedServer, scripted: bytes) -> None:
    server.answers["GET /prompt"] = scripted

    async with impatient(server.url) as client:
        with pytest.raises((NoAnswer, BadReply)):
            await client.queue_remaining()


async def test_an_answer_without_end_is_given_up(server: ScriptedServer) -> None:
    server.answers["GET /object_info"] = answer(200, b"x" * 2_000_000)

    async with connect("gpu-1", server.url, ClientOptions(max_reply_bytes=1_000_000)) as client:
        with pytest.raises(BadReply):
            await client.object_info()


async def test_a_call_that_finds_no_free_connection_was_never_sent(server: ScriptedServer) -> None:
    server.answers |= {"GET /object_info": STALL, "GET /prompt": answer(200, remaining(0))}
    options = ClientOptions(call_s=0.2, submit_s=5.0, max_calls=1)

    async with connect("gpu-1", server.url, options) as client, asyncio.TaskGroup() as group:
        blocking = group.create_task(client.object_info())
        await asyncio.wait_for(server.asked.wait(), 5)
        with pytest.raises(Unreachable, match="no free connection"):
            await client.queue_remaining()
        blocking.cancel()

    assert [request.path for request in server.requests] == ["/object_info"]


async def test_many_calls_at_once_share_the_connections(client: ComfyClient, server: ScriptedServer) -> None:
    server.answers["GET /prompt"] = answer(200, remaining(1))

    counts = await asyncio.gather(*(client.queue_remaining() for _ in range(200)))

    assert counts == [1] * 200
