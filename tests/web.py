"""A small internet on loopback: servers that answer what a test tells them to, and names that lead where it wants."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from tests.comfyui.servers import Request, answer, read_request

if TYPE_CHECKING:
    import ssl

LOOPBACK = "127.0.0.1"

Page: TypeAlias = bytes | Callable[[], AsyncIterator[bytes]]
"""A whole answer, or its pieces as they come. The connection is closed behind it."""


@dataclass
class Web:
    """`pages` by path; anything else is 404. `most_at_once` counts requests that were being answered together."""

    port: int = 0
    pages: dict[str, Page] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    most_at_once: int = 0
    _at_once: int = 0

    def url(self, host: str, path: str, scheme: str = "http") -> str:
        return f"{scheme}://{host}:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request, and give up on it when the caller hangs up."""
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                request = await read_request(reader)
                self.requests.append(request)
                await self._answer(request, reader, writer)
        finally:
            self._at_once -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        page = self.pages.get(request.path, answer(404))

        async def write() -> None:
            async for piece in _whole(page) if isinstance(page, bytes) else page():
                writer.write(piece)
                await writer.drain()

        async with asyncio.TaskGroup() as group:
            writing, leaving = group.create_task(write()), group.create_task(reader.read())
            await asyncio.wait([writing, leaving], return_when=asyncio.FIRST_COMPLETED)
            writing.cancel()
            leaving.cancel()


async def _whole(page: bytes) -> AsyncIterator[bytes]:
    yield page


@contextlib.asynccontextmanager
async def running_web(tls: ssl.SSLContext | None = None) -> AsyncIterator[Web]:
    """A server on a free port, for as long as the block lasts."""
    web = Web()
    server = await asyncio.start_server(web.serve, LOOPBACK, 0, ssl=tls)
    web.port = server.sockets[0].getsockname()[1]
    try:
        yield web
    finally:
        server.close()


class Names:
    """A resolver. Each name leads to one list of addresses after the other, and stays with the last."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        answers = self._names.get(host)
        if answers is None:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def redirect(location: str, status: int = 302) -> bytes:
    return answer(status, b"", Location=location)


@dataclass
class Gate:
    """In front of a server: requests that begin with `marked` wait there until `is_open`."""

    marked: bytes
    url: str = ""
    has_held: asyncio.Event = field(default_factory=asyncio.Event)
    is_open: asyncio.Event = field(default_factory=asyncio.Event)


@contextlib.asynccontextmanager
async def gated(port: int, marked: bytes) -> AsyncIterator[Gate]:
    """A gate in front of the server on this port of loopback, for as long as the block lasts."""
    gate = Gate(marked)

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65536):
                if chunk.startswith(gate.marked):
                    gate.has_held.set()
                    await gate.is_open.wait()
                writer.write(chunk)
                await writer.drain()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(LOOPBACK, port)
        try:
            async with asyncio.TaskGroup() as group:
                ways = [group.create_task(pipe(reader, back)), group.create_task(pipe(there, writer))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                for way in ways:
                    way.cancel()
        finally:
            for each in (writer, back):
                each.close()
                with contextlib.suppress(OSError):
                    await each.wait_closed()

    server = await asyncio.start_server(serve, LOOPBACK, 0)
    gate.url = f"http://{LOOPBACK}:{server.sockets[0].getsockname()[1]}"
    try:
        yield gate
    finally:
        server.close()
