"""Writing down what becomes of generations: at once where it matters, a moment later where it does not.

Owns the patience with a database that is away. Decides nothing; a record is written by compare-and-set, so whoever was
faster is believed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

from app.db.errors import DatabaseUnavailable
from app.db.repository import Repository
from app.events import Moment
from app.records import Generation, Status

log = logging.getLogger(__name__)

WRITE_BEHIND_S: Final = 0.05
"""How much later the database may know that a prompt is queued or running."""

STAMP_INTERVAL_S: Final = 2.0
"""How often live numbers are written down; a killed service shows numbers at most this old until it hears more."""

DATABASE_RETRY_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Pauses between attempts to write a step while the database is away; the last one repeats."""


class Recorder:
    """The tracker's hand on the database."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository

    async def write(self, before: Generation, after: Generation) -> Generation | None:
        """Write a change however long the database is away; the record that stands now: `after`, or another's."""
        pauses = iter(DATABASE_RETRY_S)
        while True:
            try:
                if await self._repository.apply(before, after):
                    return after
                fresh = await self._repository.get(before.id)
            except DatabaseUnavailable as error:
                log.warning("a step waits for the database", extra={**facts_of(before), "cause": str(error)})
                await asyncio.sleep(next(pauses, DATABASE_RETRY_S[-1]))
            else:
                # A write that timed out may have been committed all the same: then what stands is our own.
                return after if fresh == after else fresh

    async def stamp(self, moments: Iterable[Moment], now: float) -> None:
        """Write down how far the live ones are and that we follow them, all in one statement.

        A restart need not begin at nothing then, and no other replica adopts what is ours.
        """
        try:
            await self._repository.stamp(list(moments), now=now)
        except DatabaseUnavailable as error:
            log.info("progress was not written down", extra={"action": "stamp", "cause": str(error)})


def is_urgent(before: Generation, after: Generation) -> bool:
    """Whether a change has to be on record before anybody hears of it.

    That it is queued or running need not be: a restart finds that out again, and quick jobs are over before it is
    written. What is final, promised to a caller, or would be done twice has to be.
    """
    is_step = after.status in (Status.QUEUED, Status.RUNNING)
    return not is_step or after.outputs != before.outputs or after.prompt_id != before.prompt_id


def facts_of(record: Generation) -> dict[str, object]:
    """What every log line about a generation tells."""
    return {"generation_id": record.id, "prompt_id": record.prompt_id, "backend": record.backend}
