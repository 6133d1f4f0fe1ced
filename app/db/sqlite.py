"""SQLite: one thread that writes, a few that read, and the file's settings.

Owns the connections to the file and their threads. Never used by two event loops, and never by another module than
`engine.py` and `migration.py`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import sqlalchemy as sa
import stamina

from app.db.errors import DatabaseError, DatabaseRefused, DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

# Readers seldom wait for anything but the interpreter's lock, so more threads would only queue elsewhere.
_READERS: Final = 2
# A thread stops waiting for a lock a little before its caller does, and so is free for the next.
_BUSY_SHARE: Final = 0.9
# Where the request is at fault, or we are. All other codes speak of the file, the disk or the lock.
_REFUSALS: Final = {
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_TOOBIG,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_RANGE,
}


class SqliteDriver:
    """Runs work in threads. Writes go one after another, as SQLite has one writer anyway; readers never wait for it.

    With WAL and `synchronous=NORMAL` a commit survives the death of the process; the last ones before a power
    failure may be lost, the file stays whole.
    """

    def __init__(self, url: sa.URL, *, timeout_s: float) -> None:
        self._path = Path(url.database or "")
        busy_timeout_s = timeout_s * _BUSY_SHARE
        self._reading = sqlite_engine(url, busy_timeout_s=busy_timeout_s, connections=_READERS)
        self._writing = sqlite_engine(url, busy_timeout_s=busy_timeout_s, connections=1)
        self.dialect: sa.Dialect = self._writing.dialect
        self._readers = ThreadPoolExecutor(_READERS, thread_name_prefix="database-reader")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="database-writer")

    async def open(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._writer, self._prepare)

    def _prepare(self) -> None:
        with translated():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._writing.connect():
                pass

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._readers.shutdown()
        self._writer.shutdown()
        self._reading.dispose()
        self._writing.dispose()

    async def read(self, work: Callable[[sa.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    async def write(self, work: Callable[[sa.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, work)

    async def write_statement(self, work: Callable[[sa.Connection], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write_statement, work)

    def _read(self, work: Callable[[sa.Connection], T]) -> T:
        with translated(), self._reading.connect() as connection:
            return work(connection)

    def _write(self, work: Callable[[sa.Connection], T]) -> T:
        with translated(), sqlite_transaction(self._writing) as connection:
            return work(connection)

    def _write_statement(self, work: Callable[[sa.Connection], T]) -> T:
        with translated(), self._writing.connect() as connection:
            return work(connection)


def sqlite_engine(url: sa.URL, *, busy_timeout_s: float, connections: int) -> sa.Engine:
    """An engine whose statements stand alone, each its own transaction; see `sqlite_transaction` for more than one."""
    engine = sa.create_engine(
        url,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=busy_timeout_s,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": busy_timeout_s, "isolation_level": None},
    )

    @sa.event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: object) -> None:
        # A new file's change to WAL fails at once, whatever the timeout, while another process is about the same.
        for attempt in stamina.retry_context(on=_is_busy, attempts=None, timeout=busy_timeout_s, wait_initial=0.01):
            with attempt:
                connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA foreign_keys = ON")
        # SQLite's own folds ASCII only; a search for a word should not depend on its accents' case.
        connection.create_function("lower", 1, _lower, deterministic=True)

    return engine


@contextmanager
def sqlite_transaction(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A transaction that has the write lock from its start.

    One that reads first and then wants the lock would fail without waiting when another process wrote in between.
    """
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        yield connection
        connection.commit()


def _is_busy(error: Exception) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


@contextmanager
def translated() -> Iterator[None]:
    """Raise what the driver says as a `DatabaseError`."""
    try:
        yield
    except sqlite3.Error as error:
        raise _translation(error) from error
    except sa.exc.DBAPIError as error:
        raise _translation(error.orig) from error
    except OverflowError as error:  # an integer beyond SQLite's 64 bits
        raise DatabaseRefused(type(error).__name__) from error
    except (sa.exc.TimeoutError, OSError) as error:
        raise DatabaseUnavailable(type(error).__name__) from error


def _translation(error: BaseException | None) -> DatabaseError:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    # The driver's own complaints, such as of a closed connection, have no code of SQLite's.
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    return DatabaseRefused(name) if code & 0xFF in _REFUSALS else DatabaseUnavailable(name)
