"""Callers' own templates on record: every version of each, and which one is in force.

Owns the queries on the table `templates`. A version is never changed; a removed template keeps its versions, because
generations name the one they ran.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from app.db.errors import AlreadyRecorded, DatabaseRefused
from app.db.models import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.db.engine import Database

_C: Final = TEMPLATES.c
_FIELDS: Final = (_C.name, _C.version, _C.created_at, _C.definition, _C.workflow)
_NEWEST: Final = (
    sa.select(_C.name, sa.func.max(_C.version).label("version"))
    .where(_C.removed_at.is_(None))
    .group_by(_C.name)
    .subquery()
)
_ALL: Final = (
    sa.select(*_FIELDS)
    .join(_NEWEST, (_C.name == _NEWEST.c.name) & (_C.version == _NEWEST.c.version))
    .order_by(_C.name)
    .limit(sa.bindparam("rows", type_=sa.Integer))
)
_NAME: Final = sa.bindparam("value", type_=_C.name.type)
_VERSION: Final = sa.select(sa.func.max(_C.version)).where(_C.name == _NAME, _C.removed_at.is_(None))
# Both in one statement: between two of them another replica may commit.
_VERSIONS: Final = sa.select(
    sa.func.max(_C.version), sa.func.max(sa.case((_C.removed_at.is_(None), _C.version)))
).where(_C.name == _NAME)
_ONE: Final = sa.select(*_FIELDS).where(_C.name == _NAME, _C.version == sa.bindparam("number", type_=sa.BigInteger))
_REMOVE: Final = (
    sa.update(TEMPLATES)
    .where(_C.name == _NAME, _C.removed_at.is_(None))
    .values(removed_at=sa.bindparam("now", type_=_C.removed_at.type))
)


@dataclass(frozen=True, slots=True)
class StoredTemplate:
    """One version of a template, as the two files of a built-in one would say it."""

    name: str
    version: int
    created_at: float
    definition: Mapping[str, Any]
    workflow: Mapping[str, Any]


class TemplateShelf:
    """Methods raise a `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def version(self, name: str) -> int | None:
        """The version in force; None if there is no such template, or not any more."""
        parameters = {"value": name}
        found: int | None = await self._database.read(lambda c: c.execute(_VERSION, parameters).scalar())
        return found

    async def get(self, name: str, version: int) -> StoredTemplate | None:
        """This very version, whether or not it is in force."""
        parameters = {"value": name, "number": version}
        row = await self._database.read(lambda c: c.execute(_ONE, parameters).first())
        return None if row is None else StoredTemplate(*row)

    async def all(self, limit: int) -> tuple[StoredTemplate, ...]:
        """Those in force, by name."""
        rows = await self._database.read(lambda c: c.execute(_ALL, {"rows": limit}).all())
        return tuple(StoredTemplate(*row) for row in rows)

    async def add(
        self,
        name: str,
        definition: Mapping[str, Any],
        workflow: Mapping[str, Any],
        *,
        now: float,
        is_new: bool = False,
    ) -> StoredTemplate:
        """The next version, in force from now on. Raises `AlreadyRecorded` if somebody was faster, and with `is_new`
        if there is a version in force.
        """
        contents = {"created_at": now, "definition": dict(definition), "workflow": dict(workflow)}

        def insert(connection: sa.Connection) -> int | None:
            last, in_force = connection.execute(_VERSIONS, {"value": name}).one()
            if is_new and in_force is not None:
                return None
            number = int(last or 0) + 1
            connection.execute(sa.insert(TEMPLATES), {"name": name, "version": number, **contents})
            return number

        try:
            version = await self._database.write(insert)
        except DatabaseRefused as error:
            raise AlreadyRecorded(name) from error
        if version is None:
            raise AlreadyRecorded(name)
        return StoredTemplate(name, version, now, definition, workflow)

    async def remove(self, name: str, *, now: float) -> bool:
        """Take a template out of force. False if there was none."""
        parameters = {"value": name, "now": now}
        return await self._database.write_statement(lambda c: c.execute(_REMOVE, parameters).rowcount > 0)
