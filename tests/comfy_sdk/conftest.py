"""A service with a key for all tests of a file, and the official clients that have it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from comfy_sdk import AsyncComfy

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.standing import standing
from tests.comfy_sdk.asking import KEY, speaking_to
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
    async with standing(tmp_path_factory, migrated_sqlite, drawing, api_keys=(KEY,)) as api:
        yield api


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(relay: Service) -> AsyncIterator[AsyncComfy]:
    async with speaking_to(relay) as client:
        yield client
