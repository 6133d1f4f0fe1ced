"""Ends what takes too long: past its own deadline, or without any sign of life.

Owns no timers of its own; looks at everything each time it is called. What it finds are observations like all others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from app import clock
from app.db.repository import Repository
from app.jobs import Job
from app.observations import GaveUp
from app.records import ErrorCode, Failure, Status
from app.tracking import Tracker

_AT_WORK: Final = frozenset({Status.RUNNING, Status.CANCELING})


class Expirer:
    """`stall_timeout_s`: how long a running prompt may say nothing on a socket that would hear it."""

    def __init__(
        self,
        repository: Repository,
        tracker: Tracker,
        *,
        stall_timeout_s: float,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = clock.now,
    ) -> None:
        self._repository, self._tracker, self._stall_timeout_s = repository, tracker, stall_timeout_s
        self._monotonic, self._wall = monotonic, wall

    def look(self) -> None:
        """Give up on every live prompt that is late or stalled."""
        for job in self._tracker.jobs:
            if job.record.deadline_at is not None and self._wall() >= job.record.deadline_at:
                self._tracker.offer(job, GaveUp(timed_out()))
            elif self._is_stalled(job):
                text = f"ComfyUI gave no sign of life for {self._stall_timeout_s:g} s"
                self._tracker.offer(job, GaveUp(Failure(ErrorCode.STALLED, text)))

    def _is_stalled(self, job: Job) -> bool:
        """Only where silence means something: a prompt whose messages go to a lost socket is silent by nature."""
        listener = job.backend.listener
        is_heard = listener.is_proven and job.record.client_id == listener.client_id
        is_late = self._monotonic() - job.alive_at > self._stall_timeout_s
        return is_late and is_heard and job.record.status in _AT_WORK

    async def look_at_waiting(self) -> None:
        """Give up on every generation that waits past its deadline."""
        for record in await self._repository.overdue(self._wall()):
            await self._tracker.conclude(record, GaveUp(timed_out()))


def timed_out() -> Failure:
    """The failure of a generation whose deadline has passed."""
    return Failure(ErrorCode.TIMED_OUT, "It was not done by its deadline")
