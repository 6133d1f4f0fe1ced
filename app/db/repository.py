"""Generations on record: every read and write of them.

Takes and returns `app.records` values; no row, session or statement leaves this package. Decides nothing about a
generation: what may follow what is the lifecycle's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from app.db import statements
from app.db.errors import AlreadyRecorded
from app.db.group_commit import GroupCommit
from app.db.rows import RowEncoder, to_record
from app.records import Status

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import sqlalchemy as sa

    from app.db.engine import Database
    from app.db.outbox import Outbox
    from app.db.statements import GenerationFilter, Position
    from app.events import Moment
    from app.records import Generation


class Repository:
    """The generations of a database. Methods raise a `DatabaseError`, and never wait longer than its limit.

    Writes are committed by `run`, which somebody has to keep running: the service among its background loops, a command
    or a test with `async with Repository(database)`.
    """

    def __init__(self, database: Database, *, max_waiting_writes: int = 4096, outbox: Outbox | None = None) -> None:
        self._database, self._outbox = database, outbox
        self._encoder = RowEncoder(database.dialect)
        self._commits = GroupCommit(database, limit=max_waiting_writes)
        self._running = AsyncExitStack()
        self.ended = Counter[Status]()
        """Generations whose end was written here, since the start."""

    async def run(self) -> None:
        """Commit writes until `close` or cancellation. Run it once."""
        await self._commits.run()

    async def close(self) -> None:
        """Take no more writes; `run` ends when those waiting are committed."""
        await self._commits.close()

    async def __aenter__(self) -> Self:
        group = await self._running.enter_async_context(asyncio.TaskGroup())
        group.create_task(self.run(), name="group-commit")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()
        # Without the block's error: the group would cancel the writer for it, and wrap it.
        await self._running.aclose()

    async def add(self, record: Generation, *, workflow: Mapping[str, Any], request: Mapping[str, Any]) -> None:
        """Put a new generation on record; committed when this returns. Times are kept to the microsecond.

        Raises `AlreadyRecorded`, and changes nothing, if its id, prompt_id or idempotency key is taken.
        """
        if not await self._commits.write(self._encoder.insertion(record, workflow, request)):
            raise AlreadyRecorded(record.id)

    async def apply(self, before: Generation, after: Generation) -> bool:
        """Replace `before` by `after`, whose version is one higher; committed when this returns.

        False, and nothing was changed: the record has another version by now, or is gone. Receivers of webhooks that
        want to be told of it are on record in the same transaction.
        """
        deliveries = () if self._outbox is None else await self._outbox.of_change(before, after)
        is_written = await self._commits.write(self._encoder.change(before, after, deliveries))
        if is_written and deliveries and self._outbox is not None:
            self._outbox.written()
        if is_written and after.is_terminal and not before.is_terminal:
            self.ended[after.status] += 1
        return is_written

    async def get(self, generation_id: str) -> Generation | None:
        return await self._one(statements.BY_ID, generation_id)

    async def by_prompt_id(self, prompt_id: str) -> Generation | None:
        return await self._one(statements.BY_PROMPT_ID, prompt_id)

    async def by_idempotency_key(self, key: str) -> Generation | None:
        return await self._one(statements.BY_IDEMPOTENCY_KEY, key)

    async def forget_key(self, key: str, before: float) -> bool:
        """Let an idempotency key be used anew. False if it names no generation that was made before then."""
        parameters = {"value": key, "before": before}
        return await self._database.write_statement(
            lambda c: c.execute(statements.FORGET_KEY, parameters).rowcount == 1
        )

    async def overdue(self, now: float) -> tuple[Generation, ...]:
        """Those still waiting for a backend whose deadline has passed."""
        parameters = {"now": now}
        rows = await self._database.read(lambda c: c.execute(statements.OVERDUE, parameters).all())
        return tuple(map(to_record, rows))

    async def workflow(self, generation_id: str) -> dict[str, Any] | None:
        """The graph that was to run, or None if there is no such generation."""
        return await self._document(statements.WORKFLOW, generation_id)

    async def request(self, generation_id: str) -> dict[str, Any] | None:
        """What the caller asked for, or None if there is no such generation."""
        return await self._document(statements.REQUEST, generation_id)

    async def list(
        self, filters: GenerationFilter, *, limit: int, after: Position | None = None
    ) -> tuple[Generation, ...]:
        """At most `limit` records, newest first; the next page is after the `Position.of` the last one."""
        return await self._many(statements.page(filters, limit, after))

    async def claim(
        self, *, backend: str, client_id: str, owner: str, limit: int, now: float, least: int = statements.LEAST
    ) -> tuple[tuple[Generation, dict[str, Any]], ...]:
        """Bind up to `limit` waiting generations to a backend that could run them, those whose turn it is.

        No two claims get the same one; none gets one of a priority below `least`.
        They come back as they are now on record, each with its workflow, first in turn first.
        """
        owned = {"new_backend": backend, "new_client_id": client_id, "new_owner": owner, "new_owner_seen_at": now}
        parameters = owned | {"rows": limit, "least": least, "able_pattern": statements.able_pattern(backend)}
        rows = await self._database.write_statement(lambda c: c.execute(statements.CLAIM, parameters).all())
        claimed = [(to_record(row[:-1]), row[-1]) for row in rows]
        return tuple(sorted(claimed, key=lambda each: statements.turn(each[0])))

    async def release(self, backends: Sequence[str]) -> None:
        """Let any backend run what waits for one that is not among these: it is not there any more."""
        statement = statements.release(backends)
        await self._database.write(lambda connection: connection.execute(statement))

    async def unfinished(self, owner: str | None = None) -> tuple[Generation, ...]:
        """Every claimed generation that has not ended, of one owner or of all, oldest first."""
        return await self._many(statements.unfinished(owner))

    async def orphans(self, seen_before: float) -> tuple[Generation, ...]:
        """Those of `unfinished` that no owner has stamped since."""
        return await self._many(statements.orphans(seen_before))

    async def pending_count(self, least: int = statements.LEAST) -> int:
        """How many wait for a backend, of that priority or a higher one. What a batch holds back is not among them."""
        return await self._count(statements.WAITING_COUNT, {"least": least})

    async def pending_ahead_of(self, record: Generation) -> int:
        """How many of those waiting have their turn before this one, whether or not it waits itself."""
        place = {"priority": record.priority, "created_at": record.created_at, "id": record.id}
        if record.batch_id is None:
            return await self._count(statements.WAITING_AHEAD, place)
        return await self._count(statements.ITEMS_AHEAD, place | {"batch_id": record.batch_id})

    async def pending_order(self, limit: int) -> tuple[str, ...]:
        """The ids of those waiting, first in turn first."""
        parameters = {"rows": limit}
        return tuple(await self._database.read(lambda c: c.scalars(statements.WAITING_ORDER, parameters).all()))

    async def stamp(self, moments: Sequence[Moment], *, now: float) -> None:
        """Note the live numbers of these generations, and that their owner lives; what has ended stays as it is.

        A restart shows these numbers until it knows better.
        """
        parameters = [
            {
                "value": moment.generation_id,
                "new_step": moment.step,
                "new_total_steps": moment.total_steps,
                "new_percentage": moment.percentage,
                "new_owner_seen_at": now,
            }
            for moment in moments
        ]
        if parameters:
            await self._database.write(lambda connection: connection.execute(statements.STAMP, parameters))

    async def delete(self, generation_id: str) -> bool:
        """Forget a generation. False if there was none."""
        parameters = {"value": generation_id}
        return await self._database.write_statement(lambda c: c.execute(statements.DELETE, parameters).rowcount == 1)

    async def ping(self) -> None:
        """Return if the database answers."""
        await self._database.ping()

    async def _one(self, statement: sa.Select[Any], value: str) -> Generation | None:
        row = await self._database.read(lambda connection: connection.execute(statement, {"value": value}).first())
        return None if row is None else to_record(row)

    async def _many(self, statement: sa.Select[Any]) -> tuple[Generation, ...]:
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return tuple(map(to_record, rows))

    async def _document(self, statement: sa.Select[Any], generation_id: str) -> dict[str, Any] | None:
        parameters = {"value": generation_id}
        found: dict[str, Any] | None = await self._database.read(lambda c: c.execute(statement, parameters).scalar())
        return found

    async def _count(self, statement: sa.Select[Any], parameters: dict[str, Any]) -> int:
        count: int = await self._database.read(lambda c: c.execute(statement, parameters).scalar_one())
        return count
