"""Brings a database to the newest schema.

Owns how Alembic is configured: in code, so that an installed wheel needs no file beside it. Touches no data itself.
A database that is up to date never needs Alembic, which takes 10 MB and a tenth of a second to import.

Its functions block and start an event loop of their own for PostgreSQL: call them from a thread
(`await asyncio.to_thread(migrate, url)`) or from a command. Raises a `DatabaseError`.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import sqlalchemy as sa

import migrations
from app.db import postgres, sqlite
from app.db.engine import parsed_url
from app.db.errors import UnknownRevision

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.config import Config

T = TypeVar("T")

_FOLDER: Final = Path(migrations.__file__).parent
# Any number will do, as long as it is nobody else's in the same database.
_ADVISORY_LOCK: Final = 0x636F6D66_79726C79
_CONNECT_TIMEOUT_S: Final = 10.0
# As long as another replica's migration may take before we give up on our turn.
_LOCK_TIMEOUT_S: Final = 300.0


def migrate(url: str, revision: str = "head") -> None:
    """Upgrade to a revision. Several replicas may start at once: one migrates, the others wait and find it done."""
    wanted = newest_revision() if revision == "head" else revision

    def upgrade(connection: sa.Connection) -> None:
        stored = _stored_revision(connection)
        if stored is not None and stored not in _revisions():
            raise UnknownRevision(stored)
        if stored != wanted:
            from alembic import command  # noqa: PLC0415 - see above

            command.upgrade(configuration(connection), revision)

    _in_transaction(url, upgrade)


def downgrade(url: str, revision: str) -> None:
    """Go back to a revision; `base` removes everything."""
    from alembic import command  # noqa: PLC0415 - see above

    _in_transaction(url, lambda connection: command.downgrade(configuration(connection), revision))


def current_revision(url: str) -> str | None:
    """The revision the database is at; None before the first migration."""
    return _in_transaction(url, _stored_revision)


def newest_revision() -> str:
    """The one that `head` means: revisions are called like their files, which begin with their day."""
    return max(_revisions())


def _revisions() -> frozenset[str]:
    return frozenset(path.stem for path in (_FOLDER / "versions").glob("[0-9]*.py"))


def configuration(connection: sa.Connection | None = None) -> Config:
    """Alembic's configuration; `migrations/env.py` takes the connection from it."""
    from alembic.config import Config  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "%%(year)d%%(month).2d%%(day).2d_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _stored_revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _in_transaction(url: str, work: Callable[[sa.Connection], T]) -> T:
    """Run work in one transaction that no other migration runs beside."""
    parsed = parsed_url(url)
    if parsed.drivername == "postgresql":
        return asyncio.run(_in_postgres(parsed, work))
    Path(parsed.database or "").parent.mkdir(parents=True, exist_ok=True)
    engine = sqlite.sqlite_engine(parsed, busy_timeout_s=_LOCK_TIMEOUT_S, connections=1)
    try:
        with sqlite.translated(), sqlite.sqlite_transaction(engine) as connection:
            return work(connection)
    finally:
        engine.dispose()


async def _in_postgres(url: sa.URL, work: Callable[[sa.Connection], T]) -> T:
    settings = {"lock_timeout": f"{_LOCK_TIMEOUT_S:.0f}s"}
    engine = postgres.postgres_engine(url, connect_timeout_s=_CONNECT_TIMEOUT_S, settings=settings)
    try:
        async with postgres.translated(), engine.begin() as connection:
            await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ADVISORY_LOCK)))
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
