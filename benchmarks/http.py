"""The smallest HTTP client that can keep a connection: what the load spends is taken from the one it measures."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

TIMEOUT_S: Final = 60.0

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK: Final = b"\r\n0\r\n\r\n"


class Connection:
    """One kept connection; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, method: str, path: str, body: object = None, headers: str = "") -> tuple[int, bytes]:
        """(status, body). `body` is sent as JSON; `headers` are lines with their ends."""
        sent = b"" if body is None else msgspec.json.encode(body)
        head = f"{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {len(sent)}\r\n\r\n"
        self._writer.write(head.encode() + sent)
        async with asyncio.timeout(TIMEOUT_S):
            answer = await self._reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(answer)
            return int(answer[9:12]), await self._reader.readexactly(int(length[1]) if length else 0)

    async def json(self, method: str, path: str, body: object = None, headers: str = "") -> dict[str, Any]:
        """The JSON object answered; RuntimeError for a status that is no success."""
        status, answer = await self.ask(method, path, body, headers)
        if status >= 300:
            raise RuntimeError(f"{method} {path}: {status} {answer[:300]!r}")
        return msgspec.json.decode(answer, type=dict[str, Any])

    def close(self) -> None:
        self._writer.close()


@asynccontextmanager
async def connections(url: str, count: int) -> AsyncIterator[list[Connection]]:
    """So many open connections to the same server."""
    opened = [Connection(*await asyncio.open_connection(*_address(url))) for _ in range(count)]
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


class Watcher(asyncio.Protocol):
    """An event stream read as fast as possible: pieces as they come, looked at afterwards.

    `closed`: the answer is complete, or the connection gone.
    """

    def __init__(self) -> None:
        self.pieces: list[tuple[float, bytes]] = []
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.opened = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.pieces.append((time.monotonic(), data))
        self.opened.set()
        if data.endswith(_LAST_CHUNK):
            self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._close()

    def _close(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)

    def forget(self) -> None:
        """What came so far was not meant to be measured."""
        self.pieces.clear()

    @property
    def events(self) -> int:
        return sum(data.count(b"\ndata: ") + data.startswith(b"data: ") for _, data in self.pieces)


@asynccontextmanager
async def watchers(url: str, paths: list[str]) -> AsyncIterator[list[Watcher]]:
    """An open stream per path, all of which have answered."""
    loop = asyncio.get_running_loop()
    transports, opened = [], []
    try:
        for path in paths:
            transport, watcher = await loop.create_connection(Watcher, *_address(url))
            transports.append(transport)
            opened.append(watcher)
            transport.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(TIMEOUT_S):
            for watcher in opened:
                await watcher.opened.wait()
        yield opened
    finally:
        for transport in transports:
            transport.abort()
        await asyncio.sleep(0)
