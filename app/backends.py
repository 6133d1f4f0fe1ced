"""The ComfyUI servers we can reach: for each a client, a listener, its health and what it is working on for us.

Owns the choice of a server for the next prompt. It never submits, never decides a generation's fate, and its names
are the only thing of a server that callers ever see.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeAlias

from app.comfyui.client import ComfyClient, connect
from app.comfyui.definitions import Definitions
from app.comfyui.errors import ComfyError
from app.comfyui.exchange import ClientOptions
from app.comfyui.listener import Listener, ListenerOptions
from app.comfyui.messages import Message
from app.settings import Settings
from app.slots import Slots

OnMessage: TypeAlias = Callable[[Message], None]

log = logging.getLogger(__name__)

DEAF_AFTER_S: Final = 3.0
"""A server tells every socket of a new prompt within milliseconds; a garbage collection holds that up for 0.6 s."""

SETTLE_CHECK_S: Final = 0.01

SOCKET_GRACE_S: Final = 3.0
"""How long work waits for the socket that would tell of it, on a server that answers: reconnecting takes 0.3 s. After
that polling has to do."""

PROBE_INTERVAL_S: Final = 2.0
"""How often a server without a live socket is asked over HTTP whether it is there."""


class Backend(Slots):
    """One ComfyUI server, and what it has in hand for us.

    `is_up`: it answered lately, over the socket or HTTP. `last_error` is one sentence without an address.
    `unheard_since`: when its socket was lost, or the server came up without one (monotonic seconds).
    `given_up`: prompts that went to another server because this one was away; it must not run them when it is back.
    """

    def __init__(self, client: ComfyClient, listener: Listener, max_in_flight: int | None) -> None:
        super().__init__(max_in_flight)
        self.name = client.name
        self.client, self.listener = client, listener
        self.is_up = False
        self.last_error: str | None = "not reached yet"
        self.version: str | None = None
        self.device: str | None = None
        self.definitions: Definitions | None = None
        self._defined_at = float("-inf")
        self._mute_client_id = str(uuid.uuid4())
        self._accepted_at: float | None = None
        self.unheard_since = float("-inf")
        self._down_since = time.monotonic()
        self.given_up: set[str] = set()
        self._stuck_prompt_id: str | None = None
        self.awake = asyncio.Event()

    @property
    def client_id(self) -> str:
        """The name to submit under: our socket's, or while there is none one that nobody listens to."""
        return self.listener.client_id or self._mute_client_id

    @property
    def is_healthy(self) -> bool:
        """It answers, and its worker is not known to be dead."""
        return self.is_up and self._stuck_prompt_id is None

    @property
    def output_classes(self) -> frozenset[str] | None:
        """Classes of output nodes; None while it has not told."""
        return self.definitions.output_classes if self.definitions is not None else None

    @property
    def is_listening(self) -> bool:
        """Its socket has proved itself alive."""
        return self.listener.is_proven

    @property
    def free_slots(self) -> int:
        """How many prompts somebody waits for it can take now."""
        return self.slots_for(is_background=False)

    def slots_for(self, *, is_background: bool) -> int:
        """The same for prompts of that urgency."""
        return self.room(is_background=is_background) if self.is_healthy and not self.is_worth_a_wait else 0

    @property
    def is_worth_a_wait(self) -> bool:
        """Whether the socket that would tell of a prompt is away, and likely to be back in a moment."""
        return self.listener.client_id is None and time.monotonic() - self.unheard_since < SOCKET_GRACE_S

    def away_s(self, now: float) -> float:
        """For how long it has been out of reach, at `now` in monotonic seconds."""
        return 0.0 if self.is_up else now - self._down_since

    def accepted(self, at: float) -> None:
        """A prompt was taken `at` (monotonic seconds): the server tells every socket so."""
        self._accepted_at = at

    def is_deaf(self, now: float) -> bool:
        """Its socket heard nothing of a prompt that was taken a while ago: it is open, and hears nothing ever again."""
        if self._accepted_at is None or not self.is_listening or now - self._accepted_at < DEAF_AFTER_S:
            return False
        return (self.listener.counters.last_message_at or 0.0) < self._accepted_at

    def is_stuck_with(self, prompt_id: str) -> None:
        """Its worker reacts to nothing: no more work for it until the prompt is gone, which takes a restart."""
        facts = {"action": "backend_stuck", "backend": self.name, "prompt_id": prompt_id}
        log.error("backend is stuck: restart ComfyUI", extra=facts)
        self._stuck_prompt_id = prompt_id
        self.last_error = "its worker reacts to nothing; ComfyUI has to be restarted"
        self.awake.set()

    def went_down(self, error: ComfyError) -> None:
        """A request found nobody there; the next probe or a living socket brings it back."""
        if self.is_up:
            log.warning("backend is down", extra={"action": "backend_down", "backend": self.name})
            self._down_since = time.monotonic()
        self.is_up, self.last_error = False, str(error)

    async def probe(self) -> None:
        """Ask the server whether it is there and, the first time, what it is. Never raises."""
        try:
            await self.client.queue_remaining()
            if self.definitions is None or not self.is_up:
                await self._introduce()
            if not await self._is_unstuck():
                return
        except ComfyError as error:
            self.went_down(error)
            return
        if not self.is_up:
            self.unheard_since = time.monotonic()
            self.listener.hurry()
            log.info("backend is up", extra={"action": "backend_up", "backend": self.name, "version": self.version})
        self.is_up, self.last_error = True, None

    async def _is_unstuck(self) -> bool:
        if self._stuck_prompt_id is not None:
            queue = await self.client.queue()
            if self._stuck_prompt_id in queue.running:
                return False
            self._stuck_prompt_id, self.is_up = None, False
        return True

    async def _introduce(self) -> None:
        stats = await self.client.system_stats()
        self.version = stats.version
        self.device = stats.devices[0].name if stats.devices else None
        self.definitions = None  # Of the process that was there before.
        await self._define()

    async def refresh(self, max_age_s: float) -> None:
        """Read the definitions anew if they are older: models come and go. Never raises; old ones stay."""
        if self.is_up and time.monotonic() - self._defined_at > max_age_s:
            await self._define()

    async def _define(self) -> None:
        """A server that does not tell them works all the same: then it is the one that judges a graph."""
        self._defined_at = time.monotonic()
        try:
            self.definitions = Definitions(await self.client.object_info())
        except ComfyError as error:
            facts = {"action": "define", "backend": self.name, "cause": str(error)}
            log.info("node definitions could not be read", extra=facts)


class BackendPool:
    """All servers. `on_up(backend)`: it can take work again. `on_gap(backend)`: what it said was perhaps not heard."""

    def __init__(self, wants_id_again: Callable[[str], bool]) -> None:
        self._backends: dict[str, Backend] = {}
        self._wants_id_again = wants_id_again
        self.on_up: Callable[[Backend], None] = _ignore
        self.on_gap: Callable[[Backend], None] = _ignore

    def add(self, name: str, url: str, client: ComfyClient, settings: Settings, on_message: OnMessage) -> None:
        """Put a server into the pool. Nothing is sent before `run`."""

        def connected(_: str) -> None:
            self._backends[name].awake.set()
            if self._backends[name].is_up:
                self.on_up(self._backends[name])

        def gap(_: str) -> None:
            self._backends[name].unheard_since = time.monotonic()
            self.on_gap(self._backends[name])
            self._backends[name].awake.set()

        options = ListenerOptions(max_frame_bytes=settings.max_frame_bytes)
        listener = Listener(
            name,
            url,
            on_message,
            on_connected=connected,
            on_gap=gap,
            wants_id_again=self._wants_id_again,
            options=options,
        )
        self._backends[name] = Backend(client, listener, settings.max_in_flight)

    @property
    def all(self) -> tuple[Backend, ...]:
        return tuple(self._backends.values())

    def get(self, name: str | None) -> Backend | None:
        return self._backends.get(name) if name is not None else None

    def with_room(self, able: str | None = None, *, is_background: bool = False) -> list[Backend]:
        """The servers that can take a prompt now, most room first; with `able` (see `Generation`) only those in it."""
        known = [each for each in self._backends.values() if able is None or f",{each.name}," in able]
        rooms = [(each.slots_for(is_background=is_background), each) for each in known]
        return [each for room, each in sorted(rooms, key=lambda pair: -pair[0]) if room]

    @property
    def is_any_up(self) -> bool:
        return any(backend.is_up for backend in self._backends.values())

    async def settle(self, within_s: float) -> None:
        """Return when a server is there and heard, or after `within_s`: then the first caller need not wait."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not any(each.is_up and each.is_listening for each in self.all):  # noqa: ASYNC110 - at start only
                    await asyncio.sleep(SETTLE_CHECK_S)

    async def run(self) -> None:
        """Listen to every server and watch its health, for ever."""
        async with asyncio.TaskGroup() as group:
            for backend in self._backends.values():
                group.create_task(backend.listener.run(), name=f"listen {backend.name}")
                group.create_task(self._watch(backend), name=f"probe {backend.name}")

    async def _watch(self, backend: Backend) -> None:
        """Probe a server that is new, silent or down; a living socket is proof enough otherwise."""
        while True:
            backend.awake.clear()
            was_up = backend.is_up
            if not (backend.is_healthy and backend.is_listening and backend.definitions is not None):
                await backend.probe()
            if backend.is_up and not was_up:
                self.on_up(backend)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PROBE_INTERVAL_S if backend.is_up else PROBE_INTERVAL_S / 4):
                    await backend.awake.wait()


def _ignore(_: Backend) -> None:
    """Nobody is interested yet."""


@asynccontextmanager
async def open_pool(
    settings: Settings, on_message: OnMessage, wants_id_again: Callable[[str], bool]
) -> AsyncIterator[BackendPool]:
    """A client and a listener for each server in the settings. Every message goes to `on_message`, synchronously.

    `wants_id_again(client_id)`: whether live prompts speak to this id, so that a lost socket should come back under it.
    """
    limits = ClientOptions(
        connect_s=settings.connect_timeout_s, call_s=settings.request_timeout_s, submit_s=settings.request_timeout_s
    )
    pool = BackendPool(wants_id_again)
    async with AsyncExitStack() as stack:
        for name, url in settings.comfyui_urls.items():
            client = await stack.enter_async_context(connect(name, url, limits))
            pool.add(name, url, client, settings, on_message)
        yield pool
