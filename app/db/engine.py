"""The connection to the database: where it is, how it is opened, what its errors mean.

Owns connections, transactions and time limits, and with its two drivers (`sqlite.py`, `postgres.py`) every
difference between the databases that is not a statement's. Knows no table and holds no data.

Work is a plain function of a `sqlalchemy.Connection`, and runs in one go: on SQLite in a thread that has the
connection, on PostgreSQL as a greenlet over asyncpg. Measured here, one row by its id: 440 us through aiosqlite, which
crosses threads four times per statement, 130 us this way; 32 writes in one transaction cost the same as 32 function
calls. So the same code serves both databases, and a whole transaction costs one switch.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, Self, TypeVar

import sqlalchemy as sa

from app.db.errors import DatabaseTimeout
from app.db.postgres import PostgresDriver
from app.db.sqlite import SqliteDriver

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

T = TypeVar("T")

_DIALECTS: Final = {"sqlite": "sqlite", "postgresql": "postgresql", "postgres": "postgresql"}


class Driver(Protocol):
    """One way to run work. Raises `DatabaseError`s only; the limit on time is `Database`'s."""

    dialect: sa.Dialect

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work that changes nothing. Its statements need not see the same moment."""
        ...

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work in a transaction that is committed when this returns and rolled back when it raises."""
        ...

    async def write_statement(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work of one statement, which commits itself."""
        ...


class Database:
    """An open database, for use as `async with Database(url) as database`.

    `url` is `sqlite:///relative/path.db`, `sqlite:////absolute/path.db` or `postgresql://...` with whatever libpq
    allows in it. `timeout_s` bounds every operation, waiting for a connection or a lock included. Opening asks
    nothing of the server: PostgreSQL may come up later, `ping` tells.
    """

    def __init__(
        self, url: str, *, timeout_s: float = 10.0, connect_timeout_s: float = 5.0, connections: int = 5
    ) -> None:
        self.url = parsed_url(url)
        self.timeout_s = timeout_s
        self._driver: Driver
        if self.url.drivername == "sqlite":
            self._driver = SqliteDriver(self.url, timeout_s=timeout_s)
        else:
            self._driver = PostgresDriver(
                self.url, timeout_s=timeout_s, connect_timeout_s=connect_timeout_s, connections=connections
            )

    @property
    def dialect(self) -> sa.Dialect:
        return self._driver.dialect

    async def __aenter__(self) -> Self:
        await self._driver.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._driver.close()

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work that changes nothing; raises a `DatabaseError`."""
        return await self._in_time(self._driver.read, work)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        """Run work in one transaction, committed when this returns; raises a `DatabaseError`.

        After `DatabaseTimeout` the work may still be done: a thread cannot be stopped, and a commit may be on its way.
        """
        return await self._in_time(self._driver.write, work)

    async def write_statement(self, work: Callable[[sa.Connection], T]) -> T:
        """Like `write` for work of a single statement: without begin and commit it takes half the time."""
        return await self._in_time(self._driver.write_statement, work)

    async def ping(self) -> None:
        """Return if the database answers, else raise `DatabaseUnavailable`."""
        await self.read(lambda connection: connection.execute(sa.select(sa.literal(1))).scalar_one())

    async def _in_time(
        self, run: Callable[[Callable[[sa.Connection], T]], Awaitable[T]], work: Callable[[sa.Connection], T]
    ) -> T:
        try:
            async with asyncio.timeout(self.timeout_s):
                return await run(work)
        except TimeoutError as error:
            raise DatabaseTimeout(self.timeout_s) from error


def parsed_url(url: str) -> sa.URL:
    """The URL with the plain name of its database as scheme; `ValueError`, without the secret in it, if it is none."""
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ValueError("not a database URL: use sqlite:///./data/comfy-relay.db or postgresql://...") from None
    name = parsed.drivername.partition("+")[0]
    if name not in _DIALECTS:
        raise ValueError(f"no support for {name}: use sqlite:///./data/comfy-relay.db or postgresql://...")
    parsed = parsed.set(drivername=_DIALECTS[name])
    if parsed.drivername == "sqlite" and parsed.database in {None, "", ":memory:"}:
        raise ValueError("a SQLite database in memory loses what it promised to keep: name a file")
    return parsed
