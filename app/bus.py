"""How events travel from the one who makes them to everybody who watches.

`EventBus` is the port; `MemoryEventBus` serves one process. A topic is a generation's id. Each topic keeps a bounded
log for resuming watchers, its newest state and its newest preview; it is forgotten `ttl_s` after its terminal event.
Nothing here knows HTTP; nothing here waits for a watcher.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Final, NewType, Protocol, TypeAlias

from app.events import Event, Moment, PreviewReady, Progressed
from app.mailbox import Mailbox

Cursor = NewType("Cursor", str)
Order: TypeAlias = tuple[int, int]
"""A place in a topic's log; of two entries the later one's is greater."""

MAX_WAITING: Final = 1024
"""Milestones one watcher may have waiting: far above any real workflow's, so that overflow means a dead watcher."""


MAX_PICTURED: Final = 64
"""Ended topics whose preview can still be had: a page may be loading it when the end comes."""


class CursorExpired(Exception):
    """The log no longer reaches back to this cursor: start again from a snapshot."""

    def __init__(self, cursor: str) -> None:
        super().__init__(f"nothing is known since {cursor!r}")
        self.cursor = cursor


class BusUnavailable(Exception):
    """The server behind the bus does not answer: the event was not published, or nothing can be subscribed to."""


class Entry:
    """One published event with its place in the topic's log. `frame` is the encoded event, made once by the API."""

    __slots__ = ("cursor", "event", "frame", "order")

    def __init__(self, cursor: Cursor, order: Order, event: Event) -> None:
        self.cursor, self.order, self.event = cursor, order, event
        self.frame: bytes | None = None


class Latest(Protocol):
    """The newest of a topic: its state and its preview, as far as there are any."""

    moment: Entry | None
    preview: Entry | None


class Subscription:
    """One watcher's share of a topic: a mailbox, read by iterating or driven by `attach`.

    `attach(on_ready)` calls back once per tick with new entries waiting, and at once when some wait already or the end
    has come; the callback must not block or raise.
    """

    __slots__ = ("_on_ready", "mailbox")

    def __init__(self) -> None:
        self.mailbox: Mailbox[Entry] = Mailbox(slot_of, MAX_WAITING)
        self._on_ready: Callable[[], None] | None = None

    def attach(self, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        if self.mailbox or self.mailbox.is_closed:
            on_ready()

    def deliver(self, entries: list[Entry]) -> None:
        for entry in entries:
            if not self.mailbox.is_overflowed:  # What comes behind a gap would carry the cursor past it.
                self.mailbox.put(entry)
        if self._on_ready is not None:
            self._on_ready()

    def end(self) -> None:
        """No more will come; what waits in the mailbox can still be read."""
        self.mailbox.close()
        self.deliver([])

    def break_off(self) -> None:
        """Something was missed: the watcher reads what it has and then resumes after its last cursor."""
        self.mailbox.is_overflowed = True
        self.end()

    async def __aiter__(self) -> AsyncIterator[Entry]:
        while entries := await self.mailbox.take():
            for entry in entries:
                yield entry


class EventBus(Protocol):
    """Publish to a topic; subscribe to what comes after a cursor, or from now on when it is None."""

    async def publish(self, topic: str, event: Event) -> Cursor:
        """The event's place in the log. What comes after a terminal event is dropped: the end is always last."""
        ...

    def subscribe(self, topic: str, after: str | None = None) -> AbstractAsyncContextManager[Subscription]:
        """Entries after `after`, then new ones. Raises CursorExpired on entering."""
        ...

    async def latest(self, topic: str) -> Latest: ...

    async def aclose(self) -> None: ...


def spread(entries: list[Entry], watchers: dict[Subscription, Order]) -> None:
    """Give each watcher those of `entries` that come after its place; coalesced once, not once per watcher."""
    if not entries:
        return
    newest = _newest(entries)
    for subscription, since in list(watchers.items()):
        is_behind = since < newest[0].order
        subscription.deliver(newest if is_behind else [entry for entry in newest if entry.order > since])


def slot_of(entry: Entry) -> Hashable | None:
    """Progress and previews are replaced by newer ones; milestones never."""
    return None if entry.event.is_milestone else type(entry.event)


class _Topic:
    """`outbox` collects what was published in this tick of the loop; `subscriptions` get it at the next."""

    __slots__ = ("is_over", "log", "moment", "outbox", "preview", "sequence", "subscriptions")

    def __init__(self, log_length: int) -> None:
        self.log: deque[Entry] = deque(maxlen=log_length)
        self.outbox: list[Entry] = []
        self.subscriptions: dict[Subscription, Order] = {}
        self.moment: Entry | None = None
        self.preview: Entry | None = None
        self.sequence = 0
        self.is_over = False

    def append(self, entry: Entry) -> None:
        self.sequence += 1
        self.is_over = self.is_over or entry.event.is_terminal
        if isinstance(entry.event, PreviewReady):
            self.preview = entry
            return
        if isinstance(entry.event, Moment):
            self.moment = entry
        if self.log and isinstance(entry.event, Progressed) and isinstance(self.log[-1].event, Progressed):
            self.log.pop()  # Whoever resumes needs only the newest progress between two milestones.
        self.log.append(entry)


class MemoryEventBus:
    """The bus of a single process. A restart begins a new `epoch`, so that old cursors are recognised as expired."""

    def __init__(
        self,
        *,
        log_length: int = 256,
        ttl_s: float = 120,
        max_ended: int = 2_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log_length, self._ttl_s, self._max_ended, self._clock = log_length, ttl_s, max_ended, clock
        self._epoch = secrets.randbits(48)
        self._topics: dict[str, _Topic] = {}
        self._ended: dict[str, float] = {}
        self._pictured: deque[_Topic] = deque()
        self._is_closed = False

    async def publish(self, topic: str, event: Event) -> Cursor:
        room = self._topics.get(topic)
        if room is None:
            room = self._topics[topic] = _Topic(self._log_length)
        if room.is_over:
            return cursor_of((self._epoch, room.sequence))
        order = (self._epoch, room.sequence + 1)
        entry = Entry(cursor_of(order), order, event)
        room.append(entry)
        self._schedule(room, entry)
        if event.is_terminal:
            self._keep_picture(room)
            self._ended[topic] = self._clock() + self._ttl_s
            self._forget()
        return entry.cursor

    @asynccontextmanager
    async def subscribe(self, topic: str, after: str | None = None) -> AsyncIterator[Subscription]:
        self._forget()
        subscription = Subscription()
        if after is not None:
            for entry in self._since(topic, after):
                subscription.mailbox.put(entry)
        room = self._topics.setdefault(topic, _Topic(self._log_length))
        room.subscriptions[subscription] = (self._epoch, room.sequence)
        if self._is_closed:
            subscription.end()
        try:
            yield subscription
        finally:
            del room.subscriptions[subscription]
            if not room.subscriptions and topic not in self._ended and (room.is_over or not room.sequence):
                self._topics.pop(topic, None)

    async def latest(self, topic: str) -> Latest:
        self._forget()
        return self._topics.get(topic) or _Topic(1)

    async def aclose(self) -> None:
        """End every subscription; what is already in a mailbox can still be read."""
        self._is_closed = True
        for room in self._topics.values():
            for subscription in list(room.subscriptions):
                subscription.end()

    def _keep_picture(self, room: _Topic) -> None:
        """Of thousands of ended topics only the latest keep their preview, by far their largest part."""
        self._pictured.append(room)
        if len(self._pictured) > MAX_PICTURED:
            self._pictured.popleft().preview = None

    def _since(self, topic: str, after: str) -> list[Entry]:
        order, room = parse_cursor(after), self._topics.get(topic)
        if order is None or room is None or order[0] != self._epoch or order[1] > room.sequence:
            raise CursorExpired(after)
        if room.log and len(room.log) == self._log_length and room.log[0].order[1] > order[1] + 1:
            raise CursorExpired(after)
        return [entry for entry in room.log if entry.order > order]

    def _schedule(self, room: _Topic, entry: Entry) -> None:
        if not room.outbox:
            asyncio.get_running_loop().call_soon(_flush, room)
        room.outbox.append(entry)

    def _forget(self) -> None:
        now = self._clock()
        while self._ended:
            topic, deadline = next(iter(self._ended.items()))
            if deadline > now and len(self._ended) <= self._max_ended:
                return
            del self._ended[topic]
            if (room := self._topics.get(topic)) is not None and not room.subscriptions:
                del self._topics[topic]


def _flush(room: _Topic) -> None:
    entries, room.outbox = room.outbox, []
    spread(entries, room.subscriptions)


def _newest(entries: list[Entry]) -> list[Entry]:
    """`entries` without those that a later one of the same slot replaces: done once, not once per watcher."""
    if len(entries) == 1:
        return entries
    box: Mailbox[Entry] = Mailbox(slot_of, len(entries))
    for entry in entries:
        box.put(entry)
    return box.drain()


def cursor_of(order: Order) -> Cursor:
    return Cursor(f"{order[0]:x}-{order[1]:x}")


def parse_cursor(text: str) -> Order | None:
    """The order inside a cursor, or None when it is none of ours."""
    epoch, _, sequence = text.partition("-")
    try:
        return int(epoch, 16), int(sequence, 16)
    except ValueError:
        return None
