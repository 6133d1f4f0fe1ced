"""The use cases of batches: submit, read, watch, cancel, try the failed ones again, and go through what came of it.

An item is a generation like any other, of a low priority; what a batch adds is that many are taken in as one, checked
whole before any of them is on record. The same batch posted again goes on where it stands.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from app import batch_records, clock, progress
from app.backends import BackendPool
from app.batch_keeping import BatchKeeper
from app.batch_preparing import BatchPreparer, Parcels
from app.batch_records import Batch, Standing
from app.batch_requests import BatchItem, BatchRequest
from app.batch_watching import BatchWatch, BatchWatches
from app.db.batch_shelf import BatchShelf, Item
from app.db.repository import Repository
from app.errors import KeyInUse, KeyMismatch, NoBackend, NotFound, Problem, QueueFull, pointer
from app.generations import Shown
from app.learning import Learner
from app.projects import Projects
from app.records import Generation, Status
from app.requests import again
from app.storage import Storage, StoredOutput
from app.tracking import Tracker

__all__ = ["Batches", "Standing", "Started", "as_recorded"]

log = logging.getLogger(__name__)

WRITTEN_AT_ONCE: Final = 96
"""Rows in a transaction: what is asked of the database meanwhile waits some 10 ms for it."""

PAGE: Final = 200
"""Items read at a time by whoever goes through a batch."""

PACE_OF: Final = 32
"""Ends the pace of a batch is told from."""


@dataclass(frozen=True, slots=True)
class Started:
    """A batch that was posted; `is_replay`: it was on record already."""

    standing: Standing
    is_replay: bool = False


class Batches:
    """`preparer()` makes what prepares the items of one batch. `max_waiting`: items of all batches that may wait."""

    def __init__(
        self,
        shelf: BatchShelf,
        repository: Repository,
        keeper: BatchKeeper,
        preparer: Callable[[], BatchPreparer],
        *,
        storage: Storage,
        projects: Projects,
        tracker: Tracker,
        pool: BackendPool,
        learner: Learner,
        max_waiting: int,
        accept_when_down: bool,
    ) -> None:
        self._shelf, self._repository, self._keeper, self._preparer = shelf, repository, keeper, preparer
        self._storage, self._projects = storage, projects
        self._tracker, self._pool, self._learner = tracker, pool, learner
        self._max_waiting, self._accept_when_down = max_waiting, accept_when_down
        self._under_way: set[str] = set()
        self._watches = BatchWatches(shelf, self.get)

    async def run(self) -> None:
        """Look after batches and their watchers, for ever."""
        async with asyncio.TaskGroup() as group:
            self._watches.owned_by(group)
            await self._keeper.run()

    async def submit(self, asked: BatchRequest) -> Started:
        """Check every item, put all of them on record, then let their turn come.

        Posted again under its key, or with the same keyed items, the batch goes on: nothing of it is made twice, and
        items with keys of their own that are new are added to it. Raises InvalidRequest naming every bad item,
        KeyInUse, KeyMismatch, QueueFull, NoBackend.
        """
        name = asked.name
        if name is None:
            return Started(await self._written(asked, None))
        if name in self._under_way:
            raise KeyInUse(asked.idempotency_key or "of these items")
        self._under_way.add(name)
        try:
            batch = await self._shelf.by_key(name)
            if batch is None:
                return Started(await self._written(asked, None))
            if batch.fingerprint != asked.fingerprint and not asked.is_keyed:
                raise KeyMismatch(asked.idempotency_key or "")
            if batch.fingerprint == asked.fingerprint and batch.accepted_at is not None:
                return Started(await self._standing(batch), is_replay=True)
            return Started(await self._written(asked, batch), is_replay=True)
        finally:
            self._under_way.discard(name)

    async def get(self, batch_id: str) -> Standing:
        """How it stands now. Raises NotFound."""
        return await self._standing(await self._batch(batch_id))

    async def list(self, limit: int, before: tuple[float, str] | None) -> tuple[Standing, ...]:
        """Newest first, after the one created at that time (seconds since the epoch) with that id."""
        batches = await self._shelf.list(limit, before)
        counts = await self._shelf.counts([batch.id for batch in batches])
        return tuple([await self._counted(batch, counts[batch.id]) for batch in batches])

    def watch(self, batch_id: str, after: str | None = None) -> contextlib.AbstractAsyncContextManager[BatchWatch]:
        """Snapshot, then deltas, from behind the cursor `after`. Raises NotFound on entering."""
        return self._watches.watch(batch_id, after)

    async def cancel(self, batch_id: str) -> Standing:
        """Ask for the end of everything in it that has none yet. What has ended stays as it is."""
        await self._batch(batch_id)
        await self._shelf.request_cancel(batch_id, now=clock.now())
        self._keeper.wake()
        return await self.get(batch_id)

    async def retry(self, batch_id: str, statuses: Collection[Status]) -> Standing:
        """Try its items of these statuses again, with the same seeds: new generations take their places in the batch.

        Raises InvalidRequest, and changes nothing, where one of them cannot be met any more.
        """
        batch = await self._batch(batch_id)
        old: dict[int, str] = {}
        items = [item async for item in self._again(batch_id, statuses, old)]
        parcels = await self._preparer().prepare(items, batch.id, clock.now())
        for rows in _joined(parcels.unpacked(), WRITTEN_AT_ONCE):
            pairs = [(old[row[0].batch_index or 0], row) for row in rows]
            await self._shelf.supersede(batch_id, pairs, now=clock.now())
        self._keeper.wake()
        return await self.get(batch_id)

    async def items(self, batch_id: str, statuses: Collection[Status] = ()) -> AsyncIterator[tuple[Generation, ...]]:
        """Its items by index, a page at a time, as each page is at the moment it is read."""
        after = -1
        while page := await self._shelf.items(batch_id, after=after, limit=PAGE, statuses=statuses):
            yield page
            after = page[-1].batch_index or 0

    def outputs(self, record: Generation) -> tuple[StoredOutput, ...]:
        """The outputs of an item, with their files."""
        return tuple(StoredOutput.of(self._storage, output) for output in record.outputs)

    async def _written(self, asked: BatchRequest, batch: Batch | None) -> Standing:
        """The batch with every item on record that is not there yet."""
        if not self._accept_when_down and not self._pool.is_any_up:
            raise NoBackend
        await self._check_room(asked.total)
        preparer = self._preparer()
        preparer.check(asked)
        known = {} if batch is None else await self._shelf.known(batch.id)
        now = clock.now()
        made = batch or Batch(
            id=str(uuid.uuid4()),
            idempotency_key=asked.name,
            fingerprint=asked.fingerprint,
            project_id=asked.project_id,
            metadata=dict(asked.metadata),
            priority=asked.priority,
            max_in_flight=asked.max_in_flight,
            total=asked.total,
            created_at=now,
            touched_at=now,
            webhook=asked.webhook,
        )
        parcels = await preparer.prepare(_missing(asked, known), made.id, now)
        if batch is None and not await self._shelf.add(made):
            raise KeyInUse(asked.idempotency_key or "of these items")
        await self._write(made.id, parcels)
        total = max(asked.total, len(known) + parcels.count)
        await self._shelf.accept(made.id, total=total, fingerprint=asked.fingerprint, now=clock.now())
        self._keeper.wake()
        log.info("batch accepted", extra={"action": "milestone", "batch_id": made.id, "items": parcels.count})
        return await self.get(made.id)

    async def _write(self, batch_id: str, parcels: Parcels) -> None:
        for rows in _joined(parcels.unpacked(), WRITTEN_AT_ONCE):
            await self._shelf.write_items(batch_id, rows, now=clock.now())
            for project_id in {record.project_id for record, _, _ in rows}:
                self._projects.used(project_id)

    async def _again(
        self, batch_id: str, statuses: Collection[Status], old: dict[int, str]
    ) -> AsyncIterator[BatchItem]:
        """The items of these statuses as they were asked for; `old` gets the generation of each, by index."""
        async for page in self.items(batch_id, statuses):
            for record in page:
                index = record.batch_index or 0
                old[index] = record.id
                request = again(await self._repository.request(record.id) or {}, record, {})
                yield BatchItem(index, record.item_key, _under(pointer("items", index)), request)

    async def _check_room(self, count: int) -> None:
        waiting = await self._shelf.waiting()
        if waiting + count > self._max_waiting:
            raise QueueFull(waiting, retry_after_s=60)

    async def _batch(self, batch_id: str) -> Batch:
        batch = await self._shelf.get(batch_id)
        if batch is None:
            raise NotFound("batch", batch_id)
        return batch

    async def _standing(self, batch: Batch) -> Standing:
        return await self._counted(batch, (await self._shelf.counts([batch.id]))[batch.id])

    async def _counted(self, batch: Batch, counts: Mapping[Status, int]) -> Standing:
        standing = Standing(batch, counts, 100.0)
        if standing.is_over:
            if batch.completed_at is None and await self._shelf.complete(batch.id, now=clock.now()):
                batch = await self._batch(batch.id)
            return Standing(batch, counts, 100.0)
        total = max(batch.total, sum(counts.values()))
        begun = sum(job.state.moment.percentage for job in self._tracker.jobs if job.record.batch_id == batch.id)
        return Standing(
            batch, counts, batch_records.percentage(total, counts, begun / 100), await self._eta_s(batch, counts)
        )

    async def _eta_s(self, batch: Batch, counts: Mapping[Status, int]) -> float | None:
        """By the pace of the items that ended last; before there is one, by what was learned of such runs."""
        left = batch_records.unfinished(counts)
        ends = await self._shelf.recent_ends(batch.id, PACE_OF)
        by_pace_s = batch_records.eta_s(left, ends, clock.now())
        if by_pace_s is not None:
            return by_pace_s
        waiting = await self._shelf.items(batch.id, after=-1, limit=1, statuses=(Status.PENDING,))
        if not waiting:
            return None
        servers = min(sum(each.is_healthy for each in self._pool.all), batch.max_in_flight or len(self._pool.all))
        eta_s = self._learner.pending_s(waiting[0], counts[Status.PENDING], self._tracker.jobs, servers, clock.now())
        return None if eta_s is None else round(eta_s, 1)


def as_recorded(record: Generation) -> Shown:
    """An item with the numbers of its record, whatever is known of it elsewhere."""
    return Shown(record, progress.at_rest(record))


def _missing(asked: BatchRequest, known: Mapping[int, tuple[str | None, str | None]]) -> Iterable[BatchItem]:
    """The items not on record yet. One whose key is on record for something else is wrong."""
    by_key = {key: fingerprint for key, fingerprint in known.values() if key is not None}
    after = max(known, default=-1) + 1
    for item in asked.items:
        if item.request is None:
            yield item
        elif item.key is None:
            if item.index not in known:
                yield item
        elif item.key not in by_key:
            yield item if not known else _moved(item, after)
            after += 1
        elif by_key[item.key] != item.request.fingerprint():
            why = Problem(item.at("/key"), "is on record for a different request; take a new key for a new request")
            yield BatchItem(item.index, item.key, item.at, None, (why,))


def _moved(item: BatchItem, index: int) -> BatchItem:
    return BatchItem(index, item.key, item.at, item.request, item.problems, item.wants_seed)


def _joined(parcels: Iterable[list[Item]], count: int) -> Iterable[list[Item]]:
    """The rows of parcels, `count` or a few more at a time."""
    rows: list[Item] = []
    for parcel in parcels:
        rows += parcel
        if len(rows) >= count:
            yield rows
            rows = []
    if rows:
        yield rows


def _under(prefix: str) -> Callable[[str], str]:
    return lambda place: prefix + place
