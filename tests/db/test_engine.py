"""What happens when the database is locked, away or misnamed."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from app.db import Database, DatabaseRefused, DatabaseTimeout, DatabaseUnavailable, Repository
from tests.db.records import a_generation, added

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.databases import PostgresServer


@pytest.fixture
def locked_file(sqlite_url: str) -> Iterator[sqlite3.Connection]:
    """The file's write lock, in other hands until they roll back."""
    connection = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    yield connection
    connection.close()


async def test_a_file_locked_for_a_moment_only_delays_writes(sqlite_url: str, locked_file: sqlite3.Connection) -> None:
    async with Database(sqlite_url) as database, Repository(database) as repository:
        record = a_generation()
        adding = asyncio.ensure_future(repository.add(record, workflow={}, request={}))
        assert await repository.get(record.id) is None
        assert not adding.done()

        locked_file.execute("ROLLBACK")
        await adding

        assert await repository.get(record.id) == record


async def test_a_file_locked_for_longer_gives_the_typed_error_and_recovers(
    sqlite_url: str, locked_file: sqlite3.Connection
) -> None:
    async with Database(sqlite_url, timeout_s=0.1) as database, Repository(database) as repository:
        with pytest.raises(DatabaseUnavailable):
            await added(repository)

    locked_file.execute("ROLLBACK")
    async with Database(sqlite_url) as database, Repository(database) as repository:
        record = await added(repository)
        assert await repository.get(record.id) == record


async def test_every_waiter_learns_that_the_database_is_away(sqlite_url: str, locked_file: sqlite3.Connection) -> None:
    async with Database(sqlite_url, timeout_s=0.1) as database, Repository(database) as repository:
        answers = await asyncio.gather(*(added(repository) for _ in range(20)), return_exceptions=True)

    assert all(isinstance(answer, DatabaseUnavailable) for answer in answers)


async def test_the_folder_of_a_file_is_made(tmp_path: Path) -> None:
    async with Database(f"sqlite:///{tmp_path}/a/b/c.db") as database:
        await database.ping()

    assert (tmp_path / "a" / "b" / "c.db").exists()


async def test_a_file_that_cannot_be_made_gives_the_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DatabaseUnavailable):
        async with Database(f"sqlite:///{tmp_path}/file/c.db"):
            pass


async def test_a_search_on_sqlite_folds_the_case_of_any_script(sqlite_url: str) -> None:
    async with Database(sqlite_url) as database:
        row = await database.read(lambda connection: connection.execute(sa.select(sa.func.lower("ÉЖ"))).scalar())

    assert row == "éж"


async def test_an_open_database_answers(database: Database) -> None:
    await database.ping()


async def test_a_statement_that_makes_no_sense_is_told_from_an_outage(database: Database) -> None:
    with pytest.raises(DatabaseRefused):
        await database.read(lambda connection: connection.execute(sa.text("SELECT * FROM nothing")))


async def test_work_that_fails_is_rolled_back(repository: Repository, database: Database) -> None:
    record = await added(repository)

    def delete_and_fail(connection: sa.Connection) -> None:
        connection.execute(sa.text("DELETE FROM generations"))
        raise KeyError(record.id)

    with pytest.raises(KeyError):
        await database.write(delete_and_fail)

    assert await repository.get(record.id) == record


async def test_a_server_that_refuses_connections_gives_the_typed_error(unused_tcp_port: int) -> None:
    url = f"postgresql://user:secret@127.0.0.1:{unused_tcp_port}/x"
    async with Database(url) as database, Repository(database) as repository:
        with pytest.raises(DatabaseUnavailable) as refused:
            await added(repository)
        with pytest.raises(DatabaseUnavailable):
            await repository.get("anything")

    assert "secret" not in str(refused.value)


async def test_a_server_that_never_answers_gives_the_typed_error_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        async with Database(f"postgresql://127.0.0.1:{port}/x", timeout_s=0.2) as database:
            with pytest.raises(DatabaseTimeout):
                async with asyncio.timeout(10):
                    await database.ping()


async def test_a_statement_that_takes_too_long_is_ended(postgres_url: str) -> None:
    async with Database(postgres_url, timeout_s=0.3) as database:
        with pytest.raises(DatabaseUnavailable):
            async with asyncio.timeout(10):
                await database.read(lambda connection: connection.execute(sa.text("SELECT pg_sleep(60)")))

        await database.ping()


async def test_a_connection_the_server_ended_is_replaced(postgres_url: str, postgres_server: PostgresServer) -> None:
    async with Database(postgres_url, connections=1) as database, Repository(database) as repository:
        record = await added(repository)
        postgres_server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'comfy-relay'"
        )
        with pytest.raises(DatabaseUnavailable):
            await repository.get(record.id)

        assert await repository.get(record.id) == record


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///:memory:", "mysql://user:secret@host/x", "not a url", ""],
)
def test_a_url_that_cannot_serve_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(ValueError, match=r"sqlite|SQLite") as refused:
        Database(url)

    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
async def test_every_usual_name_of_postgresql_will_do(postgres_url: str, scheme: str) -> None:
    async with Database(postgres_url.replace("postgresql", scheme, 1)) as database:
        await database.ping()
