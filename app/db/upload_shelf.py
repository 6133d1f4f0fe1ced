"""Uploads on record. Takes and returns `app.intake` values; no row leaves this package, and no file is touched here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.db.models import UPLOADS
from app.intake import Upload
from app.records import OutputKind

if TYPE_CHECKING:
    from app.db.engine import Database

_FIELDS: Final = Upload.__struct_fields__
_COLUMNS: Final = tuple(UPLOADS.c[name] for name in _FIELDS)
# Made once: SQLAlchemy takes longer to build a statement than the database to run it.
_BY_ID: Final = sa.select(*_COLUMNS).where(UPLOADS.c.id == sa.bindparam("value"))
_BY_CONTENT: Final = sa.select(*_COLUMNS).where(UPLOADS.c.sha256 == sa.bindparam("value"))
_MOVE: Final = (
    sa.update(UPLOADS)
    .values(location=sa.bindparam("new_location"))
    .where(UPLOADS.c.id == sa.bindparam("value"), UPLOADS.c.location == sa.bindparam("old_location"))
)
_INSERTS: Final[dict[str, sa.Insert]] = {
    "sqlite": sqlite.insert(UPLOADS).on_conflict_do_nothing(index_elements=["sha256"]),
    "postgresql": postgresql.insert(UPLOADS).on_conflict_do_nothing(index_elements=["sha256"]),
}


class UploadShelf:
    """The uploads of a database, one per content. Methods raise a `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, upload: Upload) -> Upload:
        """Put an upload on record, unless its content is there already: then that one is the answer, unchanged."""
        values = {name: getattr(upload, name) for name in _FIELDS} | {"kind": upload.kind.value}

        def work(connection: sa.Connection) -> sa.Row[Any]:
            connection.execute(_INSERTS[connection.dialect.name], values)
            return connection.execute(_BY_CONTENT, {"value": upload.sha256}).one()

        return _to_upload(await self._database.write(work))

    async def get(self, upload_id: str) -> Upload | None:
        return await self._one(_BY_ID, upload_id)

    async def by_content(self, sha256: str) -> Upload | None:
        """The upload of exactly these bytes, by their SHA-256 in hexadecimal."""
        return await self._one(_BY_CONTENT, sha256)

    async def move(self, upload: Upload, location: str) -> bool:
        """Note that the file is elsewhere now. False, and nothing was changed: somebody else noted that before."""
        parameters = {"value": upload.id, "old_location": upload.location, "new_location": location}
        return await self._database.write_statement(lambda c: c.execute(_MOVE, parameters).rowcount == 1)

    async def _one(self, statement: sa.Select[Any], value: str) -> Upload | None:
        row = await self._database.read(lambda connection: connection.execute(statement, {"value": value}).first())
        return None if row is None else _to_upload(row)


def _to_upload(row: sa.Row[Any]) -> Upload:
    values = dict(zip(_FIELDS, row, strict=True))
    return Upload(**{**values, "kind": OutputKind(values["kind"])})
