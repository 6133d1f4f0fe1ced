"""The live prompts of this process: a mailbox for each, and the one place where facts become state.

Whatever is learned of a prompt, by whom ever, goes through `offer` into its mailbox; its follower folds it with
`lifecycle.observe`, writes what is durable, publishes, and does what the step asks for. Nothing between a socket and a
mailbox waits. Owns no truth: a process that dies loses only what polling will find again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec

from app import canceling, clock, progress
from app.backends import Backend
from app.bus import BusUnavailable, EventBus
from app.comfyui.messages import Executing, FeatureFlags, Message, NodeText, Status, Unknown
from app.comfyui.workflow import Plan
from app.db.repository import Repository
from app.finishing import Finisher
from app.jobs import Job
from app.learning import Learner
from app.lifecycle import Limits, Step, begin, observe
from app.observations import CancelRequested, Observation
from app.recording import STAMP_INTERVAL_S, WRITE_BEHIND_S, Recorder, facts_of, is_urgent
from app.records import ErrorCode, Generation
from app.records import Status as GenerationStatus
from app.states import EARLY, State
from app.timing import Kind

log = logging.getLogger(__name__)

T = TypeVar("T")

CANCEL_TOLD_S: Final = 2.0
"""How long the answer to a cancel waits for the new status; a follower that fetches files is busy for longer."""


class Tracker:
    """`on_freed` is called when a backend has room again; `on_pending` when a prompt must be submitted anew.

    `stuck_after_s`: how long a backend may hold on to a prompt that was given up before it counts as stuck.
    """

    def __init__(
        self,
        repository: Repository,
        bus: EventBus,
        finisher: Finisher,
        limits: Limits,
        learner: Learner,
        *,
        stuck_after_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = clock.now,
    ) -> None:
        self._repository, self._recorder = repository, Recorder(repository)
        self._bus, self._finisher, self._limits = bus, finisher, limits
        self._monotonic, self._wall = monotonic, wall
        self._learner, self._stuck_after_s = learner, stuck_after_s
        self._jobs: dict[str, Job] = {}
        self._group: asyncio.TaskGroup | None = None
        self._started = asyncio.Event()
        self.on_freed: Callable[[], None] = _nothing
        self.on_pending: Callable[[], None] = _nothing
        self.unrouted = 0

    async def run(self) -> None:
        """Own the followers, for ever."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._started.set()
            try:
                while True:
                    await asyncio.sleep(STAMP_INTERVAL_S)
                    await self._stamp()
            finally:
                await self._stamp()

    async def wait_started(self) -> None:
        await self._started.wait()

    @property
    def jobs(self) -> tuple[Job, ...]:
        return tuple(self._jobs.values())

    def find(self, prompt_id: str) -> Job | None:
        return self._jobs.get(prompt_id)

    def watch(
        self, record: Generation, plan: Plan, backend: Backend, *, kind: Kind | None = None, is_adopted: bool = False
    ) -> Job:
        """Follow a claimed generation from now on. Adopted ones are asked about at once: we may have missed it all."""
        now = self._monotonic()
        heard_at = float("-inf") if is_adopted else now
        job = Job(begin(record, plan, kind), record, backend, heard_at, now, is_submitting=not is_adopted)
        self._jobs[record.prompt_id] = job
        self._learner.want(kind)
        backend.take(record.id, is_background=record.is_background)
        self.spawn(self._follow(job), f"follow {record.id}")
        if record.status is GenerationStatus.CANCELING:
            self._cancel(job)
        return job

    def speaks_to(self, client_id: str) -> bool:
        """Whether any live prompt's messages go to this id."""
        return any(job.record.client_id == client_id for job in self._jobs.values())

    def on_message(self, message: Message) -> None:
        """Route what a server said. Messages without a prompt_id, or of strangers' prompts, are nobody's."""
        match message:
            case Status() | FeatureFlags() | NodeText() | Unknown():
                return
            case _ if message.prompt_id is not None and (job := self._jobs.get(message.prompt_id)) is not None:
                job.heard_at = job.alive_at = self._monotonic()
                job.mailbox.put(message)
            case _:
                self.unrouted += 1

    def offer(self, job: Job, seen: Observation) -> None:
        job.mailbox.put(seen)

    async def cancel(self, job: Job) -> None:
        """Ask for a live prompt's end; returns when its record says so, or a moment later if that takes long."""
        self.offer(job, CancelRequested())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CANCEL_TOLD_S):
                while job.record.status in EARLY or job.record.status is GenerationStatus.RUNNING:
                    await job.has_turned.wait()

    async def give_back(self, job: Job) -> None:
        """The prompt surely never arrived: the row waits for a backend again, without having used an attempt."""
        self.forget(job)
        free = msgspec.structs.replace(
            job.record, backend=None, client_id=None, owner=None, version=job.stored.version + 1
        )
        await self._recorder.write(job.stored, free)

    async def conclude(self, record: Generation, seen: Observation) -> bool:
        """Fold a fact into a generation that waits and that nobody follows; False when somebody else was faster."""
        step = observe(begin(record, Plan({}, 1)), seen, self._wall(), self._limits)
        if not await self._repository.apply(record, step.state.record):
            return False
        _log_milestone(record, step.state.record)
        await self._publish(step)
        if step.resubmit:
            self.on_pending()
        return True

    def ask_about(self, backend: Backend) -> None:
        """This server's messages may have been lost: have all its prompts polled at once."""
        for job in self._jobs.values():
            if job.backend is backend:
                job.heard_at = float("-inf")

    def spawn(self, work: Coroutine[Any, Any, T], name: str) -> asyncio.Task[T]:
        """A task of this tracker's own, ended with it."""
        if self._group is None:
            raise RuntimeError("the tracker does not run")
        return self._group.create_task(work, name=name)

    async def _follow(self, job: Job) -> None:
        while self._jobs.get(job.record.prompt_id) is job:
            if (seen := await self._next(job)) is not None:
                await self._apply(job, seen)
            if job.mailbox.is_overflowed:
                job.mailbox.is_overflowed, job.heard_at = False, float("-inf")

    async def _next(self, job: Job) -> Observation | None:
        """The next fact; None when there is none, or what was learned so far had to be written down first."""
        if job.write_at is None:
            return await job.mailbox.take_first()
        try:
            async with asyncio.timeout_at(job.write_at):
                return await job.mailbox.take_first()
        except TimeoutError:
            await self._persist(job, job.state)
            return None

    async def _apply(self, job: Job, seen: Observation) -> None:
        at, before = self._wall(), job.state
        step = observe(self._learner.foreseen(job, seen, self._jobs.values(), at), seen, at, self._limits)
        if not step.is_durable:
            job.state = step.state
        elif not is_urgent(before.record, step.state.record):
            job.state = step.state
            job.write_at = job.write_at or asyncio.get_running_loop().time() + WRITE_BEHIND_S
        elif not await self._persist(job, step.state):
            return
        if before.record.prompt_id != job.record.prompt_id:
            self._jobs[job.record.prompt_id] = self._jobs.pop(before.record.prompt_id)
            job.has_other_id.set()
        await self._publish(step)
        if before.record.status is not job.record.status:
            job.has_turned.set()
            job.has_turned = asyncio.Event()
        if step.is_durable:
            job.alive_at = self._monotonic()
            _log_milestone(before.record, job.record)
        await self._serve(job, step)

    async def _persist(self, job: Job, state: State) -> bool:
        """Make `state` the job's, in the database too; False when somebody else wrote first and his word counts."""
        after = msgspec.structs.replace(state.record, version=job.stored.version + 1)
        fresh = await self._recorder.write(job.stored, after)
        job.write_at = None
        if fresh is not None:
            job.stored = fresh
        if fresh is after:
            job.state = replace(state, record=after)
            return True
        if fresh is None or fresh.is_terminal or fresh.backend != job.backend.name:
            self.forget(job)
        else:
            job.state = replace(job.state, record=fresh, moment=progress.moment(job.state.live, fresh))
            job.heard_at = float("-inf")
        return False

    async def _publish(self, step: Step) -> None:
        record = step.state.record
        for event in step.events:
            try:
                await self._bus.publish(record.id, event)
            except BusUnavailable:
                log.warning("watchers missed an event", extra=facts_of(record))

    async def _serve(self, job: Job, step: Step) -> None:
        """Do what the step asks of the outside world; what that finds is the next observation."""
        if job.record.is_terminal or step.resubmit:
            self.forget(job)
            self._learner.learn(job.state)
            if step.resubmit:
                self.on_pending()
            if job.record.error is not None and job.record.error.code is ErrorCode.OUT_OF_MEMORY:
                self.spawn(canceling.free_memory(job.backend), f"free memory of {job.backend.name}")
        elif step.fetch_history:
            self._free(job)
            finished = await self._finisher.finish(job.backend.client, job.state)
            if finished is not None:
                await self._apply(job, finished)
        elif step.keep and not job.mailbox.any(_is_end):
            delivered = await self._finisher.keep_early(job.backend.client, job.state, step.keep)
            await self._apply(job, delivered)
        if step.interrupt:
            self._cancel(job)

    def _cancel(self, job: Job) -> None:
        """Set about taking the prompt away; asked again while that goes on, once is enough."""
        if job.record.is_terminal or not job.is_being_canceled:
            job.is_being_canceled = True
            self.spawn(self._take_away(job), f"cancel {job.record.id}")

    async def _take_away(self, job: Job) -> None:
        """Ask ComfyUI to drop the prompt until it is gone; reconciling then reports what became of it."""

        def is_over() -> bool:
            job.heard_at = float("-inf")
            return self._jobs.get(job.record.prompt_id) is not job

        if job.record.is_terminal:
            await canceling.free_backend(job.backend, job.record.prompt_id, self._stuck_after_s)
        else:
            await canceling.take_away(job.backend, job.record.prompt_id, is_over, lambda: job.is_submitting)

    async def _stamp(self) -> None:
        await self._recorder.stamp([job.state.moment for job in self._jobs.values()], self._wall())

    def _free(self, job: Job) -> None:
        """The server's slot is free again, though our own work on the prompt may go on."""
        if job.backend.free(job.record.id, self._monotonic()):
            self.on_freed()

    def forget(self, job: Job) -> None:
        """Stop following: terminal, given back, or somebody else's now."""
        if self._jobs.get(job.record.prompt_id) is job:
            del self._jobs[job.record.prompt_id]
        job.mailbox.close()
        self._free(job)


def _nothing() -> None:
    """Nobody waits for free slots yet."""


def _is_end(seen: Observation) -> bool:
    return isinstance(seen, Executing) and seen.node is None


def _log_milestone(before: Generation, after: Generation) -> None:
    if before.status is after.status:
        return
    level = logging.WARNING if after.status is GenerationStatus.FAILED else logging.INFO
    cause = {"cause": after.error.code.value} if after.error else {}
    log.log(level, "generation %s", after.status.value, extra={"action": "milestone", **facts_of(after), **cause})
