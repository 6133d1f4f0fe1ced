"""A service with a key for all tests of a file, and a client every answer to which must keep the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.standing import standing
from tests.api.v2.asking import KEY, caller
from tests.service import Service


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def drawing() -> AsyncIterator[Simulator]:
    """A simulated ComfyUI whose sampling steps take 5 ms."""
    async with Simulator(SimulatorOptions(step_s=0.005)) as simulator:
        yield simulator


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def relay(
    tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path, drawing: Simulator
) -> AsyncIterator[Service]:
    async with standing(tmp_path_factory, migrated_sqlite, drawing, api_keys=(KEY,), max_upload_bytes=100_000) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def v2(relay: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with caller(relay.url) as client:
        yield client
