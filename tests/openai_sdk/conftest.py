"""The service with a key, and the official client that has it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from openai import AsyncOpenAI

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.conftest import Serve
from tests.openai_sdk.asking import KEY, speaking_to
from tests.service import Service


@pytest.fixture
async def guarded(serve: Serve) -> Service:
    """A service with a key: the package always sends one."""
    return await serve(api_keys=(KEY,))


@pytest.fixture
async def client(guarded: Service) -> AsyncIterator[AsyncOpenAI]:
    async with speaking_to(guarded) as client:
        yield client


@pytest.fixture
async def drawing(serve: Serve) -> AsyncIterator[AsyncOpenAI]:
    """A client of a service whose ComfyUI takes 30 ms for a step."""
    async with Simulator(SimulatorOptions(step_s=0.03)) as simulator:
        api = await serve(comfyui_urls={"gpu-0": simulator.url}, api_keys=(KEY,))
        async with speaking_to(api) as client:
            yield client
