"""Batches on record, and the items in them: every query over a batch. Takes and returns values; no row leaves this
package.

Items are generations. They are written a few at a time and held back until the batch is accepted, so that no
transaction holds others up and a crash leaves nothing that would run. Writing an item again changes nothing: its place
in its batch is unique.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.batch_records import UNFINISHED, Batch
from app.db.bulk import write_rows
from app.db.models import BATCHES, GENERATIONS, UNCLAIMED
from app.db.outbox import insert_deliveries
from app.db.rows import RECORD_COLUMNS, RowEncoder, to_record
from app.records import TERMINAL, Generation, Status

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from app.db.engine import Database
    from app.db.outbox import Outbox

Item = tuple[Generation, dict[str, Any], dict[str, Any]]
"""A new item: its record, its workflow, what was asked for."""

_B: Final = BATCHES.c
_G: Final = GENERATIONS.c
_FIELDS: Final = Batch.__struct_fields__
_COLUMNS: Final = tuple(_B[name] for name in _FIELDS)
_BATCH: Final = sa.bindparam("batch_id", type_=_B.id.type)
_INSTANT: Final = _B.created_at.type
_ROWS: Final = sa.bindparam("rows", type_=sa.Integer)
_OPEN: Final = tuple(sorted(UNFINISHED))
# Made once: SQLAlchemy takes longer to build a statement than the database to run it.
_BY_ID: Final = sa.select(*_COLUMNS).where(_B.id == _BATCH)
_LOCKED: Final = _BY_ID.with_for_update()
_BY_KEY: Final = sa.select(*_COLUMNS).where(_B.idempotency_key == sa.bindparam("value", type_=_B.id.type))
_ACTIVE: Final = sa.select(*_COLUMNS).where(_B.completed_at.is_(None)).order_by(_B.created_at, _B.id)
# Also one that was over has work again.
_TOUCH: Final = (
    sa.update(BATCHES)
    .values(touched_at=sa.bindparam("now", type_=_INSTANT), completed_at=None)
    .where(_B.id == sa.bindparam("touched_id"))
)
_REOPEN: Final = (
    sa.update(BATCHES).values(completed_at=None, cancel_requested_at=None).where(_B.id == sa.bindparam("touched_id"))
)
_KNOWN: Final = sa.select(_G.batch_index, _G.item_key, _G.fingerprint).where(
    _G.batch_id == _BATCH, _G.batch_index.is_not(None)
)
_RECENT: Final = (
    sa.select(_G.completed_at)
    .where(_G.batch_id == _BATCH, _G.completed_at.is_not(None))
    .order_by(_G.completed_at.desc())
    .limit(_ROWS)
)
_ENDED: Final = (
    sa.select(*RECORD_COLUMNS)
    .where(_G.batch_id == _BATCH, _G.completed_at > sa.bindparam("after", type_=_INSTANT))
    .order_by(_G.completed_at, _G.id)
    .limit(_ROWS)
)
_RELEASED: Final = (
    sa.select(sa.func.count())
    .select_from(GENERATIONS)
    .where(_G.batch_id == _BATCH, _G.held_at.is_(None), _G.status.in_(_OPEN))
)
_COUNTS_OF_ONE: Final = sa.select(_G.status, sa.func.count()).where(_G.batch_id == _BATCH).group_by(_G.status)
_NEXT_HELD: Final = (
    sa.select(_G.id)
    .where(_G.batch_id == _BATCH, _G.held_at.is_not(None), sa.text(UNCLAIMED))
    .order_by(_G.created_at, _G.id)
    .limit(_ROWS)
)
_OPEN_ITEMS: Final = (
    sa.select(_G.id)
    .where(_G.batch_id == _BATCH, _G.status.in_([each for each in _OPEN if each is not Status.CANCELING]))
    .limit(_ROWS)
)


class BatchShelf:
    """The batches of a database. Methods raise a `DatabaseError`."""

    def __init__(self, database: Database, outbox: Outbox | None = None) -> None:
        self._database, self._outbox = database, outbox
        self._encoder = RowEncoder(database.dialect)

    async def get(self, batch_id: str) -> Batch | None:
        row = await self._database.read(lambda c: c.execute(_BY_ID, {"batch_id": batch_id}).first())
        return None if row is None else _to_batch(row)

    async def by_key(self, key: str) -> Batch | None:
        """The batch of this idempotency key."""
        row = await self._database.read(lambda c: c.execute(_BY_KEY, {"value": key}).first())
        return None if row is None else _to_batch(row)

    async def list(self, limit: int, before: tuple[float, str] | None = None) -> tuple[Batch, ...]:
        """At most `limit` accepted ones, newest first, after the one created at `before` with that id."""
        statement = sa.select(*_COLUMNS).where(_B.accepted_at.is_not(None))
        if before is not None:
            place = sa.tuple_(sa.literal(before[0], type_=_INSTANT), sa.literal(before[1], type_=_B.id.type))
            statement = statement.where(sa.tuple_(_B.created_at, _B.id) < place)
        statement = statement.order_by(_B.created_at.desc(), _B.id.desc()).limit(limit)
        rows = await self._database.read(lambda c: c.execute(statement).all())
        return tuple(map(_to_batch, rows))

    async def active(self) -> tuple[Batch, ...]:
        """Every batch that is not completed, also those still being written, oldest first."""
        return tuple(map(_to_batch, await self._database.read(lambda c: c.execute(_ACTIVE).all())))

    async def add(self, batch: Batch) -> bool:
        """Put a batch without items on record; False, and nothing was changed, if its key is taken."""
        values = {name: getattr(batch, name) for name in _FIELDS}
        insert: Any = (postgresql if self._database.dialect.name == "postgresql" else sqlite).insert(BATCHES)
        statement: sa.Insert = insert.values(values).on_conflict_do_nothing()
        return await self._database.write(lambda c: c.execute(statement).rowcount == 1)

    async def known(self, batch_id: str) -> dict[int, tuple[str | None, str | None]]:
        """The items on record: key and fingerprint of each, by its index."""
        rows = await self._database.read(lambda c: c.execute(_KNOWN, {"batch_id": batch_id}).all())
        return {index: (key, fingerprint) for index, key, fingerprint in rows}

    async def write_items(self, batch_id: str, items: Sequence[Item], *, now: float) -> None:
        """Put items on record, held back; those already there stay as they are. A few at a time: it is one commit."""
        rows = [self._encoder.insertion(record, workflow, asked, held_at=now) for record, workflow, asked in items]

        def work(connection: sa.Connection) -> None:
            write_rows(connection, rows)
            connection.execute(_TOUCH, {"touched_id": batch_id, "now": now})

        await self._database.write(work)

    async def accept(self, batch_id: str, *, total: int, fingerprint: str, now: float) -> None:
        """Every item is on record: from now on their turn may come."""
        values = {"total": total, "fingerprint": fingerprint, "completed_at": None}
        accepted = sa.func.coalesce(_B.accepted_at, sa.literal(now, type_=_INSTANT))
        statement = sa.update(BATCHES).values(**values, accepted_at=accepted).where(_B.id == batch_id)
        await self._database.write(lambda c: c.execute(statement))

    async def counts(self, batch_ids: Collection[str]) -> dict[str, dict[Status, int]]:
        """How many items of each batch have which status, in one query; a batch without items has an empty one."""
        statement = (
            sa.select(_G.batch_id, _G.status, sa.func.count())
            .where(_G.batch_id.in_(batch_ids))
            .group_by(_G.batch_id, _G.status)
        )
        found: dict[str, dict[Status, int]] = {batch_id: {} for batch_id in batch_ids}
        for batch_id, status, count in await self._database.read(lambda c: c.execute(statement).all()):
            found[batch_id][status] = count
        return found

    async def recent_ends(self, batch_id: str, limit: int) -> tuple[float, ...]:
        """When its latest items ended, latest first."""
        parameters = {"batch_id": batch_id, "rows": limit}
        return tuple(await self._database.read(lambda c: c.scalars(_RECENT, parameters).all()))

    async def ended(self, batch_id: str, after: float, limit: int) -> tuple[Generation, ...]:
        """Items that ended after that moment, in the order of their ends."""
        parameters = {"batch_id": batch_id, "after": after, "rows": limit}
        rows = await self._database.read(lambda c: c.execute(_ENDED, parameters).all())
        return tuple(map(to_record, rows))

    async def items(
        self, batch_id: str, *, after: int, limit: int, statuses: Collection[Status] = ()
    ) -> tuple[Generation, ...]:
        """Items by index, from behind `after`; only those of `statuses`, if any are given."""
        statement = sa.select(*RECORD_COLUMNS).where(_G.batch_id == batch_id, _G.batch_index > after)
        if statuses:
            statement = statement.where(_G.status.in_(statuses))
        statement = statement.order_by(_G.batch_index).limit(limit)
        rows = await self._database.read(lambda c: c.execute(statement).all())
        return tuple(map(to_record, rows))

    async def open_items(self, batch_id: str, limit: int) -> tuple[str, ...]:
        """Ids of some that have not ended and that nobody cancels yet."""
        parameters = {"batch_id": batch_id, "rows": limit}
        return tuple(await self._database.read(lambda c: c.scalars(_OPEN_ITEMS, parameters).all()))

    async def release(self, batch_id: str, *, window: int) -> int:
        """Let the turn of so many come that `window` are under way; how many were let go.

        The count is the database's, under a lock on the batch: no two replicas let go of more together.
        """
        parameters = {"batch_id": batch_id}

        def work(connection: sa.Connection) -> int:
            batch = connection.execute(_LOCKED, parameters).first()
            if batch is None or not _is_open(_to_batch(batch)):
                return 0
            room = window - connection.execute(_RELEASED, parameters).scalar_one()
            if room <= 0:
                return 0
            chosen = _NEXT_HELD.params(batch_id=batch_id, rows=room)
            freed = sa.update(GENERATIONS).values(held_at=None).where(_G.id.in_(chosen))
            return connection.execute(freed).rowcount

        return await self._database.write(work)

    async def request_cancel(self, batch_id: str, *, now: float) -> None:
        """Note, for whichever process comes to it, that what is left of the batch is to end."""
        statement = sa.update(BATCHES).values(cancel_requested_at=now)
        statement = statement.where(_B.id == batch_id, _B.completed_at.is_(None), _B.cancel_requested_at.is_(None))
        await self._database.write(lambda c: c.execute(statement))

    async def complete(self, batch_id: str, *, now: float) -> bool:
        """Note that no item is left unfinished, if that is so and nobody noted it before; who wants to be told of it is
        on record in the same transaction.
        """
        if self._outbox is not None:
            await self._outbox.ensure_known()
        left = sa.exists().where(_G.batch_id == batch_id, _G.status.in_(_OPEN))
        statement = sa.update(BATCHES).values(completed_at=now)
        statement = statement.where(_B.id == batch_id, _B.completed_at.is_(None), _B.accepted_at.is_not(None), ~left)

        def work(connection: sa.Connection) -> bool:
            # Whoever adds to it now is waited for, and seen.
            batch = connection.execute(_LOCKED, {"batch_id": batch_id}).first()
            is_noted = connection.execute(statement).rowcount == 1
            if is_noted and batch is not None and self._outbox is not None:
                found = connection.execute(_COUNTS_OF_ONE, {"batch_id": batch_id}).all()
                insert_deliveries(connection, self._outbox.of_end(_to_batch(batch), dict(found), now))
            return is_noted

        is_completed = await self._database.write(work)
        if is_completed and self._outbox is not None:
            self._outbox.written()
        return is_completed

    async def supersede(self, batch_id: str, pairs: Sequence[tuple[str, Item]], *, now: float) -> int:
        """Put new items in the place of ended ones, which leave the batch; how many.

        Whatever is not there any more, or was superseded already, is passed over: asked twice, it is done once.
        """
        leave = {"batch_id": None, "batch_index": None, "item_key": None, "version": _G.version + 1}

        def work(connection: sa.Connection) -> int:
            done = 0
            for old_id, (record, workflow, asked) in pairs:
                still_there = (_G.id == old_id, _G.batch_id == batch_id, _G.status.in_(TERMINAL))
                if connection.execute(sa.update(GENERATIONS).values(leave).where(*still_there)).rowcount == 1:
                    write_rows(connection, [self._encoder.insertion(record, workflow, asked, held_at=now)])
                    done += 1
            if done:
                connection.execute(_REOPEN, {"touched_id": batch_id})
            return done

        return await self._database.write(work)

    async def remove_abandoned(self, untouched_since: float) -> int:
        """Remove batches that were never accepted and that nobody has added to since; how many."""
        gone = sa.select(_B.id).where(_B.accepted_at.is_(None), _B.touched_at < sa.literal(untouched_since, _INSTANT))

        def work(connection: sa.Connection) -> int:
            ids = connection.scalars(gone.with_for_update()).all()
            if ids:
                connection.execute(sa.delete(GENERATIONS).where(_G.batch_id.in_(ids)))
                connection.execute(sa.delete(BATCHES).where(_B.id.in_(ids)))
            return len(ids)

        return await self._database.write(work)

    async def waiting(self) -> int:
        """How many items of all batches wait for a server."""
        active = [batch.id for batch in await self.active()]
        counted: defaultdict[Status, int] = defaultdict(int)
        for counts in (await self.counts(active)).values():
            for status, count in counts.items():
                counted[status] += count
        return counted[Status.PENDING]


def _is_open(batch: Batch) -> bool:
    """Whether the turn of its items may come."""
    return batch.accepted_at is not None and batch.cancel_requested_at is None


def _to_batch(row: sa.Row[Any]) -> Batch:
    return Batch(**dict(zip(_FIELDS, row, strict=True)))
