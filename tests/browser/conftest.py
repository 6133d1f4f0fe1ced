"""A real Chromium before the real service and a simulated ComfyUI that draws slowly enough to be watched."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.async_api import Browser, async_playwright

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.browser.visiting import Visit
from tests.conftest import Serve
from tests.service import Service

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

STEP_S = 0.06
"""Time of a sampler's step: twenty of them last long enough to watch each arrive, and to interfere."""


class OpenPage(Protocol):
    """Open a page of the service in a browser of its own; keyword arguments are those of a browser context."""

    async def __call__(self, service: Service, path: str = "/", **context: Any) -> Visit: ...


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Debian's Chromium, driven by Playwright."""
    executable = next((found for name in CHROMIUMS if (found := shutil.which(name))), None)
    if executable is None:
        reason = f"none of {', '.join(CHROMIUMS)} is installed; on Debian: apt install chromium"
        if os.environ.get("TEST_REQUIRE_ALL"):
            pytest.fail(reason)
        pytest.skip(reason)
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        try:
            yield running
        finally:
            await running.close()


@pytest.fixture
async def comfy() -> AsyncIterator[Simulator]:
    """A simulated ComfyUI at a pace that can be watched."""
    async with Simulator(SimulatorOptions(step_s=STEP_S)) as simulator:
        yield simulator


@pytest.fixture
def port() -> int:
    """A free port, known before the service starts: a page finds a restarted service where it was."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


@pytest.fixture
async def api(serve: Serve, port: int) -> Service:
    """The service that pages are opened from."""
    return await serve(port=port)


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens pages. At the end of the test none of them may have met an error that the test did not announce."""
    visits: list[Visit] = []
    async with AsyncExitStack() as stack:

        async def open_one(service: Service, path: str = "/", **context: Any) -> Visit:
            size = {"width": 1280, "height": 860}
            visitor = await browser.new_context(**{"viewport": size, "base_url": service.url, **context})
            stack.push_async_callback(visitor.close)
            visit = await Visit.begin(visitor, path)
            visits.append(visit)
            return visit

        yield open_one
    assert [error for visit in visits for error in visit.unexpected] == []


@pytest.fixture
async def visit(api: Service, open_page: OpenPage) -> Visit:
    """The page, opened and ready to be filled in."""
    return await open_page(api)


@pytest.fixture
def screenshots(tmp_path: Path) -> Path:
    """Where pictures of the page go: `SCREENSHOTS=docs/screenshots` keeps them."""
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder
