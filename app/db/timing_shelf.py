"""What runs took, kept by kind: every read and write of the table `timings`.

Knows nothing of what is inside the samples. Whoever writes last is believed: two replicas that learned of the same kind
both know enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.models import TIMINGS, JsonObject

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from app.db.engine import Database

_C: Final = TIMINGS.c


class TimingShelf:
    """The stored profiles of a database. Methods raise a `DatabaseError`, and never wait longer than its limit."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(self, profiles: Collection[str]) -> dict[str, JsonObject]:
        """The samples of those that are there."""
        if not profiles:
            return {}
        statement = sa.select(_C.profile, _C.samples).where(_C.profile.in_(profiles))
        rows = await self._database.read(lambda connection: connection.execute(statement).all())
        return {row[0]: row[1] for row in rows}

    async def write(self, samples: Mapping[str, JsonObject], *, now: float) -> None:
        """Add profiles, or replace what is kept of them; all or none."""
        rows = [{"profile": name, "samples": each, "updated_at": now} for name, each in samples.items()]
        if rows:
            await self._database.write(lambda connection: connection.execute(_upsert(connection.dialect.name), rows))

    async def prune(self, keep: int) -> int:
        """Forget all but the `keep` profiles written last; how many were forgotten."""
        old = sa.select(_C.profile).order_by(_C.updated_at.desc(), _C.profile).offset(keep)
        statement = sa.delete(TIMINGS).where(_C.profile.in_(old))
        return await self._database.write_statement(lambda connection: connection.execute(statement).rowcount)


def _upsert(dialect: str) -> sa.Executable:
    statement: Any = (postgresql if dialect == "postgresql" else sqlite).insert(TIMINGS)
    changed = {"samples": statement.excluded.samples, "updated_at": statement.excluded.updated_at}
    upsert: sa.Executable = statement.on_conflict_do_update(index_elements=[_C.profile], set_=changed)
    return upsert
