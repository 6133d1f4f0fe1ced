"""Operations that follow event streams to their end, over drops of the connection and restarts of the service.

Owns where a stream goes on (`Last-Event-ID`) and when it is given up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

import msgspec

from comfy_relay.arguments import header_text
from comfy_relay.effects import Close, Flow, Give, Lost, Steps, hear
from comfy_relay.errors import NotARelay
from comfy_relay.events import BatchEvent, Event, Moment, PreviewReady, Told, batch_event_of, event_of
from comfy_relay.exchange import Core, Patience, Query, begun
from comfy_relay.generating import Named, id_of

T = TypeVar("T", bound=Told)

SILENCE_S: Final = 45.0
"""The service says something every 15 s; who hears nothing for three times as long has lost the connection."""

STEADY_S: Final = 10.0
"""A stream that was open for so long went well, whether it had anything to say or not."""

STREAM: Final = "text/event-stream"


def follow(core: Core, /, generation: Named, *, previews: bool = False, after: str | None = None) -> Flow[Event]:
    """The events of a generation: first Connected, last exactly one of Completed, Failed, Canceled.

    The connection may drop and the service restart meanwhile: it goes on where it was, with another Connected, and no
    `percentage` is below an earlier one.
    `previews` are pictures of the unfinished image. `after` is the cursor of an event; what came up to it is left out.
    """
    route = ("generations", id_of(generation), "events")
    stream = _Stream[Event](core, route, {"previews": "inline" if previews else None}, event_of, after)
    reached = 0.0
    while (event := (yield from stream.next())) is not None:
        if isinstance(event, Moment):
            event = event.not_below(reached)
            reached = event.percentage
        if previews or not isinstance(event, PreviewReady):
            yield Give(event)


def batch_events(core: Core, batch_id: str, after: str | None) -> Flow[BatchEvent]:
    """The events of a batch, up to the one that ends it."""
    stream = _Stream[BatchEvent](core, ("batches", batch_id, "events"), {}, batch_event_of, after)
    while (event := (yield from stream.next())) is not None:
        yield Give(event)


class _Stream(Generic[T]):
    """A stream of events that is opened again whenever it ends before its end. `read` makes an event of a text."""

    def __init__(
        self,
        core: Core,
        route: tuple[str, ...],
        query: Query,
        read: Callable[[str, str], T | None],
        after: str | None,
    ) -> None:
        self._core, self._route, self._query, self._read = core, route, query, read
        self._cursor = None if after is None else header_text("after", after)
        self._patience = Patience(core)
        self._is_open = self._is_over = False
        self._opened_at = 0.0

    def next(self) -> Steps[T | None]:
        """The next event; None after the last one. Raises Unreachable or Problem."""
        while not self._is_over:
            try:
                if not self._is_open:
                    yield from self._open()
                    continue
                event = yield from self._heard()
            except Lost as lost:
                if self._is_open and self._core.clock() - self._opened_at > STEADY_S:
                    self._patience.renew()
                self._is_open = False
                yield from self._patience.after_loss(lost)
                continue
            if event is not None:
                self._is_over = event.is_terminal
                return event
        yield Close()
        return None

    def _open(self) -> Steps[None]:
        headers = {"Accept": STREAM, "Accept-Encoding": "identity", "Cache-Control": "no-store"}
        if self._cursor is not None:
            headers["Last-Event-ID"] = self._cursor
        timeout_s = max(self._core.timeout_s, SILENCE_S)
        request = self._core.request("GET", *self._route, query=self._query, headers=headers, timeout_s=timeout_s)
        head = yield from begun(self._core, request, self._patience)
        if head.status == 204:
            self._is_over = True
        elif not head.headers.get("content-type", "").startswith(STREAM):
            raise NotARelay(self._core.base, head.status)
        self._is_open, self._opened_at = True, self._core.clock()

    def _heard(self) -> Steps[T | None]:
        """One event; None where there was none, or one of a kind that is not known here."""
        heard = yield from hear()
        if heard is None:
            # A stream that ends before its end: the service stops, or has more for those who come again.
            raise Lost("the stream ended early", was_sent=True)
        if not heard.text:
            return None
        try:
            event = self._read(heard.text, heard.cursor)
        except (msgspec.DecodeError, UnicodeError) as error:
            raise Lost(f"an event could not be read: {error}", was_sent=True) from error
        if heard.cursor != self._cursor:
            self._cursor = heard.cursor or self._cursor
            self._patience.renew()
        return event
