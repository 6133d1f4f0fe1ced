"""The schema's history ends in the schema the code believes in, and can be walked both ways."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.db import Database, Repository
from app.db.migration import configuration, current_revision, downgrade, migrate, newest_revision
from app.db.webhook_models import DELIVERIES
from tests.db.records import added

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def inspected(url: str, look: Callable[[sa.Connection], Any]) -> Any:
    async with Database(url) as database:
        return await database.read(look)


def differences(connection: sa.Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    with warnings.catch_warnings():
        # Alembic cannot read an index with an expression back from SQLite; on PostgreSQL it compares that one too.
        warnings.filterwarnings("ignore", "autogenerate skipping metadata-specified expression-based index")
        return list(compare_metadata(context, DELIVERIES.metadata))


def index_names(connection: sa.Connection) -> set[str]:
    query = "SELECT name FROM sqlite_master WHERE type = 'index' AND name LIKE 'ix%'"
    if connection.dialect.name == "postgresql":
        query = "SELECT indexname FROM pg_indexes WHERE indexname LIKE 'ix%'"
    return set(connection.scalars(sa.text(query)))


async def test_the_newest_revision_is_the_schema_of_the_models(database_url: str) -> None:
    assert await inspected(database_url, differences) == []
    assert await inspected(database_url, index_names) == {
        index.name for table in DELIVERIES.metadata.tables.values() for index in table.indexes
    }


async def test_an_empty_database_has_no_revision_and_gets_the_newest(empty_database_url: str) -> None:
    before = await asyncio.to_thread(current_revision, empty_database_url)
    await asyncio.to_thread(migrate, empty_database_url)
    after = await asyncio.to_thread(current_revision, empty_database_url)

    assert before is None
    assert after == newest_revision()


def test_the_newest_file_is_the_head_of_the_history() -> None:
    assert ScriptDirectory.from_config(configuration()).get_heads() == [newest_revision()]


def test_a_database_that_is_up_to_date_costs_no_import_of_alembic(migrated_sqlite: Path) -> None:
    program = (
        "import sys; from app.db.migration import migrate; "
        f"migrate('sqlite:///{migrated_sqlite}'); sys.exit('alembic' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


async def test_migrating_again_keeps_what_is_there(database_url: str) -> None:
    async with Database(database_url) as database, Repository(database) as repository:
        record = await added(repository)

        await asyncio.to_thread(migrate, database_url)

        assert await repository.get(record.id) == record


async def test_replicas_that_start_at_once_all_find_it_migrated(empty_database_url: str) -> None:
    await asyncio.gather(*(asyncio.to_thread(migrate, empty_database_url) for _ in range(4)))

    assert await inspected(empty_database_url, differences) == []


async def test_going_back_to_the_base_leaves_no_table(database_url: str) -> None:
    await asyncio.to_thread(downgrade, database_url, "base")

    tables = await inspected(database_url, lambda connection: sa.inspect(connection).get_table_names())
    assert tables == ["alembic_version"]


def test_the_migrations_are_found_without_a_file_of_settings() -> None:
    script_location = configuration().get_main_option("script_location")

    assert script_location is not None
    assert script_location.endswith("migrations")
