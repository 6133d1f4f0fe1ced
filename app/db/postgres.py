"""PostgreSQL: a pool of asyncpg connections and what its errors mean.

Owns the pool. Never used by another module than `engine.py` and `migration.py`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app.db.errors import DatabaseError, DatabaseRefused, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

T = TypeVar("T")

# SQLSTATE classes that speak of the server or of other sessions, not of what was asked: connection, deadlock and
# serialization, resources, lock not available, operator intervention (shutdown, statement timeout), I/O.
_UNAVAILABLE: Final = ("08", "40", "53", "55", "57", "58")
# The server's own limit ends a statement a little before ours gives up on it, so that its connection stays good.
_SERVER_SHARE: Final = 0.9


class PostgresDriver:
    """Runs work as greenlets over asyncpg. A connection is taken for one piece of work and never longer."""

    def __init__(self, url: sa.URL, *, timeout_s: float, connect_timeout_s: float, connections: int) -> None:
        self._engine = postgres_engine(
            url,
            connect_timeout_s=connect_timeout_s,
            settings={"statement_timeout": str(int(timeout_s * _SERVER_SHARE * 1000))},
            pool_size=connections,
            max_overflow=connections,
            pool_timeout=timeout_s,
        )
        # Statements that stand alone need neither BEGIN nor ROLLBACK: two round trips less.
        self._standalone = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        self.dialect: sa.Dialect = self._engine.dialect

    async def open(self) -> None:
        """Connections are made when first needed."""

    async def close(self) -> None:
        await self._engine.dispose()

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        async with translated(), self._standalone.connect() as connection:
            return await connection.run_sync(work)

    async def write_statement(self, work: Callable[[sa.Connection], T]) -> T:
        return await self.read(work)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        async with translated(), self._engine.begin() as connection:
            return await connection.run_sync(work)


def postgres_engine(
    url: sa.URL, *, connect_timeout_s: float, settings: dict[str, str] | None = None, **pool: Any
) -> AsyncEngine:
    """An engine that leaves the URL to asyncpg, which knows `sslmode` and the rest of libpq's parameters."""
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)
    server_settings = {"application_name": "comfy-relay"} | (settings or {})

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(dsn, timeout=connect_timeout_s, server_settings=server_settings)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        hide_parameters=True,
        # JSON comes and goes as text: `columns.Json` does better than the standard library.
        json_serializer=str,
        json_deserializer=str,
        **pool,
    )


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Raise what the driver says as a `DatabaseError`; failures to connect reach us unwrapped."""
    try:
        yield
    except sa.exc.DBAPIError as error:
        raise _translation(error) from error
    except (asyncpg.PostgresError, asyncpg.InterfaceError, sa.exc.TimeoutError, OSError) as error:
        raise DatabaseUnavailable(type(error).__name__) from error


def _translation(error: sa.exc.DBAPIError) -> DatabaseError:
    state = getattr(error.orig, "sqlstate", None)
    name = type(getattr(error.orig, "__cause__", None) or error.orig).__name__
    if error.connection_invalidated or (state or "").startswith(_UNAVAILABLE):
        return DatabaseUnavailable(name)
    return DatabaseRefused(name)
