"""Assets on record. Takes and returns `app.asset_records` values; no row leaves this package and no file is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.asset_records import Asset
from app.db.models import ASSETS, GENERATIONS

if TYPE_CHECKING:
    from app.db.engine import Database

_C: Final = ASSETS.c
_FIELDS: Final = Asset.__struct_fields__
_COLUMNS: Final = tuple(_C[name] for name in _FIELDS)
_KEY: Final = sa.bindparam("spent_key", type_=_C.idempotency_key.type)
_SINCE: Final = sa.bindparam("since", type_=_C.created_at.type)
# Made once: SQLAlchemy takes longer to build a statement than the database to run it.
_BY_ID: Final = sa.select(*_COLUMNS).where(_C.id == sa.bindparam("value"))
_BY_HASH: Final = (
    sa.select(*_COLUMNS).where(_C.hash == sa.bindparam("value")).order_by(_C.created_at.desc(), _C.id).limit(1)
)
_SPENT: Final = sa.select(_C.id).where(_C.idempotency_key == _KEY, _C.created_at >= _SINCE)
_FREE: Final = sa.update(ASSETS).values(idempotency_key=None).where(_C.idempotency_key == _KEY, _C.created_at < _SINCE)
_DELETE: Final = sa.delete(ASSETS).where(_C.id == sa.bindparam("value"))
_GENERATION: Final = sa.select(GENERATIONS.c.id).where(
    GENERATIONS.c.id >= sa.bindparam("first_id"), GENERATIONS.c.id <= sa.bindparam("last_id")
)
_INSERTS: Final[dict[str, Any]] = {
    "sqlite": sqlite.insert(ASSETS).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(ASSETS).on_conflict_do_nothing(),
}


class AssetShelf:
    """The assets of a database. Methods raise a `DatabaseError`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, asset: Asset, *, keys_since: float) -> bool:
        """Put it on record. False, and nothing was changed: its key is spent. Keys spent before `keys_since` are free
        again.
        """
        values = {name: getattr(asset, name) for name in _FIELDS}

        def work(connection: sa.Connection) -> bool:
            if asset.idempotency_key is not None:
                connection.execute(_FREE, {"spent_key": asset.idempotency_key, "since": keys_since})
            return connection.execute(_INSERTS[connection.dialect.name], values).rowcount == 1

        return await self._database.write(work)

    async def is_spent(self, key: str, since: float) -> bool:
        """Whether an asset was made under this key since then."""
        parameters = {"spent_key": key, "since": since}
        return await self._database.read(lambda c: c.execute(_SPENT, parameters).first()) is not None

    async def get(self, asset_id: str) -> Asset | None:
        return await self._one(_BY_ID, asset_id)

    async def by_hash(self, content: str) -> Asset | None:
        """The newest of this content."""
        return await self._one(_BY_HASH, content)

    async def delete(self, asset_id: str) -> bool:
        """Forget an asset; the upload it names stays. False if there was none."""
        parameters = {"value": asset_id}
        return await self._database.write_statement(lambda c: c.execute(_DELETE, parameters).rowcount == 1)

    async def generation_between(self, first_id: str, last_id: str) -> str | None:
        """The id of the generation in this range of ids, both included, which is too narrow for two."""
        parameters = {"first_id": first_id, "last_id": last_id}
        found: str | None = await self._database.read(lambda c: c.execute(_GENERATION, parameters).scalar())
        return found

    async def _one(self, statement: sa.Select[Any], value: str) -> Asset | None:
        row = await self._database.read(lambda connection: connection.execute(statement, {"value": value}).first())
        return None if row is None else Asset(**dict(zip(_FIELDS, row, strict=True)))
