"""A server that answers whatever bytes a test tells it to: for what no real ComfyUI should say."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

HANG_UP: None = None
"""Instead of an answer: read the request, then close the connection."""

STALL = b""
"""Instead of an answer: read the request and say nothing."""


def answer(
    status: int, body: object = b"", content_type: str = "application/json; charset=utf-8", **headers: str
) -> bytes:
    """A whole HTTP answer; a body that is no bytes becomes JSON as ComfyUI writes it (NaN included)."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", f"Content-Type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class ScriptedServer:
    """`answers` maps "METHOD /path" (without the query) to bytes, HANG_UP or STALL; anything else is 404."""

    url: str
    answers: dict[str, bytes | None] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await self._serve_one(reader, writer):
                await writer.drain()
        writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        request = await read_request(reader)
        self.requests.append(request)
        self.asked.set()
        path = request.path.partition("?")[0]
        scripted = self.answers.get(f"{request.method} {path}", answer(404))
        if scripted is HANG_UP:
            return False
        if scripted == STALL:
            await reader.read()
            return False
        writer.write(scripted)
        return b"Connection: close" not in scripted


async def read_request(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, body)


@contextlib.asynccontextmanager
async def scripted_server() -> AsyncIterator[ScriptedServer]:
    scripted = ScriptedServer("")
    server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    scripted.url = f"http://{host}:{port}"
    try:
        yield scripted
    finally:
        server.close()


async def closed_port_url() -> str:
    """The URL of a port on which nobody listens."""
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()
    return f"http://{host}:{port}"
