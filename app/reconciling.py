"""The silence watchdog: asks ComfyUI about prompts nobody has told us anything of.

Its answers are observations like any other and go the same way. One `/queue` serves all silent prompts of a backend,
and it is always asked before history: a prompt moves from one to the other under a single lock, so in that order
"in neither" means gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from app.backends import Backend, BackendPool
from app.comfyui.answers import QueueState
from app.comfyui.errors import ComfyError
from app.db.errors import DatabaseUnavailable
from app.expiring import Expirer
from app.jobs import Job
from app.observations import Absent, Missing, Place, Polled
from app.records import Status
from app.tracking import Tracker

log = logging.getLogger(__name__)


class Reconciler:
    """`silence_s`: how long a prompt may say nothing; `poll_interval_s`: how often silent ones are asked about.

    `away_timeout_s`: how long a server may be out of reach until its prompts go to others.
    """

    def __init__(
        self,
        pool: BackendPool,
        tracker: Tracker,
        expirer: Expirer,
        *,
        silence_s: float,
        poll_interval_s: float,
        away_timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool, self._tracker, self._expirer = pool, tracker, expirer
        self._silence_s, self._poll_interval_s, self._monotonic = silence_s, poll_interval_s, monotonic
        self._away_timeout_s = away_timeout_s
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Something happened that makes asking worthwhile now."""
        self._awake.set()

    async def run(self) -> None:
        """Tick for ever, on the interval or when woken."""
        while True:
            self._awake.clear()
            await self.tick()
            try:
                async with asyncio.timeout(self._poll_interval_s):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def tick(self) -> None:
        """Ask every backend about its silent prompts, all backends at once; give up on late ones and deaf sockets."""
        self._expirer.look()
        try:
            await self._expirer.look_at_waiting()
        except DatabaseUnavailable as error:
            log.info("deadlines were not looked at", extra={"action": "expire", "cause": str(error)})
        for backend in self._pool.all:
            if backend.is_deaf(self._monotonic()):
                backend.listener.replace("deaf: a prompt was taken and not a word was heard")
            if backend.away_s(self._monotonic()) > self._away_timeout_s:
                self._move(backend)
        async with asyncio.TaskGroup() as group:
            for backend in self._pool.all:
                if silent := self._silent(backend):
                    group.create_task(self._ask(backend, silent), name=f"poll {backend.name}")

    def _move(self, backend: Backend) -> None:
        """Give what an absent server has to others that could run it; what only it could run waits for it."""
        others = [each for each in self._pool.all if each.is_healthy]
        for job in self._tracker.jobs:
            able = job.record.able
            has_other = any(able is None or f",{each.name}," in able for each in others)
            is_stranded = job.backend is backend and not job.is_submitting and not job.is_given_up
            if is_stranded and (has_other or _is_canceling(job)):
                job.is_given_up = True
                backend.given_up.add(job.record.prompt_id)
                self._tracker.offer(job, Absent())

    def _silent(self, backend: Backend) -> list[Job]:
        heard_before = self._monotonic() - self._silence_s
        return [
            job
            for job in self._tracker.jobs
            if job.backend is backend and not job.is_submitting and job.heard_at < heard_before
        ]

    async def _ask(self, backend: Backend, silent: list[Job]) -> None:
        try:
            queue = await backend.client.queue()
            for job in silent:
                await self._ask_about(backend, job, queue)
        except ComfyError as error:
            log.info("polling failed", extra={"action": "poll", "backend": backend.name, "cause": str(error)})

    async def _ask_about(self, backend: Backend, job: Job, queue: QueueState) -> None:
        prompt_id = job.record.prompt_id
        if prompt_id in queue.running:
            self._tracker.offer(job, Polled(Place.RUNNING))
        elif prompt_id in queue.pending:
            self._tracker.offer(job, Polled(Place.WAITING, queue.pending.index(prompt_id) + 1))
        elif await backend.client.history(prompt_id) is not None:
            self._tracker.offer(job, Polled(Place.HISTORY))
        else:
            self._tracker.offer(job, Missing())


def _is_canceling(job: Job) -> bool:
    return job.record.status is Status.CANCELING
