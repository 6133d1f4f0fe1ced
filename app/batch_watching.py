"""Watching batches: how one stands, told to everybody who watches it for the price of one look.

While somebody watches, a batch is looked at twice a second, however many its items and its watchers are. Nothing here
depends on which replica runs the items: the database is asked, and what ended before a watcher came is read from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, cast

from app.batch_events import (
    BatchCompleted,
    BatchConnected,
    BatchEvent,
    BatchProgressed,
    ItemEnded,
    Told,
    short,
)
from app.batch_records import Standing
from app.bus import Cursor, Entry, Subscription
from app.db.batch_shelf import BatchShelf
from app.db.errors import DatabaseError
from app.errors import NotFound
from app.watching import END, Watch

log = logging.getLogger(__name__)

TICK_S: Final = 0.5
"""How often a watched batch is looked at."""

PAGE: Final = 500
"""Ends read at a time; a watcher who missed more gets the rest when he comes back, which `EventSource` does at once."""

BEYOND: Final = (1, 0)
"""After every entry of a room."""


@dataclass(frozen=True)
class BatchWatch(Watch):
    """`told`: short ids of items the opening, or an earlier connection, has told. `is_cut`: it has not all it should.

    `shown_up_to` lies beyond everything, so that each item is asked about; `since` is where the opening stands.
    """

    since: tuple[int, int] = (0, 0)
    told: frozenset[str] = field(default=frozenset())
    is_cut: bool = False

    @property
    def is_over(self) -> bool:
        return self.is_cut or super().is_over

    def is_news(self, entry: Entry) -> bool:
        event = cast("BatchEvent", entry.event)
        if isinstance(event, ItemEnded):
            return short(event.record) not in self.told
        return entry.order > self.since


class _Room:
    """One watched batch: who watches, and what they have been told."""

    def __init__(self) -> None:
        self.subscriptions: set[Subscription] = set()
        self.told = Told(0.0)
        self.sequence = 0
        self.shown: tuple[Any, ...] = ()
        self.opened = asyncio.Lock()
        self.is_open = False
        self.task: asyncio.Task[None] | None = None

    def entry(self, event: BatchEvent) -> Entry:
        self.sequence += 1
        cursor = END if event.is_terminal else Cursor(self.told.text())
        return entry_of(cursor, (0, self.sequence), event)


class BatchWatches:
    """`standing(batch_id)`: how a batch stands now; raises NotFound."""

    def __init__(self, shelf: BatchShelf, standing: Callable[[str], Awaitable[Standing]]) -> None:
        self._shelf, self._standing = shelf, standing
        self._rooms: dict[str, _Room] = {}
        self._group: asyncio.TaskGroup | None = None

    def owned_by(self, group: asyncio.TaskGroup) -> None:
        """Whose tasks those that look are."""
        self._group = group

    @contextlib.asynccontextmanager
    async def watch(self, batch_id: str, after: str | None = None) -> AsyncIterator[BatchWatch]:
        """Snapshot, then deltas, from behind the cursor `after` if it is one. Raises NotFound."""
        room = self._rooms.setdefault(batch_id, _Room())
        subscription = Subscription()
        room.subscriptions.add(subscription)
        try:
            async with room.opened:
                if not room.is_open:
                    await self._open(batch_id, room)
            yield await self._opening(batch_id, room, subscription, after)
        finally:
            room.subscriptions.discard(subscription)
            if not room.subscriptions:
                self._close(batch_id, room)

    async def _open(self, batch_id: str, room: _Room) -> None:
        """From now on: what ended before counts as told."""
        latest = await self._shelf.recent_ends(batch_id, 1)
        room.told = Told(max(max(latest, default=0.0) - 2 * TICK_S, 0.0))
        for record in await self._shelf.ended(batch_id, room.told.floor, PAGE):
            room.told.add(record)
        room.is_open = True
        if self._group is not None:
            room.task = self._group.create_task(self._follow(batch_id, room), name=f"watch batch {batch_id}")

    def _close(self, batch_id: str, room: _Room) -> None:
        if self._rooms.get(batch_id) is room:
            del self._rooms[batch_id]
        if room.task is not None:
            room.task.cancel()

    async def _opening(self, batch_id: str, room: _Room, subscription: Subscription, after: str | None) -> BatchWatch:
        order = (0, room.sequence)
        standing = await self._standing(batch_id)
        place = Told.parsed(after)
        told = frozenset[str]() if place is None else place.ids
        first = Cursor(room.told.text() if place is None else place.text())
        entries = [entry_of(first, order, BatchConnected(standing))]
        is_cut = False
        if place is not None:
            records = await self._shelf.ended(batch_id, place.floor, PAGE)
            is_cut = len(records) == PAGE
            for record in records:
                if place.add(record):
                    told |= {short(record)}
                    entries.append(entry_of(Cursor(place.text()), order, ItemEnded(record)))
        if standing.is_over and not is_cut:
            entries.append(entry_of(END, order, BatchCompleted(standing)))
        return BatchWatch(tuple(entries), subscription, BEYOND, order, told, is_cut)

    async def _follow(self, batch_id: str, room: _Room) -> None:
        """Look, tell, and wait, until the batch is over or nobody watches any more."""
        is_over = False
        while not is_over:
            await asyncio.sleep(TICK_S)
            try:
                entries = await self._news(batch_id, room)
            except DatabaseError as error:
                log.info("a batch could not be looked at", extra={"action": "watch", "cause": str(error)})
                continue
            except NotFound:
                self._end(batch_id, room)
                return
            is_over = bool(entries) and entries[-1].event.is_terminal
            if is_over and self._rooms.get(batch_id) is room:
                del self._rooms[batch_id]
            for subscription in list(room.subscriptions) if entries else ():
                subscription.deliver(entries)

    def _end(self, batch_id: str, room: _Room) -> None:
        """The batch is gone, and with it what its watchers wait for."""
        self._rooms.pop(batch_id, None)
        for subscription in room.subscriptions:
            subscription.end()

    async def _news(self, batch_id: str, room: _Room) -> list[Entry]:
        """Ends are read after they were counted: what is counted as ended is told before the end of the batch is."""
        standing = await self._standing(batch_id)
        seen = (standing.status, dict(standing.counts), standing.percentage, standing.batch.total)
        if seen == room.shown and not standing.is_over:
            return []
        room.shown = seen
        entries: list[Entry] = []
        while True:
            records = await self._shelf.ended(batch_id, room.told.floor, PAGE)
            entries += [room.entry(ItemEnded(record)) for record in records if room.told.add(record)]
            if len(records) < PAGE:
                break
            # Whoever reads on has to start behind what this page ended with.
            room.told = Told(records[-1].completed_at or room.told.floor)
        entries.append(room.entry(BatchCompleted(standing) if standing.is_over else BatchProgressed(standing)))
        return entries


def entry_of(cursor: Cursor, order: tuple[int, int], event: BatchEvent) -> Entry:
    """An entry of a batch's own events; streams look only at what all events have."""
    return Entry(cursor, order, cast("Any", event))
