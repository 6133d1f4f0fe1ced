"""What the machine could do: event streams from a bare asyncio protocol, and bytes from a bare ASGI application.

Prints both URLs as a JSON list. `GET /events` on the first holds the connection. `GET /tick` with `per_s`, `count`,
`groups` and `size` then writes so many stamped events of that size to each held connection, a group of them at a time,
and answers when it is done.
"""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Final, cast
from urllib.parse import parse_qs, urlsplit

import msgspec
import uvicorn
import uvloop
from starlette.types import Receive, Scope, Send

from benchmarks.comfy import STAMP_RANGE, stamp

_HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
_DONE: Final = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class _Bare(asyncio.Protocol):
    """A connection: one that watches, or one that commands."""

    watchers: Final[set[asyncio.Transport]] = set()
    ticking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.watchers.discard(self.transport)

    def data_received(self, data: bytes) -> None:
        url = urlsplit(data.split(b" ", 2)[1].decode())
        if url.path == "/events":
            self.transport.write(_HEAD)
            self.watchers.add(self.transport)
            return
        given = {name: float(values[0]) for name, values in parse_qs(url.query).items()}
        self.ticking = asyncio.get_running_loop().create_task(self._tick(**given))

    async def _tick(self, per_s: float, count: float, groups: float, size: float) -> None:
        """One group of the watchers after the other, each `per_s` times a second."""
        began, crowd, parts = time.monotonic(), tuple(self.watchers), int(groups)
        for number in range(1, int(count) * parts + 1):
            await asyncio.sleep(began + number / per_s / parts - time.monotonic())
            head = b'data: {"value":%d.0,"max":%d,' % (stamp(), STAMP_RANGE)
            event = head.ljust(int(size) - 3, b"x") + b"}\n\n"
            for watcher in crowd[number % parts :: parts]:
                watcher.write(event)
        self.transport.write(_DONE)


async def _static(scope: Scope, receive: Receive, send: Send) -> None:
    """As many bytes as the path says."""
    body = _bytes(int(scope["path"].rpartition("/")[2]))
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": body})


_made: Final[dict[int, bytes]] = {}


def _bytes(count: int) -> bytes:
    return _made.setdefault(count, bytes(count))


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(_Bare, "127.0.0.1", 0, backlog=2048)
    port = server.sockets[0].getsockname()[1]
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    config = uvicorn.Config(_static, http="httptools", log_level="warning", access_log=False, lifespan="off")
    urls = [f"http://127.0.0.1:{port}", f"http://127.0.0.1:{listening.getsockname()[1]}"]
    print(msgspec.json.encode(urls).decode(), flush=True)
    await uvicorn.Server(config).serve([listening])


if __name__ == "__main__":
    uvloop.run(_serve())
