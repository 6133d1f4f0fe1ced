"""What goes on in batches by itself: letting items go as others end, ending those of a canceled batch, noting the end.

Owns the one loop that looks at unfinished batches. Everything it knows is on record, so that any process can go on with
it at any moment, and what two processes do at the same time is done once. A batch is never all in the queue: only a
window of it is, for each place in a queue costs those behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from app import clock
from app.batch_records import Batch, unfinished
from app.db.batch_shelf import BatchShelf
from app.db.errors import DatabaseError
from app.errors import NotFound
from app.records import Status

log = logging.getLogger(__name__)

WINDOW: Final = 256
"""Items of a batch that may be in the queue or at a server, where the caller sets no limit. The loop refills it before
it runs dry: it is told when there is nothing to hand out, and looks by itself every second."""

TICK_S: Final = 1.0
IDLE_S: Final = 5.0
"""How often is looked while no batch is unfinished: another replica may take one in, and die."""

PAUSE_S: Final = 0.02
"""Between two looks at least: with jobs of milliseconds each end asks for one."""

ABANDONED_S: Final = 600.0
"""A batch that nobody has added to for so long was never answered for: its process died while it was written."""

CANCEL_AT_ONCE: Final = 128
"""Items ended side by side: as many as one commit takes."""

CANCEL_AT_SERVER: Final = 16


class BatchKeeper:
    """`cancel(generation_id)` ends one item. `released` is called when items have come into the queue."""

    def __init__(
        self, shelf: BatchShelf, cancel: Callable[[str], Awaitable[object]], released: Callable[[], None]
    ) -> None:
        self._shelf, self._cancel, self._released = shelf, cancel, released
        self._awake = asyncio.Event()
        self._holds_back = False
        self._swept_at = float("-inf")

    def wake(self) -> None:
        """There is something new: a batch, a cancel."""
        self._awake.set()

    def on_dry(self) -> None:
        """The queue has no background work left: let more of it come, if there is any."""
        if self._holds_back:
            self._awake.set()

    async def run(self) -> None:
        """Look after the unfinished batches, for ever."""
        while True:
            self._awake.clear()
            pause_s = TICK_S
            try:
                if not await self.look():
                    pause_s = IDLE_S
            except DatabaseError as error:
                log.warning("batches wait for the database", extra={"action": "batches", "cause": str(error)})
            await asyncio.sleep(PAUSE_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._awake.wait()

    async def look(self) -> bool:
        """Do what is due in every unfinished batch; whether there are any."""
        await self._sweep()
        batches = [batch for batch in await self._shelf.active() if batch.accepted_at is not None]
        self._holds_back = False
        if not batches:
            return False
        counts = await self._shelf.counts([batch.id for batch in batches])
        for batch in batches:
            await self._serve(batch, counts[batch.id])
        return True

    async def _serve(self, batch: Batch, counts: dict[Status, int]) -> None:
        if not unfinished(counts):
            if await self._shelf.complete(batch.id, now=clock.now()):
                log.info("batch completed", extra={"action": "milestone", "batch_id": batch.id, "items": batch.total})
        elif batch.cancel_requested_at is not None:
            await self._end(batch)
        elif counts.get(Status.PENDING):
            window = batch.max_in_flight or WINDOW
            self._holds_back = True
            if await self._shelf.release(batch.id, window=window):
                self._released()

    async def _end(self, batch: Batch) -> None:
        """End a page of what is left; the next look does the next."""
        ids = await self._shelf.open_items(batch.id, CANCEL_AT_ONCE)
        at_server = asyncio.Semaphore(CANCEL_AT_SERVER)
        async with asyncio.TaskGroup() as group:
            for generation_id in ids:
                group.create_task(self._end_one(generation_id, at_server), name=f"cancel {generation_id}")
        if ids:
            self._awake.set()

    async def _end_one(self, generation_id: str, at_server: asyncio.Semaphore) -> None:
        async with at_server:
            try:
                await self._cancel(generation_id)
            except NotFound:
                log.debug("an item was removed before it was canceled", extra={"generation_id": generation_id})

    async def _sweep(self) -> None:
        """Remove what nobody was ever told of, now and then."""
        if clock.now() - self._swept_at < ABANDONED_S:
            return
        self._swept_at = clock.now()
        if removed := await self._shelf.remove_abandoned(clock.now() - ABANDONED_S):
            log.warning("unfinished batches were removed", extra={"action": "batches", "count": removed})
