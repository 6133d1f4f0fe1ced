"""Readers of the event stream that do not read, leave without a word, or still read when the service stops."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import httpx
from httpx_sse import EventSource

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import QUICK, held_while_drawing, hub_of
from tests.comfyui.simulator.probe_nodes import PROBE_NODES
from tests.conftest import Serve
from tests.service import TERMINAL, Json, Service
from tests.waiting import WITHIN_S, until

MANY_LARGE_PREVIEWS: Json = {
    "1": {
        "class_type": "ProbeSteps",
        "inputs": {
            "steps": 60,
            "delay_ms": 2,
            "seed": 1,
            "width": 64,
            "height": 64,
            "batch_size": 1,
            "previews": "noise",
        },
    },
    **{
        str(node): {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": f"slow/{node}"}}
        for node in (2, 3, 4)
    },
}
"""More bytes than a socket holds, most of them in what may be dropped; and three outputs."""


@asynccontextmanager
async def raw_stream(api: Service, generation_id: str, receive_buffer: int = 0) -> AsyncIterator[socket.socket]:
    """A socket on which the stream was asked for, and nothing is read."""
    at = urlsplit(api.url)
    with socket.socket() as reader:
        if receive_buffer:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        reader.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(reader, (at.hostname, at.port))
        request = f"GET /api/generations/{generation_id}/events?previews=inline HTTP/1.1\r\nHost: relay\r\n\r\n"
        await loop.sock_sendall(reader, request.encode())
        yield reader


async def read_to_end(reader: socket.socket, until_text: bytes) -> bytes:
    """Everything up to this text, which must come."""
    received = b""
    async with asyncio.timeout(WITHIN_S):
        while until_text not in received:
            chunk = await asyncio.get_running_loop().sock_recv(reader, 1 << 20)
            assert chunk, "closed before the end"
            received += chunk
    return received


def decoded(raw: bytes) -> list[Json]:
    """The events of a raw chunked answer."""
    head, _, body = raw.partition(b"\r\n\r\n")
    plain = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        plain, body = plain + rest[:length], rest[length + 2 :]
    answer = httpx.Response(200, content=plain, headers={"content-type": "text/event-stream"})
    assert head.startswith(b"HTTP/1.1 200")
    return [{**event.json(), "id": event.id} for event in EventSource(answer).iter_sse()]


def of_type(events: list[Json], *types: str) -> list[Json]:
    return [event for event in events if event["type"] in types]


async def test_a_reader_that_does_not_read_holds_up_nobody_and_misses_no_milestone(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(nodes=PROBE_NODES)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        comfy.hold("execution_start")
        answer = await api.generate(workflow=MANY_LARGE_PREVIEWS)
        await comfy.held()
        async with raw_stream(api, answer["id"], receive_buffer=2048) as sleeper:
            watching = asyncio.create_task(api.events(answer["id"], previews="inline"))
            await until(lambda: len(hub_of(api)) == 2)
            comfy.release()
            comfy.hold("execution_success")
            await comfy.held()
            while len((await api.record(answer["id"]))["outputs"]) < 3:
                pass
            comfy.release()

            others = await watching
            late = decoded(await read_to_end(sleeper, b"\r\n0\r\n\r\n"))

    assert 0 < len(of_type(late, "preview")) < len(of_type(others, "preview")) / 2
    assert len(of_type(late, "output")) == 3
    milestones = ("status", "output", *TERMINAL)
    assert of_type(late, *milestones) == of_type(others, *milestones)
    assert [event["type"] for event in of_type(late, *TERMINAL)] == ["complete"]


async def test_a_watcher_that_breaks_off_without_a_word_is_forgotten(api: Service, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer:
        async with raw_stream(api, answer["id"]):
            await until(lambda: len(hub_of(api)) == 1)

        await until(lambda: len(hub_of(api)) == 0)


async def test_the_end_of_the_service_ends_streams_politely(serve: Serve, comfy: Simulator) -> None:
    api = await serve(shutdown_grace_s=10)
    comfy.hold("progress", node="3")
    answer = await api.generate(**QUICK)
    await comfy.held()
    async with raw_stream(api, answer["id"]) as reader:
        await until(lambda: len(hub_of(api)) == 1)

        async with asyncio.timeout(5):
            await api.stop()
        received = await read_to_end(reader, b"\r\n0\r\n\r\n")
    await api.start()
    comfy.release()

    assert decoded(received)[0]["type"] == "connected"
    assert (await api.finished(answer["id"]))["status"] == "succeeded"
