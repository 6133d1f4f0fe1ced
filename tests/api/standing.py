"""A service that stands for all tests of a file: starting one for each of a hundred small questions takes too long."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from app.comfyui.simulator import Simulator
from app.settings import Settings
from tests.service import Service


@asynccontextmanager
async def standing(
    tmp_path_factory: pytest.TempPathFactory, migrated: Path, comfy: Simulator, **given: Any
) -> AsyncIterator[Service]:
    """A service on SQLite in front of `comfy`, in the caller's loop, until the block ends."""
    folder = tmp_path_factory.mktemp("standing")
    shutil.copy(migrated, folder / "test.db")
    places = {"port": 0, "data_dir": folder / "data", "database_url": f"sqlite:///{folder / 'test.db'}"}
    quick = {"log_level": "WARNING", "poll_interval_s": 0.1, "shutdown_grace_s": 1}
    fields: dict[str, Any] = {"comfyui_urls": {"gpu-0": comfy.url}, **places, **quick, **given}
    async with Service(Settings(_env_file=None, **fields)) as service:
        yield service
