"""A ComfyUI with the probe nodes of the recordings, and one that draws slowly enough to be watched."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.comfyui.simulator.probe_nodes import PROBE_NODES
from tests.conftest import Serve
from tests.service import Service


@pytest.fixture
async def probing(serve: Serve) -> AsyncIterator[Service]:
    """A service in front of a ComfyUI with the nodes the recordings were made with."""
    async with Simulator(SimulatorOptions(step_s=0.005, nodes=PROBE_NODES)) as simulator:
        yield await serve(comfyui_urls={"gpu-0": simulator.url})


@pytest.fixture
async def slow_comfy() -> AsyncIterator[Simulator]:
    """A simulated ComfyUI whose sampling steps take 50 ms."""
    async with Simulator(SimulatorOptions(step_s=0.05)) as simulator:
        yield simulator


@pytest.fixture
async def watched(serve: Serve, slow_comfy: Simulator) -> Service:
    """The service in front of `slow_comfy`."""
    return await serve(comfyui_urls={"gpu-0": slow_comfy.url})


@pytest.fixture
async def unread(serve: Serve) -> AsyncIterator[Service]:
    """A service in front of a ComfyUI, with probe nodes, that does not tell its node definitions."""
    async with Simulator(SimulatorOptions(step_s=0.005, nodes=PROBE_NODES)) as simulator:
        simulator.faults.http_status["/object_info"] = 500
        yield await serve(comfyui_urls={"gpu-0": simulator.url})
