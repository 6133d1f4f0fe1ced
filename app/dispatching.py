"""The durable queue: pending rows wait here until a backend has room, in order of priority, then age.

There are two lanes: what somebody waits for, and background work (of a priority below 0), which has fewer slots.

Owns claiming and submitting. A row is claimed for a backend, in one transaction, before ComfyUI hears of it; a prompt
is never posted again before its first posting's fate is known. Which server runs a generation is decided only when one
has room.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from app import clock
from app.backends import Backend, BackendPool
from app.comfyui import workflow as workflows
from app.comfyui.answers import Accepted as AcceptedByComfy
from app.comfyui.errors import BadReply, Incompatible, NoAnswer, NotFound, Rejected, Unreachable
from app.db.errors import DatabaseUnavailable
from app.db.repository import Repository
from app.db.statements import LEAST
from app.jobs import Job
from app.observations import Accepted, Missing, Refused, Unanswered
from app.placing import InputGone, Placer, forgotten
from app.records import ErrorCode, Failure, Generation, Status
from app.storage import StorageError
from app.timing import kind_of
from app.tracking import Tracker
from app.verdicts import without_paths

log = logging.getLogger(__name__)

OTHER_ID_WAIT_S: Final = 5.0
"""How long an answer waits until a foreign prompt_id is on record; it comes to nothing when the prompt just ended."""

BEHIND_ALL: Final = 1e12
"""ComfyUI runs the lowest number first, and counts up from 0 for prompts without one: what yields to those needs a
number beyond any count."""

APART: Final = 1_000_000
"""Numbers between two priorities in the background, so that those of one go in their turn."""

IDLE_CHECK_S: Final = 2.0
"""How often the queue is looked at without a reason: rows of a replica that died come to light this way."""


@dataclass(slots=True)
class _Lane:
    """Waiting work of one urgency: of priorities down to `least`. `arrivals` tells whether some came meanwhile."""

    is_background: bool
    least: int
    has_backlog: bool = False
    arrivals: int = 0


class Dispatcher:
    """`owner` is this process's name in the rows it claims. `on_dry`: there is room, and no background work for it."""

    def __init__(
        self,
        repository: Repository,
        pool: BackendPool,
        tracker: Tracker,
        owner: str,
        *,
        placer: Placer,
        wall: Callable[[], float] = clock.now,
    ) -> None:
        self._repository, self._pool, self._tracker, self._owner = repository, pool, tracker, owner
        self._placer = placer
        self._wall = wall
        self._awake = asyncio.Event()
        self._urgent, self._background = _Lane(False, 0), _Lane(True, LEAST)
        self._submitted = itertools.count()
        self.on_dry: Callable[[], None] = _nothing

    def wake(self) -> None:
        """There may be a free slot, or something to submit."""
        self._awake.set()

    def backlog(self, *, is_background: bool | None = None) -> None:
        """A pending row was added, of either urgency: nothing of its lane may overtake it from now on."""
        for lane in (self._urgent, self._background):
            if is_background is None or lane.is_background is is_background:
                lane.arrivals += 1
                lane.has_backlog = True
        self._awake.set()

    def reserve(self, record: Generation) -> Backend | None:
        """A slot for a generation that is not stored yet; None when it has to wait its turn."""
        is_background = record.is_background
        if self._urgent.has_backlog or (is_background and self._background.has_backlog):
            return None
        backend = next(iter(self._pool.with_room(record.able, is_background=is_background)), None)
        if backend is not None:
            backend.take(record.id, is_background=is_background)
        return backend

    def claimed(self, record: Generation, backend: Backend) -> Generation:
        """`record` as the property of this process on that backend. The caller stores it before `submit`."""
        return msgspec.structs.replace(record, backend=backend.name, client_id=backend.client_id, owner=self._owner)

    def submit(self, record: Generation, workflow: Mapping[str, Any], backend: Backend) -> asyncio.Task[Failure | None]:
        """Watch a claimed and stored generation, then hand it to its backend; the task tells why it was refused."""
        graph = workflows.parse(workflow)
        plan = workflows.plan(graph, backend.output_classes)
        job = self._tracker.watch(record, plan, backend, kind=kind_of(record, graph, plan))
        return self._tracker.spawn(self._submit(job, workflow), f"submit {record.id}")

    async def look(self) -> None:
        """See whether anything waits: a row of a replica that died, or of an earlier life."""
        for lane in (self._urgent, self._background):
            try:
                lane.has_backlog = lane.has_backlog or await self._repository.pending_count(lane.least) > 0
            except DatabaseUnavailable:
                lane.has_backlog = True

    async def run(self) -> None:
        """Hand out pending rows whenever there is room, for ever."""
        while True:
            self._awake.clear()
            try:
                await self._hand_out()
            except DatabaseUnavailable as error:
                log.warning("the queue waits for the database", extra={"action": "dispatch", "cause": str(error)})
            try:
                async with asyncio.timeout(IDLE_CHECK_S):
                    await self._awake.wait()
            except TimeoutError:
                await self.look()

    async def _hand_out(self) -> None:
        for lane in (self._urgent, self._background):
            await self._serve(lane)
        if not self._background.has_backlog:
            self.on_dry()

    async def _serve(self, lane: _Lane) -> None:
        while lane.has_backlog and (backends := self._pool.with_room(is_background=lane.is_background)):
            arrivals = lane.arrivals
            taken = [await self._claim(backend, lane) for backend in backends]
            if any(taken) or lane.arrivals != arrivals:
                if lane.is_background and self._urgent.has_backlog:
                    await self._serve(self._urgent)
                continue
            # What is left, if anything, waits for backends that are full or down.
            lane.has_backlog = len(self._pool.all) > 1 and await self._repository.pending_count(lane.least) > 0
            return

    async def _claim(self, backend: Backend, lane: _Lane) -> int:
        """Hand a backend as much of a lane as it has room for; how much that was."""
        claimed = await self._repository.claim(
            backend=backend.name,
            client_id=backend.client_id,
            owner=self._owner,
            limit=backend.slots_for(is_background=lane.is_background),
            now=self._wall(),
            least=lane.least,
        )
        for record, workflow in claimed:
            self.submit(record, workflow, backend)
        return len(claimed)

    async def _submit(self, job: Job, workflow: Mapping[str, Any]) -> Failure | None:
        record, backend = job.record, job.backend
        try:
            await self._placer.place(backend, record.inputs)
            if job.record.status is not Status.PENDING:
                await self._give_back(job)
                return None
            accepted = await self._posted(job, workflow)
        except Rejected as rejected:
            return self._refuse(job, _refusal(rejected))
        except (Incompatible, NotFound) as error:
            return self._refuse(job, Failure(ErrorCode.REJECTED, without_paths(str(error))))
        except InputGone as error:
            return self._refuse(job, Failure(ErrorCode.REJECTED, str(error)))
        except Unreachable as error:
            backend.went_down(error)
            await self._give_back(job)
        except (NoAnswer, BadReply, StorageError) as error:
            # It may be queued all the same: only looking tells, and reconciling does that.
            log.warning("submission without an answer", extra={**_facts(job), "cause": str(error)})
            self._tracker.offer(job, Unanswered(_came_instead(error)))
            job.heard_at = float("-inf")
        else:
            await self._accepted(job, accepted)
        finally:
            job.is_submitting = False
        return None

    async def _posted(self, job: Job, workflow: Mapping[str, Any]) -> AcceptedByComfy:
        """Submit; once more, with the files placed anew, where the server turns out to have lost some."""
        try:
            return await self._post(job, workflow)
        except Rejected as rejected:
            lost = forgotten(rejected.node_errors, workflow, job.record.inputs)
            if not lost:
                raise
        self._placer.forget(job.backend, lost)
        await self._placer.place(job.backend, lost)
        return await self._post(job, workflow)

    async def _post(self, job: Job, workflow: Mapping[str, Any]) -> AcceptedByComfy:
        record, backend = job.record, job.backend
        return await backend.client.submit(
            workflow,
            prompt_id=record.prompt_id,
            client_id=record.client_id or backend.client_id,
            number=self._number(record.priority),
            extra_data={},
        )

    def _number(self, priority: int) -> float | None:
        """Where in ComfyUI's own queue a prompt of that priority belongs; None: behind those that came before."""
        if priority >= 0:
            return -float(priority) if priority else None
        return BEHIND_ALL - priority * APART + next(self._submitted) % APART

    def _refuse(self, job: Job, failure: Failure) -> Failure:
        self._tracker.offer(job, Refused(failure))
        return failure

    async def _accepted(self, job: Job, accepted: AcceptedByComfy) -> None:
        job.backend.accepted(time.monotonic())
        self._tracker.offer(job, Accepted(accepted.prompt_id, accepted.node_errors or None))
        if accepted.prompt_id != job.record.prompt_id:
            # A fork that ignores ids: nobody may be told the one that is not in force.
            job.is_submitting = False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OTHER_ID_WAIT_S):
                    await job.has_other_id.wait()

    async def _give_back(self, job: Job) -> None:
        """The prompt surely never arrived: the row waits for a backend again, without having used an attempt."""
        if job.record.status is not Status.PENDING:
            job.is_submitting = False
            self._tracker.offer(job, Missing())  # It is being canceled, and there is nothing to take back.
            return
        await self._tracker.give_back(job)
        self.backlog(is_background=job.record.is_background)


def _nothing() -> None:
    """Nobody keeps more work back yet."""


def _refusal(rejected: Rejected) -> Failure:
    message = str(rejected.error.get("message") or "ComfyUI refused the workflow")
    details = str(rejected.error.get("details") or "")
    text = without_paths(f"{message}: {details}" if details else message)
    return Failure(ErrorCode.REJECTED, text, node_errors=rejected.node_errors or None)


def _came_instead(error: Exception) -> str:
    match error:
        case BadReply(status=int(status)) | NoAnswer(status=int(status)):
            return f"status {status} with no word on its fate"
        case _:
            return "no answer"


def _facts(job: Job) -> dict[str, object]:
    record = job.record
    return {"generation_id": record.id, "prompt_id": record.prompt_id, "backend": record.backend}
