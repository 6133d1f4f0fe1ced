"""A WebSocket server that treats each socket as a test wants, and a log of what a listener says."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from app.comfyui.listener import Listener, ListenerOptions
from app.comfyui.messages import Message

FLAGS = '{"type": "feature_flags", "data": {"supports_preview_metadata": true}}'
IMPATIENT = ListenerOptions(open_s=0.2, proof_s=0.2, close_s=0.2, retry_min_s=0.01, retry_max_s=0.02)
QUICK = ListenerOptions(close_s=0.5, retry_min_s=0.01, retry_max_s=0.02)
Behaviour: TypeAlias = Callable[[ServerConnection], Awaitable[None]]


def id_of(socket: ServerConnection) -> str:
    assert socket.request is not None
    return socket.request.path.partition("clientId=")[2]


async def greet(socket: ServerConnection) -> None:
    status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": id_of(socket)}
    await socket.send(json.dumps({"type": "status", "data": status}))


async def behave(socket: ServerConnection) -> None:
    """As a real ComfyUI: greet, answer the flags, then stay."""
    await greet(socket)
    await socket.recv()
    await socket.send(FLAGS)
    await socket.wait_closed()


def saying(*frames: str | bytes) -> Behaviour:
    """Behave, and say something between the flags and the silence."""

    async def behaviour(socket: ServerConnection) -> None:
        await greet(socket)
        await socket.recv()
        await socket.send(FLAGS)
        for frame in frames:
            await socket.send(frame)
        await socket.wait_closed()

    return behaviour


async def greet_and_drop(socket: ServerConnection) -> None:
    await greet(socket)
    await socket.recv()
    await socket.send(FLAGS)
    socket.transport.abort()


async def stay_silent(socket: ServerConnection) -> None:
    await socket.wait_closed()


async def greet_only(socket: ServerConnection) -> None:
    await greet(socket)
    await socket.wait_closed()


@dataclass
class Server:
    """Treats its sockets by one behaviour after the other, and all further ones well."""

    behaviours: list[Behaviour] = field(default_factory=list)
    sockets: list[ServerConnection] = field(default_factory=list)
    open_at_once: int = 0
    _open: int = 0

    async def handle(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self._open += 1
        self.open_at_once = max(self.open_at_once, self._open)
        behaviour = self.behaviours.pop(0) if self.behaviours else behave
        with contextlib.suppress(ConnectionClosed):
            await behaviour(socket)
        self._open -= 1


@contextlib.asynccontextmanager
async def serving(*behaviours: Behaviour) -> AsyncIterator[tuple[Server, str]]:
    server = Server(list(behaviours))
    async with serve(server.handle, "127.0.0.1", 0, max_size=None, close_timeout=0.5) as running:
        host, port = next(iter(running.sockets)).getsockname()
        yield server, f"http://{host}:{port}"


class Log:
    """Everything the listener said, and a way to wait for it to say something."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.told: list[tuple[str, str]] = []
        self._changed = asyncio.Event()

    def on_message(self, message: Message) -> None:
        self.messages.append(message)
        self._changed.set()

    def on_connected(self, client_id: str) -> None:
        self.told.append(("connected", client_id))
        self._changed.set()

    def on_gap(self, client_id: str) -> None:
        self.told.append(("gap", client_id))
        self._changed.set()

    @property
    def gaps(self) -> list[str]:
        return [client_id for what, client_id in self.told if what == "gap"]

    @property
    def ids(self) -> list[str]:
        return [client_id for what, client_id in self.told if what == "connected"]

    async def until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()

    def heard(self, message: Message) -> Callable[[], bool]:
        return lambda: message in self.messages


def listener_for(url: str, log: Log, options: ListenerOptions = QUICK) -> Listener:
    return Listener("gpu-1", url, log.on_message, on_connected=log.on_connected, on_gap=log.on_gap, options=options)


@contextlib.asynccontextmanager
async def listening(url: str, log: Log, options: ListenerOptions = QUICK) -> AsyncIterator[Listener]:
    listener = listener_for(url, log, options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(listener.run())
        yield listener
        task.cancel()
