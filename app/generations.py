"""The use cases: submit, get, list, watch, wait, cancel, and the way to a generation's files.

Each is a short story told in the words of the other modules. The API calls these and nothing else; nothing here knows
HTTP. A watcher subscribes first and reads the state second, so that nothing can fall between the two.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app import clock, progress
from app.adopting import Adopter
from app.backends import BackendPool
from app.bus import BusUnavailable, CursorExpired, Entry, EventBus, Subscription
from app.db.errors import AlreadyRecorded
from app.db.repository import Repository
from app.db.statements import LEAST, GenerationFilter, Position
from app.dispatching import Dispatcher
from app.errors import KeyInUse, KeyMismatch, NoBackend, NotFound, QueueFull, StillRunning, WorkflowRejected
from app.events import Canceled, Completed, Connected, Failed, Moment, PreviewReady
from app.learning import Learner
from app.observations import CancelRequested
from app.preparing import Preparer
from app.projects import Projects
from app.records import ErrorCode, Generation, Status
from app.requests import Prepared, Request, again
from app.storage import Storage, StoredOutput
from app.tracking import Tracker
from app.watching import START, Patience, Watch, opening

__all__ = ["GenerationFilter", "Generations", "Position", "Request", "Shown", "Submitted"]

log = logging.getLogger(__name__)

COUNT_EVERY_S: Final = 1.0
"""How old the count of those waiting may be: other replicas add to them, too, and past the limit they say 503."""

REFUSAL_WAIT_S: Final = 5.0
"""How long the answer to a refused workflow waits until the refusal is on record, for whoever repeats the request."""

DELETE_WAIT_S: Final = 10.0
"""How long a deletion waits until ComfyUI has let go of a running prompt."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A record and its newest numbers: someone who polls sees what someone who streams sees."""

    record: Generation
    moment: Moment


@dataclass(frozen=True, slots=True)
class Submitted:
    """The generation of a request; `is_replay`: it was made by an earlier request of the same key."""

    shown: Shown
    is_replay: bool = False


class Generations:
    """`submit_wait_s`: how long an answer waits for ComfyUI's word on the workflow before it goes out as pending."""

    def __init__(
        self,
        *,
        repository: Repository,
        bus: EventBus,
        pool: BackendPool,
        tracker: Tracker,
        dispatcher: Dispatcher,
        adopter: Adopter,
        storage: Storage,
        preparer: Preparer,
        projects: Projects,
        learner: Learner,
        max_pending: int,
        accept_when_down: bool,
        submit_wait_s: float,
    ) -> None:
        self._repository, self._bus, self._pool = repository, bus, pool
        self._tracker, self._dispatcher, self._adopter = tracker, dispatcher, adopter
        self._storage = storage
        self._preparer, self._projects, self._learner = preparer, projects, learner
        self._under_way: set[str] = set()
        self._max_pending, self._accept_when_down = max_pending, accept_when_down
        self._submit_wait_s = submit_wait_s
        self._rooms: dict[bool, tuple[int, float]] = {}
        self._patience = Patience()

    async def submit(self, request: Request) -> Submitted:
        """Put a generation durably on record, then hand it on. Committed before ComfyUI hears of it.

        A request whose idempotency key is on record already is answered with what it made the first time.
        Raises InvalidRequest, WorkflowRejected, KeyInUse, KeyMismatch, QueueFull, NoBackend.
        """
        key = request.idempotency_key
        if key is None:
            return Submitted(await self._submit(await self._preparer.prepare(request)))
        if key in self._under_way:
            raise KeyInUse(key)
        self._under_way.add(key)
        try:
            if (record := await self._repository.by_idempotency_key(key)) is None:
                try:
                    return Submitted(await self._submit(await self._preparer.prepare(request)))
                except AlreadyRecorded:  # Another replica was faster.
                    record = await self._repository.by_idempotency_key(key)
            if record is None:
                raise KeyInUse(key)
            return Submitted(await self._replay(record, request), is_replay=True)
        finally:
            self._under_way.discard(key)

    async def retry(
        self, generation_id: str, overrides: Mapping[str, Any], idempotency_key: str | None = None
    ) -> Submitted:
        """A new generation from the same request, with other parameters where `overrides` names them."""
        record = await self._record(generation_id)
        asked = await self._repository.request(generation_id)
        return await self.submit(again(asked or {}, record, overrides, idempotency_key))

    async def delete(self, generation_id: str) -> None:
        """Remove the record and its files; a live one is canceled first. Raises StillRunning when that takes long."""
        shown = await self.cancel(generation_id)
        if not shown.record.is_terminal:
            shown = await self.wait(generation_id, DELETE_WAIT_S)
        if not shown.record.is_terminal:
            raise StillRunning(generation_id)
        await self._storage.delete_prefix(f"outputs/{generation_id[:2]}/{generation_id}")
        await self._repository.delete(generation_id)
        log.info("generation deleted", extra={"action": "delete", "generation_id": generation_id})

    async def _submit(self, prepared: Prepared) -> Shown:
        record = prepared.record
        if not self._accept_when_down and not self._pool.is_any_up:
            raise NoBackend
        backend = self._dispatcher.reserve(record)
        if backend is None:
            await self._check_room(record)
            await self._store(record, prepared)
            self._dispatcher.backlog(is_background=record.is_background)
            return await self._shown(record)
        record = self._dispatcher.claimed(record, backend)
        try:
            await self._store(record, prepared)
        except BaseException:
            backend.in_flight.discard(record.id)
            raise
        task = self._dispatcher.submit(record, prepared.workflow, backend)
        done, _ = await asyncio.wait({task}, timeout=self._submit_wait_s)
        if done and (failure := task.result()) is not None:
            await self.wait(record.id, REFUSAL_WAIT_S)
            raise WorkflowRejected(failure.message, failure.node_errors or {}, record.id, prepared.places)
        job = self._tracker.find(record.prompt_id)
        return Shown(job.record, job.state.moment) if job is not None else await self.get(record.id)

    async def _replay(self, record: Generation, request: Request) -> Shown:
        if record.fingerprint != request.fingerprint():
            raise KeyMismatch(record.idempotency_key or "")
        if record.error is not None and record.error.code is ErrorCode.REJECTED:
            raise WorkflowRejected(record.error.message, record.error.node_errors or {}, record.id)
        return await self._shown(record)

    async def get(self, generation_id: str) -> Shown:
        record = await self._record(generation_id)
        return await self._shown(record)

    async def list(self, filters: GenerationFilter, limit: int, after: Position | None) -> tuple[Shown, ...]:
        """Newest first; with the numbers of the live ones."""
        records = await self._repository.list(filters, limit=limit, after=after)
        return tuple([await self._shown(record) for record in records])

    async def workflow(self, generation_id: str) -> dict[str, Any]:
        """The graph that ran, or will."""
        await self._record(generation_id)
        return await self._repository.workflow(generation_id) or {}

    async def output(self, generation_id: str, index: int, *, only_images: bool) -> StoredOutput:
        """An output and its files; texts have none. `index` counts images, or all outputs."""
        record = await self._record(generation_id)
        outputs = record.images if only_images else record.outputs
        if not 0 <= index < len(outputs):
            raise NotFound("image" if only_images else "output", str(index))
        return StoredOutput.of(self._storage, outputs[index])

    async def preview(self, generation_id: str) -> PreviewReady:
        """The newest preview frame. Raises NotFound when there is none."""
        latest = await self._bus.latest(generation_id)
        if latest.preview is None or not isinstance(latest.preview.event, PreviewReady):
            await self._record(generation_id)
            raise NotFound("preview of generation", generation_id)
        return latest.preview.event

    @contextlib.asynccontextmanager
    async def watch(self, generation_id: str, after: str | None = None) -> AsyncIterator[Watch]:
        """Snapshot, then deltas. `after` is the cursor of the last event seen; too old a one gives a snapshot."""
        async with contextlib.AsyncExitStack() as stack:
            subscription, after = await self._subscribe(stack, generation_id, after)
            record = await self._record(generation_id)
            latest = await self._bus.latest(generation_id)
            moment = latest.moment or _entry_at_rest(await self._shown(record))
            yield Watch(opening(record, moment, after), subscription, moment.order)

    async def wait(self, generation_id: str, timeout_s: float) -> Shown:
        """The generation when it has ended, or as it stands after `timeout_s`; at once while the bus is away."""
        with contextlib.suppress(BusUnavailable):
            async with self._patience.at_most(timeout_s), self.watch(generation_id) as watch:
                async for entry in watch:
                    if isinstance(entry.event, Completed | Failed | Canceled):
                        return Shown(entry.event.record, entry.event)
        return await self.get(generation_id)

    def end_waits(self) -> None:
        """Have everybody who waits answered now, and who comes later: the service stops."""
        self._patience.end()

    async def cancel(self, generation_id: str) -> Shown:
        """Ask for its end. Pending ones end at once; others when ComfyUI no longer has them."""
        record = await self._record(generation_id)
        while not record.is_terminal:
            if record.backend is None:
                if await self._tracker.conclude(record, CancelRequested()):
                    break
            # Another replica may follow it: whoever is asked to cancel takes it over.
            elif (job := self._tracker.find(record.prompt_id) or await self._adopter.adopt(record)) is not None:
                await self._tracker.cancel(job)
                break
            record = await self._record(generation_id)
        return await self.get(generation_id)

    async def _check_room(self, record: Generation) -> None:
        """Counts those waiting once a second, and whenever the room found then is used up. Work that yields takes no
        room from work that does not.
        """
        room, counted_at = self._rooms.get(record.is_background, (0, 0.0))
        if room <= 0 or time.monotonic() - counted_at > COUNT_EVERY_S:
            pending = await self._repository.pending_count(LEAST if record.is_background else 0)
            room, counted_at = self._max_pending - pending, time.monotonic()
            if room <= 0:
                raise QueueFull(pending, retry_after_s=10)
        self._rooms[record.is_background] = (room - 1, counted_at)

    async def _store(self, record: Generation, prepared: Prepared) -> None:
        await self._repository.add(record, workflow=prepared.workflow, request=prepared.asked)
        self._projects.used(record.project_id)
        facts = {"action": "milestone", "generation_id": record.id, "prompt_id": record.prompt_id}
        log.info("generation accepted", extra={**facts, "backend": record.backend})

    async def _record(self, generation_id: str) -> Generation:
        record = await self._repository.get(generation_id)
        if record is None:
            raise NotFound("generation", generation_id)
        return record

    async def _shown(self, record: Generation) -> Shown:
        if not record.is_terminal and (live := await self._live(record.id)) is not None:
            return Shown(record, live)
        position = eta_s = None
        if record.status is Status.PENDING and record.backend is None:
            position = await self._repository.pending_ahead_of(record) + 1
            healthy = sum(each.is_healthy for each in self._pool.all)
            eta_s = self._learner.pending_s(record, position, self._tracker.jobs, healthy, clock.now())
        return Shown(record, progress.at_rest(record, position, eta_s))

    async def _live(self, generation_id: str) -> Moment | None:
        """The newest numbers on the bus; without a bus the database's have to do."""
        try:
            newest = (await self._bus.latest(generation_id)).moment
        except BusUnavailable:
            return None
        return newest.event if newest is not None and isinstance(newest.event, Moment) else None

    async def _subscribe(
        self, stack: contextlib.AsyncExitStack, generation_id: str, after: str | None
    ) -> tuple[Subscription, str | None]:
        """A subscription, and the cursor it really goes on from: a foreign or expired one is as good as none."""
        try:
            return await stack.enter_async_context(self._bus.subscribe(generation_id, after)), after
        except CursorExpired:
            return await stack.enter_async_context(self._bus.subscribe(generation_id)), None


def _entry_at_rest(shown: Shown) -> Entry:
    """A place before everything in the log, for a generation nothing was published of yet."""
    return Entry(START, (0, 0), Connected(**msgspec.structs.asdict(shown.moment)))
