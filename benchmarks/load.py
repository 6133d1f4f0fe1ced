"""Prompts sent two ways: straight to ComfyUI as a client of its own would, and through the service."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.http import TIMEOUT_S, Connection, connections

Graph = dict[str, Any]

_keys: Final = count(1)


def trivial(output: str) -> Graph:
    """An 8x8 picture for `output` (SaveImage or PreviewImage); no two of them are alike, so none comes from a cache."""
    key = next(_keys)
    made = {"width": 8, "height": 8, "batch_size": 1, "color": key % 0xFFFFFF}
    given = {"images": ["1", 0]} | ({"filename_prefix": f"bench/{key}/image"} if output == "SaveImage" else {})
    return {"1": {"class_type": "EmptyImage", "inputs": made}, "2": {"class_type": output, "inputs": given}}


def ticking(per_s: float, ticks: int) -> Graph:
    """One node that tells its progress `ticks` times."""
    return {"1": {"class_type": "BenchTicks", "inputs": {"count": ticks, "per_s": per_s, "key": next(_keys)}}}


class Straight:
    """ComfyUI without us: POST /prompt, and one socket that tells of the end."""

    def __init__(self, socket: ClientConnection, client_id: str) -> None:
        self._socket, self._client_id = socket, client_id
        self._ends: dict[str, asyncio.Future[None]] = {}
        self.heard: list[tuple[float, bytes]] = []

    async def run(self, connection: Connection, graph: Graph, *, reads_history: bool = False) -> None:
        """One prompt to its end."""
        prompt_id = str(uuid.uuid4())
        ended = self._ends[prompt_id] = asyncio.get_running_loop().create_future()
        body = {"prompt": graph, "prompt_id": prompt_id, "client_id": self._client_id}
        await connection.json("POST", "/prompt", body, "content-type: application/json\r\n")
        async with asyncio.timeout(TIMEOUT_S):
            await ended
        if reads_history:
            await connection.json("GET", f"/history/{prompt_id}")

    async def listen(self) -> None:
        """Hear the socket for ever."""
        while True:
            frame = await self._socket.recv(decode=False)
            if b'"progress"' in frame:
                self.heard.append((time.monotonic(), frame))
            elif b'"executing"' in frame:
                data = msgspec.json.decode(frame)["data"]
                if data["node"] is None:
                    self._ends.pop(data["prompt_id"]).set_result(None)


@asynccontextmanager
async def straight(url: str) -> AsyncIterator[Straight]:
    """A listening socket at the ComfyUI at `url`."""
    client_id = uuid.uuid4().hex
    address = f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}"
    async with (
        connect(address, proxy=None, max_size=None, compression=None) as socket,
        asyncio.TaskGroup() as group,
    ):
        client = Straight(socket, client_id)
        listening = group.create_task(client.listen(), name="straight")
        try:
            yield client
        finally:
            listening.cancel()


async def through(connection: Connection, graph: Graph) -> dict[str, Any]:
    """One generation through the service to its end; its record."""
    record = await connection.json("POST", "/api/generate", {"workflow": graph}, "prefer: wait=60\r\n")
    if record["status"] != "succeeded":
        raise RuntimeError(f"a generation {record['status']}: {record['error']}")
    return record


async def ready(url: str) -> None:
    """Return when the service can finish a job."""
    async with connections(url, 1) as (connection,):
        for _ in range(1000):
            if (await connection.ask("GET", "/readyz"))[0] == 200:
                return
            await asyncio.sleep(0.02)
    raise RuntimeError("the service did not become ready")


async def rate(url: str, callers: int, jobs: int, run: Callable[[Connection], Awaitable[object]]) -> float:
    """Jobs per second with so many callers at once."""
    async with connections(url, callers) as opened:
        todo = iter(range(jobs))
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for connection in opened:
                group.create_task(_call(connection, todo, run), name="caller")
        return jobs / (time.monotonic() - began)


async def _call(connection: Connection, todo: Iterator[int], run: Callable[[Connection], Awaitable[object]]) -> None:
    for _ in todo:
        await run(connection)
