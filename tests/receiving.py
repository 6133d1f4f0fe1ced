"""A receiver of webhooks on a real socket, with faults to order. What it takes is verified by the official library."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from standardwebhooks import Webhook

from tests.comfyui.servers import Request, answer, read_request
from tests.service import Json, Service
from tests.waiting import WITHIN_S, until

if TYPE_CHECKING:
    import ssl

HANG = "hang"
"""Take the request and say nothing."""

RESET = "reset"
"""Take the request and break the connection off."""

GARBAGE = "garbage"
"""Say something that is no HTTP."""

Behaviour: TypeAlias = int | float | bytes | str
"""A status to answer; seconds to wait before 200; a whole answer; or one of the above."""


@dataclass(frozen=True)
class Message:
    """One POST that came, whatever it was answered. `at` is the loop's time."""

    request: Request
    at: float

    @property
    def id(self) -> str:
        return self.request.headers["webhook-id"]

    @property
    def body(self) -> dict[str, Any]:
        return dict(self.request.json)

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def about(self) -> str:
        return str(self.body["data"].get("id"))

    def verified(self, secret: str) -> dict[str, Any]:
        """What the official library makes of it; raises where the signature is not that of the secret."""
        told: dict[str, Any] = Webhook(secret).verify(self.request.body, self.request.headers)
        return told


@dataclass
class Receiver:
    """`faults` by path are used up one by one, the last of `stays` for ever; then it is 200."""

    port: int = 0
    scheme: str = "http"
    faults: dict[str, deque[Behaviour]] = field(default_factory=lambda: defaultdict(deque))
    stays: dict[str, Behaviour] = field(default_factory=dict)
    attempts: list[Message] = field(default_factory=list)
    taken: list[Message] = field(default_factory=list)
    at_once: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    most_at_once: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def url(self, path: str = "/hooks") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def at(self, path: str) -> list[Message]:
        """Every attempt at this path."""
        return [message for message in self.attempts if message.request.path.partition("?")[0] == path]

    def took(self, path: str) -> list[Message]:
        """Every message at this path that was answered with 200."""
        return [message for message in self.taken if message.request.path.partition("?")[0] == path]

    async def has(self, count: int, path: str = "/hooks", within_s: float = WITHIN_S) -> list[Message]:
        """The messages taken at this path once there are so many."""
        await until(lambda: len(self.took(path)) >= count, within_s)
        return self.took(path)

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        """Listen, on the same port as before."""
        self._tasks: set[asyncio.Task[None]] = set()
        self.scheme = "http" if tls is None else "https"
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Take no connection any more."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
                await self._answer(await read_request(reader), reader, writer)
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = request.path.partition("?")[0]
        message = Message(request, asyncio.get_running_loop().time())
        self.attempts.append(message)
        self.at_once[path] += 1
        self.most_at_once[path] = max(self.most_at_once[path], self.at_once[path])
        try:
            if await self._behave(self._next(path), reader, writer):
                self.taken.append(message)
        finally:
            self.at_once[path] -= 1

    def _next(self, path: str) -> Behaviour:
        return self.faults[path].popleft() if self.faults[path] else self.stays.get(path, 200)

    async def _behave(self, behaviour: Behaviour, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether it was taken."""
        match behaviour:
            case bytes():
                writer.write(behaviour)
            case int():
                writer.write(answer(behaviour))
                return 200 <= behaviour < 300
            case float():
                await asyncio.sleep(behaviour)
                writer.write(answer(200))
                return True
            case "hang":
                await reader.read()
            case "reset":
                raw: socket.socket = writer.get_extra_info("socket")
                # SO_LINGER of zero seconds: closing sends a reset instead of an end.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case _:
                writer.write(b"no HTTP at all\r\n\r\n")
        return False


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A receiver on a free port of loopback, for as long as the block lasts."""
    receiver = Receiver()
    await receiver.start(tls)
    try:
        yield receiver
    finally:
        await receiver.stop()


ALL = (
    *("generation.queued", "generation.running", "generation.output"),
    *("generation.succeeded", "generation.failed", "generation.canceled"),
)
"""What can be told of a generation, in the order it happens."""

QUICKLY: dict[str, object] = {
    "webhook_allow": "127.0.0.0/8",
    "webhook_timeout_s": 0.5,
    "webhook_retry_s": 0.05,
    "webhook_retry_max_s": 0.2,
    "webhook_check_s": 0.2,
}
"""Settings under which faults take tenths of a second; everything on loopback may be told."""


def ids(messages: Collection[Message]) -> list[str]:
    return [message.id for message in messages]


def of_each(
    messages: Collection[Message], key: Callable[[Message], str] = lambda each: each.about
) -> dict[str, list[Message]]:
    """The messages by what they are about, in the order they came."""
    found: dict[str, list[Message]] = {}
    for message in messages:
        found.setdefault(key(message), []).append(message)
    return found


async def registered(api: Service, receiver: Receiver, path: str = "/hooks", **fields: Any) -> Json:
    """Register the receiver with a service; the answer, with its secret."""
    answer = await api.http.post("/api/webhooks", json={"url": receiver.url(path), **fields})
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made
