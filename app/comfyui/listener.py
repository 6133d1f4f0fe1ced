"""Listens to one ComfyUI server over one WebSocket, for as long as it is told to.

Owns connecting, proving that the socket lives, and connecting again. Never waits for whoever gets the messages, never
asks over HTTP. Under an old client_id a socket can stay open, answer pings and hear nothing for ever (COMFYUI_PROTOCOL
section 6); so an id is used again only while prompts under it still have something to say, only once, after a pause,
and only as long as the server answers on it. What was said in between is lost in any case: gaps are reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from app.comfyui.address import parse_address
from app.comfyui.messages import FeatureFlags, Status, Unknown, decode_binary, decode_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.comfyui.messages import Message

log = logging.getLogger(__name__)

# Exactly `true`: previews then come with the ids of their prompt and node (section 3.3).
_FLAGS: Final = msgspec.json.encode({"type": "feature_flags", "data": {"supports_preview_metadata": True}}).decode()
_TOO_LARGE: Final = 1009
_MAX_UNKNOWN_NAMES: Final = 100
# Servers from before the feature flags never answer them; after so many silent sockets they are not asked to.
_MAX_UNANSWERED: Final = 2
_UNPROVEN: Final = "no proof of life"


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerOptions:
    """Limits of one server's socket.

    `proof_s` is how soon the greeting and the answer to our flags must be there. `retry_min_s` is also the pause that
    keeps a new socket clear of the old one's end (section 6). Under an id used before, flags are sent `late_proof_s`
    after connecting: that told live sockets from deaf ones 270 times of 270, and asking at once did not. Text frames
    of 8 MB were seen; a larger frame than `max_frame_bytes` closes the socket.
    """

    open_s: float = 10.0
    proof_s: float = 10.0
    late_proof_s: float = 0.25
    reuse_proof_s: float = 3.0
    close_s: float = 1.0
    ping_interval_s: float = 20.0
    ping_timeout_s: float = 30.0
    retry_min_s: float = 0.3
    retry_max_s: float = 10.0
    max_frame_bytes: int = 256 * 1024 * 1024


@dataclass(slots=True)
class ListenerCounters:
    """What was heard since the start. `last_message_at` is in seconds of the listener's clock.

    `unknown` counts by type; names beyond the hundredth are counted under "".
    """

    frames: int = 0
    connections: int = 0
    failures: int = 0
    oversized: int = 0
    last_message_at: float | None = None
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def reconnects(self) -> int:
        return max(0, self.connections - 1)

    def add_unknown(self, type_name: str) -> None:
        is_kept = type_name in self.unknown or len(self.unknown) < _MAX_UNKNOWN_NAMES
        name = type_name if is_kept else ""
        self.unknown[name] = self.unknown.get(name, 0) + 1


@dataclass(slots=True)
class _Session:
    """One socket's life. `deadline` ends it: for want of proof, or because it is to be replaced."""

    client_id: str
    deadline: asyncio.Timeout
    is_reused: bool = False
    is_greeted: bool = False
    is_proven: bool = False
    end: str = _UNPROVEN


class Listener:
    """Calls, from `run` alone and never awaited: `on_connected(client_id)`, then `on_message` for every message, then
    `on_gap(client_id)` when that id will hear nothing more.

    Callbacks must be quick, since ComfyUI waits for its slowest listener (section 7), and must not raise: what they
    raise ends `run`.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        on_message: Callable[[Message], None],
        *,
        on_connected: Callable[[str], None],
        on_gap: Callable[[str], None],
        wants_id_again: Callable[[str], bool] = lambda _: False,
        options: ListenerOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Raises ValueError for a bad URL. `jitter` gives numbers from 0 to 1.

        `wants_id_again(client_id)` is asked before connecting anew: are there prompts that will speak to this id?
        """
        self.name = name
        self.counters = ListenerCounters()
        self._address = parse_address(base_url)
        self._on_message, self._on_connected, self._on_gap = on_message, on_connected, on_gap
        self._wants_id_again = wants_id_again
        self._lost_id: str | None = None
        self._options = options or ListenerOptions()
        self._clock, self._jitter = clock, jitter
        self._session: _Session | None = None
        self._failed_in_a_row = 0
        self._unanswered = 0
        self._hurried = asyncio.Event()

    @property
    def client_id(self) -> str | None:
        """The id to submit prompts with, from the greeting to the end of the socket."""
        return self._session.client_id if self._session and self._session.is_greeted else None

    @property
    def is_proven(self) -> bool:
        """Whether the server has answered on this socket. Servers before the feature flags never do."""
        return self._session is not None and self._session.is_proven

    def replace(self, reason: str) -> None:
        """Give up this socket and open another one under a new id; without a socket nothing happens."""
        session = self._session
        if session is not None and not session.deadline.expired():
            session.end = reason
            session.deadline.reschedule(asyncio.get_running_loop().time())

    def hurry(self) -> None:
        """The server was seen to be there: do not sit out a pause that grew while it was not."""
        if self._session is None and self._failed_in_a_row > 1:
            self._hurried.set()

    async def run(self) -> None:
        """Listen for ever; ends only by being cancelled, or with what a callback raised."""
        while True:
            await self._connection()
            self._hurried.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s(self._failed_in_a_row, self._options, self._jitter())):
                    await self._hurried.wait()

    async def _connection(self) -> None:
        """One socket from its opening to its end."""
        self._failed_in_a_row += 1
        lost_id = self._lost_id
        is_reused = lost_id is not None and self._wants_id_again(lost_id)
        client_id = lost_id if lost_id is not None and is_reused else str(uuid.uuid4())
        try:
            socket = await self._open(client_id)
        except (OSError, WebSocketException) as exc:
            self.counters.failures += 1
            self._log_end(type(exc).__name__)
            return
        self.counters.connections += 1
        self._lost_id = None
        try:
            await self._listen(socket, client_id, is_reused=is_reused)
        finally:
            await socket.close()

    def _open(self, client_id: str) -> connect:
        options = self._options
        return connect(
            self._address.websocket(client_id),
            additional_headers=self._address.headers,
            # A LAN has no use for proxies, and deflate costs both sides more than it saves.
            proxy=None,
            compression=None,
            open_timeout=options.open_s,
            close_timeout=options.close_s,
            ping_interval=options.ping_interval_s,
            ping_timeout=options.ping_timeout_s,
            max_size=options.max_frame_bytes,
        )

    async def _listen(self, socket: ClientConnection, client_id: str, *, is_reused: bool) -> None:
        """Read until the socket ends or its deadline passes."""
        deadline = asyncio.timeout(self._options.reuse_proof_s if is_reused else self._options.proof_s)
        session = self._session = _Session(client_id, deadline, is_reused)
        try:
            async with deadline:
                await self._read(socket, session)
        except TimeoutError:
            if not deadline.expired():
                raise
            self._unanswered += session.end == _UNPROVEN and session.is_greeted and not session.is_reused
        finally:
            self._session = None
            # An id that was deaf, or given up for some other reason, is not worth another try.
            self._lost_id = session.client_id if session.is_proven and not deadline.expired() else None
            if session.is_greeted:
                self._on_gap(session.client_id)
        self._log_end(session.end)

    async def _read(self, socket: ClientConnection, session: _Session) -> None:
        try:
            if session.is_reused:
                await asyncio.sleep(self._options.late_proof_s)
            await socket.send(_FLAGS)
            while True:
                self._hear(session, await socket.recv(decode=False))
        except ConnectionClosed as exc:
            self.counters.oversized += exc.sent is not None and exc.sent.code == _TOO_LARGE
            session.end = f"closed with {exc.rcvd.code if exc.rcvd else 'no close frame'}"

    def _hear(self, session: _Session, frame: bytes) -> None:
        # Binary frames begin with a number below 2**24, JSON never begins with a zero byte.
        message = decode_binary(frame) if frame[:1] == b"\0" else decode_text(frame)
        self.counters.frames += 1
        self.counters.last_message_at = self._clock()
        match message:
            case Unknown(type_name=type_name):
                self.counters.add_unknown(type_name)
            case Status(sid=str() as sid) if not session.is_greeted:
                self._greeted(session, sid)
            case FeatureFlags() if session.is_greeted:
                self._proven(session)
        self._on_message(message)

    def _greeted(self, session: _Session, sid: str) -> None:
        session.client_id, session.is_greeted = sid, True
        if self._unanswered >= _MAX_UNANSWERED:
            self._settled(session)
        log.info("listening", extra={"backend": self.name, "client_id": sid})
        self._on_connected(sid)

    def _proven(self, session: _Session) -> None:
        session.is_proven = True
        self._unanswered = 0
        self._settled(session)

    def _settled(self, session: _Session) -> None:
        """Only a socket that did what it is for lifts the deadline and the growing pauses; an open one does not."""
        session.deadline.reschedule(None)
        self._failed_in_a_row = 0

    def _log_end(self, reason: str) -> None:
        """Loud the first time only: a server that is switched off for the night is no news every ten seconds."""
        level = logging.WARNING if self._failed_in_a_row <= 1 else logging.DEBUG
        log.log(level, "not listening", extra={"backend": self.name, "reason": reason})


def pause_s(failed_in_a_row: int, options: ListenerOptions, jitter: float) -> float:
    """Doubling with each failure up to a cap, half of it by chance, so that many listeners do not come back at once.

    `jitter` is from 0 to 1. Never below `retry_min_s`.
    """
    longest_s = min(options.retry_max_s, options.retry_min_s * 2.0 ** min(failed_in_a_row, 32))
    return max(options.retry_min_s, longest_s * (0.5 + jitter / 2))
