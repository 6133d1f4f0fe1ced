"""A simulator per test, quick and with the probe nodes, and one client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.comfyui.simulator.client import Client, client_of
from tests.comfyui.simulator.probe_nodes import PROBE_NODES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def comfy() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(step_s=0.005, nodes=PROBE_NODES)) as simulator:
        yield simulator


@pytest.fixture
async def client(comfy: Simulator) -> AsyncIterator[Client]:
    async with client_of(comfy) as one:
        yield one
