"""Projects on record: callers' names for generations that belong together. Owns the queries on the table `projects`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from app.db.errors import DatabaseRefused
from app.db.models import GENERATIONS, PROJECTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.db.engine import Database

_C: Final = PROJECTS.c
_G: Final = GENERATIONS.c
_FIELDS: Final = (_C.id, _C.title, _C.metadata, _C.created_at)
_ID: Final = sa.bindparam("value", type_=_C.id.type)
_ONE: Final = sa.select(*_FIELDS).where(_C.id == _ID)
_COUNTS: Final = sa.select(_G.status, sa.func.count()).where(_G.project_id == _ID).group_by(_G.status)


@dataclass(frozen=True, slots=True)
class Project:
    """A project. `title` and `metadata` are the caller's; one that came up by being used has neither."""

    id: str
    title: str | None
    metadata: Mapping[str, Any]
    created_at: float


class ProjectShelf:
    """Methods raise a `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, project_id: str) -> Project | None:
        row = await self._database.read(lambda c: c.execute(_ONE, {"value": project_id}).first())
        return None if row is None else Project(*row)

    async def list(self, limit: int, before: tuple[float, str] | None = None) -> tuple[Project, ...]:
        """At most `limit`, newest first, after the one created at `before` with that id."""
        statement = sa.select(*_FIELDS).order_by(_C.created_at.desc(), _C.id.desc()).limit(limit)
        if before is not None:
            place = sa.tuple_(sa.literal(before[0], type_=_C.created_at.type), sa.literal(before[1], type_=_C.id.type))
            statement = statement.where(sa.tuple_(_C.created_at, _C.id) < place)
        rows = await self._database.read(lambda c: c.execute(statement).all())
        return tuple(Project(*row) for row in rows)

    async def counts(self, project_id: str) -> dict[str, int]:
        """How many generations it has, by status."""
        rows = await self._database.read(lambda c: c.execute(_COUNTS, {"value": project_id}).all())
        return {str(status): count for status, count in rows}

    async def add(self, project: Project) -> bool:
        """Put it on record; False, and nothing was changed, if there is one of this id."""
        values = {
            "id": project.id,
            "title": project.title,
            "metadata": dict(project.metadata),
            "created_at": project.created_at,
        }

        def insert(connection: sa.Connection) -> bool:
            known = connection.execute(_ONE, {"value": project.id}).first() is not None
            if not known:
                connection.execute(sa.insert(PROJECTS), values)
            return not known

        try:
            return await self._database.write(insert)
        except DatabaseRefused:  # Another replica inserted it between the two statements.
            return False
