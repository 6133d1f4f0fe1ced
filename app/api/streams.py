"""Server-Sent Events to many watchers at the price of few.

A watcher is one suspended request task and nothing else: no queue task, no timer, no wake-up per event. The bus calls
`on_ready` once per tick and the pump writes ready bytes by driving the server's `send` itself; only when that has to
wait (a slow reader) does it stop, and the mailbox coalesces until the reader has caught up. One timer serves the pings
of all streams. Measured against a task per stream: see docs/adr/0004-streams-are-driven-by-the-bus.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Final, Protocol

from sse_starlette import EventSourceResponse
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp, Receive, Scope, Send

from app.bus import Entry
from app.watching import Watch

RETRY: Final = b"retry: 2000\n"
PING: Final = b": ping\n\n"

SERVER_SEND: Final = "comfy-relay.send"
"""Where a request's scope holds the server's own `send`."""

# `no-transform`: a proxy that compresses (Next.js does) holds events back until it has enough of them.
HEADERS: Final = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no", "Connection": "keep-alive"}

SHUTDOWN_CHECK_S: Final = 0.5
"""How often the end of the server is looked for; uvicorn tells nobody."""


class ServerSend:
    """The outermost ASGI layer: leaves the server's own `send` in the scope, for streams to drive it directly.

    Every layer between wraps `send` to see the start of the response, and so adds a coroutine to each event for each
    watcher: six of them took a tenth of the time of a fan-out. Without this layer streams work alike, only slower.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope[SERVER_SEND] = send
        await self._app(scope, receive, send)


class OpenStream(Protocol):
    """What the hub knows of a stream. Both are called from the loop and must not wait."""

    def ping(self) -> None:
        """Say something, if nothing was said since the last time."""
        ...

    def end(self) -> None:
        """Close politely: the service stops."""
        ...


class StreamHub:
    """All open streams of this process: pings the quiet ones, ends all of them when the service stops."""

    def __init__(self, ping_interval_s: float) -> None:
        self._ping_interval_s = ping_interval_s
        self._pumps: dict[OpenStream, None] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._pumps)

    async def run(self) -> None:
        """Ping for ever; end the streams when the server was told to exit."""
        waited_s = 0.0
        while True:
            await asyncio.sleep(SHUTDOWN_CHECK_S)
            waited_s += SHUTDOWN_CHECK_S
            if AppStatus.should_exit:
                self.close()
            if waited_s >= self._ping_interval_s:
                waited_s = 0.0
                for pump in list(self._pumps):
                    pump.ping()

    def close(self) -> None:
        """End every stream politely: browsers come back by themselves, with their cursor."""
        self._is_closed = True
        for pump in list(self._pumps):
            pump.end()

    @contextlib.contextmanager
    def attached(self, pump: OpenStream) -> Iterator[None]:
        """Count the pump among the open streams while the block lasts."""
        self._pumps[pump] = None
        if self._is_closed:
            pump.end()
        try:
            yield
        finally:
            del self._pumps[pump]


class ProgressStream(EventSourceResponse):
    """The event stream of one generation. Media type, headers and shutdown signal are sse-starlette's; the way the
    bytes travel is ours."""

    def __init__(
        self,
        watch: Watch,
        on_close: Callable[[], Coroutine[Any, Any, None]],
        hub: StreamHub,
        frame: Callable[[Entry], bytes],
    ) -> None:
        super().__init__(content=_NOTHING, headers=HEADERS)
        self._watch, self._on_close, self._hub, self._frame = watch, on_close, hub, frame

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            is_over = self._watch.is_over
            await send({"type": "http.response.body", "body": self._opening(), "more_body": not is_over})
            if not is_over:
                self._lighten()
                await self._follow(receive, scope.get(SERVER_SEND, send))
        finally:
            await self._on_close()

    def _opening(self) -> bytes:
        return RETRY + b"".join(map(self._frame, self._watch.opening))

    def _lighten(self) -> None:
        """Let go of what is sent: an idle stream may last for hours, and this is 2 KiB of it."""
        self._watch = dataclasses.replace(self._watch, opening=())
        self.raw_headers = []

    async def _follow(self, receive: Receive, send: Send) -> None:
        pump = _Pump(self._watch, send, self._frame)
        with self._hub.attached(pump), contextlib.closing(pump):
            self._watch.subscription.attach(pump.on_ready)
            pump.on_ready()
            while (await receive())["type"] != "http.disconnect":
                pass  # Also how we learn that our own last byte is out: uvicorn then reports the disconnect.


class _Pump:
    """Moves frames from a mailbox to a client whenever both are willing. Everything here is synchronous."""

    __slots__ = ("_frame", "_is_caught_up", "_is_ended", "_send", "_sending", "_was_quiet", "_watch")

    def __init__(self, watch: Watch, send: Send, frame: Callable[[Entry], bytes]) -> None:
        self._watch, self._send, self._frame = watch, send, frame
        self._sending: Coroutine[Any, Any, None] | None = None
        self._is_ended = False
        self._is_caught_up = False
        self._was_quiet = True

    def on_ready(self) -> None:
        """Entries wait. A reader still busy with the last ones gets them, coalesced, when he is done."""
        if self._sending is not None or self._is_ended:
            return
        mailbox = self._watch.subscription.mailbox
        news = mailbox.drain()
        if not self._is_caught_up:
            news = self._unseen(news)
        is_last = mailbox.is_overflowed or mailbox.is_closed or (bool(news) and news[-1].event.is_terminal)
        if news or is_last:
            self._was_quiet = False
            body = self._frame(news[0]) if len(news) == 1 else b"".join(map(self._frame, news))
            self._write(body, is_last=is_last)

    def _unseen(self, waiting: list[Entry]) -> list[Entry]:
        """Those the opening did not show. Once one of them is later than it, all that follow are."""
        news = [entry for entry in waiting if self._watch.is_news(entry)]
        self._is_caught_up = bool(news) and news[-1].order > self._watch.shown_up_to
        return news

    def ping(self) -> None:
        """A comment, when nothing else was sent since the last one was due."""
        if self._was_quiet and self._sending is None and not self._is_ended:
            self._write(PING, is_last=False)
        self._was_quiet = True

    def end(self) -> None:
        """Close the stream after what is already being written."""
        if not self._is_ended and self._sending is None:
            self._write(b"", is_last=True)
        else:
            self._watch.subscription.mailbox.close()

    def close(self) -> None:
        """The client is gone, or has everything."""
        self._is_ended = True
        if self._sending is not None:
            self._sending.close()
            self._sending = None

    def _write(self, body: bytes, *, is_last: bool) -> None:
        self._is_ended = is_last
        message = {"type": "http.response.body", "body": body, "more_body": not is_last}
        self._advance(self._send(message))  # type: ignore[arg-type]

    def _advance(self, sending: Coroutine[Any, Any, None]) -> None:
        """Run the server's `send` up to where it waits for the client, which for a quick reader is to its end."""
        try:
            waits_for = sending.send(None)
        except (StopIteration, OSError):
            self._sending = None
            return
        self._sending = sending
        waits_for.add_done_callback(self._resume)

    def _resume(self, _: object) -> None:
        if self._sending is None:
            return
        self._advance(self._sending)
        if self._sending is None:
            self.on_ready()


async def _nothing() -> AsyncIterator[bytes]:
    """sse-starlette wants content; ours comes from the bus."""
    return
    yield b""


_NOTHING: Final = _nothing()
"""One for all responses, for none of them reads it."""
