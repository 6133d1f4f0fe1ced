"""Taking over generations that nobody follows any more: of an earlier life of this service, or of a dead replica.

A replica stamps the rows it follows every few seconds; a row whose stamp is old is anybody's. Ownership is taken by
compare-and-set, so two replicas that reach for the same row at once do not both get it. What was adopted is polled
first: whatever happened meanwhile was told to nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from app import clock
from app.backends import BackendPool
from app.comfyui import workflow as workflows
from app.db.errors import DatabaseUnavailable
from app.db.repository import Repository
from app.jobs import Job
from app.observations import Absent
from app.recording import STAMP_INTERVAL_S
from app.records import Generation
from app.timing import kind_of
from app.tracking import Tracker

log = logging.getLogger(__name__)

STALE_S: Final = 5 * STAMP_INTERVAL_S
"""A replica that missed so many of its own stamps is dead, or so slow that another one serves its callers better."""


class Adopter:
    """`owner` is this process's name in the rows; `is_alone`: no other replica can be alive, so all rows are ours."""

    def __init__(
        self,
        repository: Repository,
        pool: BackendPool,
        tracker: Tracker,
        *,
        owner: str,
        is_alone: bool,
        wall: Callable[[], float] = clock.now,
    ) -> None:
        self._repository, self._pool, self._tracker = repository, pool, tracker
        self._owner, self._is_alone, self._wall = owner, is_alone, wall

    async def adopt_all(self) -> int:
        """At start: everything unfinished, or with other replicas about, what none of them follows; how many."""
        records = await self._repository.unfinished() if self._is_alone else await self._orphans()
        jobs = [await self.adopt(record) for record in records]
        return sum(job is not None for job in jobs)

    async def run(self) -> None:
        """Look for orphans for ever: a dead replica's, or a row of our own whose insert was thought to have failed."""
        while True:
            await asyncio.sleep(STALE_S / 2)
            try:
                for record in await self._orphans():
                    await self.adopt(record)
            except DatabaseUnavailable as error:
                log.info("orphans were not looked for", extra={"action": "adopt", "cause": str(error)})

    async def adopt(self, record: Generation) -> Job | None:
        """Follow a claimed generation from now on; None when somebody else was faster.

        One whose server is not in the settings any more goes back to the queue: None as well.
        """
        if (job := self._tracker.find(record.prompt_id)) is not None:
            return job
        backend, workflow = self._pool.get(record.backend), await self._repository.workflow(record.id)
        if backend is None:
            log.warning("its server is not in the settings", extra={"action": "adopt", "generation_id": record.id})
            await self._tracker.conclude(record, Absent())
        if backend is None or workflow is None:
            return None
        ours = msgspec.structs.replace(record, owner=self._owner, version=record.version + 1)
        if not await self._repository.apply(record, ours):
            return None
        facts = {"action": "adopt", "generation_id": record.id, "prompt_id": record.prompt_id}
        log.info("generation adopted", extra={**facts, "backend": record.backend})
        graph = workflows.parse(workflow)
        plan = workflows.plan(graph, backend.output_classes)
        return self._tracker.watch(ours, plan, backend, kind=kind_of(ours, graph, plan), is_adopted=True)

    async def _orphans(self) -> tuple[Generation, ...]:
        return await self._repository.orphans(self._wall() - STALE_S)
