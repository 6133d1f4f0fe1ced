"""Commits the writes of many callers together.

Owns the queue of waiting writes and the one loop that commits them. Knows nothing of records: a write is a row's
values, its answer is whether it was written.

While one transaction is being committed, the writes that arrive wait and make up the next: no timer, so a single
caller waits for nothing, and 32 callers share one commit.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.db.bulk import write_rows
from app.db.errors import DatabaseError, DatabaseRefused, DatabaseTimeout, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.db.engine import Database
    from app.db.rows import RowWrite

log = logging.getLogger(__name__)

# A transaction of so many rows takes some 10 ms: long enough to share its commit, short for whoever waits.
_BATCH: Final = 128


@dataclass(frozen=True, slots=True)
class _Waiting:
    write: RowWrite
    written: asyncio.Future[bool]


class GroupCommit:
    """The one writer of rows in this process.

    At most `limit` writes wait; past it a caller waits to be let in, within its own time limit. `run` must be
    running for any write to be done.
    """

    def __init__(self, database: Database, *, limit: int = 4096) -> None:
        self._database = database
        self._queue: asyncio.Queue[_Waiting | None] = asyncio.Queue(limit)
        self._later: list[_Waiting] = []
        self._closed = self._ended = False

    async def write(self, write: RowWrite) -> bool:
        """Whether the row was written, and then it is committed. Raises a `DatabaseError`.

        A caller that is canceled, or out of time, before its turn leaves nothing behind; during the commit its row may
        be written. Others are not touched by it.
        """
        if self._closed:
            raise DatabaseUnavailable("closed")
        waiting = _Waiting(write, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(self._database.timeout_s):
                await self._queue.put(waiting)
                return await waiting.written
        except TimeoutError as error:
            raise DatabaseTimeout(self._database.timeout_s) from error

    async def run(self) -> None:
        """Commit what arrives until `close`; then, or when canceled, nobody is left waiting."""
        try:
            while not self._ended or self._later:
                if batch := await self._next_batch():
                    await self._commit(batch)
        finally:
            self._closed = True
            self._fail_the_rest()

    async def close(self) -> None:
        """Let `run` end when everything now waiting is committed; later writes are refused."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.wait_for(self._queue.put(None), self._database.timeout_s)
        except TimeoutError as error:
            raise DatabaseTimeout(self._database.timeout_s) from error

    async def _next_batch(self) -> list[_Waiting]:
        """What waits now, at most one write per generation: a second one has to see the first."""
        candidates, self._later = self._later, []
        if not candidates:
            self._take(await self._queue.get(), candidates)
        while len(candidates) < _BATCH and not self._queue.empty():
            self._take(self._queue.get_nowait(), candidates)
        batch: dict[str, _Waiting] = {}
        for waiting in candidates:
            if waiting.written.done():
                continue
            if batch.setdefault(waiting.write.generation_id, waiting) is not waiting:
                self._later.append(waiting)
        return list(batch.values())

    def _take(self, waiting: _Waiting | None, candidates: list[_Waiting]) -> None:
        if waiting is None:
            self._ended = True
        else:
            candidates.append(waiting)

    async def _commit(self, batch: Sequence[_Waiting]) -> None:
        writes = [waiting.write for waiting in batch]
        is_one_statement = len(writes) == 1 and not writes[0].deliveries
        run = self._database.write_statement if is_one_statement else self._database.write
        try:
            outcomes = await run(lambda connection: write_rows(connection, writes))
        except DatabaseRefused as error:
            await self._commit_alone(batch, error)
        except DatabaseError as error:
            log.warning(
                "writes were not committed", extra={"action": "commit", "writes": len(batch), "why": str(error)}
            )
            _fail(batch, error)
        else:
            for waiting, written in zip(batch, outcomes, strict=True):
                if not waiting.written.done():
                    waiting.written.set_result(written)
        finally:
            _fail(batch, DatabaseUnavailable("interrupted"))

    async def _commit_alone(self, batch: Sequence[_Waiting], error: DatabaseRefused) -> None:
        """One value was refused and took the transaction with it: the others' rows are good."""
        if len(batch) == 1:
            log.error("a write was refused", extra={"action": "commit", "generation_id": batch[0].write.generation_id})
            _fail(batch, error)
            return
        for waiting in batch:
            await self._commit([waiting])

    def _fail_the_rest(self) -> None:
        rest = self._later
        while not self._queue.empty():
            self._take(self._queue.get_nowait(), rest)
        _fail(rest, DatabaseUnavailable("closed"))


def _fail(batch: Sequence[_Waiting], error: DatabaseError) -> None:
    """Tell those who have no answer yet."""
    for waiting in batch:
        if not waiting.written.done():
            waiting.written.set_exception(error)
