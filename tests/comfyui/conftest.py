"""A server that says what a test tells it to, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from app.comfyui.client import ComfyClient, connect
from tests.comfyui.servers import ScriptedServer, scripted_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def server() -> AsyncIterator[ScriptedServer]:
    async with scripted_server() as server:
        yield server


@pytest.fixture
async def client(server: ScriptedServer) -> AsyncIterator[ComfyClient]:
    async with connect("gpu-1", server.url) as client:
        yield client
