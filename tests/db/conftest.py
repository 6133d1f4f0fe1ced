"""An open database and repository of each kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.db import Database, Repository

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with Database(database_url) as opened:
        yield opened


@pytest.fixture
async def repository(database: Database) -> AsyncIterator[Repository]:
    async with Repository(database) as opened:
        yield opened
