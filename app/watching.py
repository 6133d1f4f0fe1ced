"""What one watcher gets: an opening that tells where things stand, then what is news to him.

The opening is `connected`, and for a generation that is over also its end. How long one waits is here, too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from app import progress
from app.bus import Cursor, Entry, Subscription
from app.events import Connected, Event, Moment, OutputReady
from app.records import Generation
from app.verdicts import end_event

END: Final = Cursor("end")
"""The cursor of every terminal event: known by every process, also after a restart."""

START: Final = Cursor("0-0")
"""The cursor before everything."""


@dataclass(frozen=True, slots=True)
class Watch:
    """`opening` comes first; then entries of `subscription` for which `is_news` holds, until a terminal one."""

    opening: tuple[Entry, ...]
    subscription: Subscription
    shown_up_to: tuple[int, int]

    @property
    def is_over(self) -> bool:
        return self.opening[-1].event.is_terminal

    def is_news(self, entry: Entry) -> bool:
        """Whether the opening does not cover it: a state at or before the snapshot is in it, an output is not."""
        return entry.order > self.shown_up_to or isinstance(entry.event, OutputReady)

    async def __aiter__(self) -> AsyncIterator[Entry]:
        for entry in self.opening:
            yield entry
        if self.is_over:
            return
        async for entry in self.subscription:
            if self.is_news(entry):
                yield entry
                if entry.event.is_terminal:
                    return


def opening(record: Generation, newest: Entry, after: str | None) -> tuple[Entry, ...]:
    """`connected` with the newest state, and the terminal event if there is one already.

    With `after`, `connected` keeps that cursor: outputs published since are still to come, and a watcher who loses
    the connection before them must be able to ask again.
    """
    event = newest.event
    if record.is_terminal and not event.is_terminal:
        event = ending(record)
    state = event if isinstance(event, Moment) else progress.at_rest(record)
    shown = {name: getattr(state, name) for name in Moment.__struct_fields__}
    shown["percentage"] = min(state.percentage, progress.MAX_BEFORE_COMPLETE)
    connected = Entry(Cursor(after) if after is not None else newest.cursor, newest.order, Connected(**shown))
    if not event.is_terminal:
        return (connected,)
    return (connected, Entry(END, newest.order, event))


def ending(record: Generation) -> Event:
    """The terminal event of a finished record, made from the record alone."""
    return end_event(progress.at_rest(record), record)


class Patience:
    """How long those who wait for an end still may."""

    def __init__(self) -> None:
        self._limits: set[asyncio.Timeout] = set()
        self._is_over = False

    @contextlib.asynccontextmanager
    async def at_most(self, timeout_s: float) -> AsyncIterator[None]:
        """Leave the block after `timeout_s`, or when patience ends; neither raises anything."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self._is_over else timeout_s) as limit:
                self._limits.add(limit)
                try:
                    yield
                finally:
                    self._limits.discard(limit)

    def end(self) -> None:
        """Everybody leaves now, and who comes later does not stay."""
        self._is_over = True
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(0)
