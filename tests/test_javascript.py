"""The JavaScript client on the real service: `node --test` runs `tests/web`, and may ask for faults from here.

The files are laid out as an application would have them, `comfy-relay` in its `node_modules`, so that the package's
own description is tried as well. For the hook, npm puts React beside it.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from app.api.pages import FOLDER
from app.comfyui.simulator import NodeFailure, Simulator, SimulatorOptions
from tests.api.asking import hub_of
from tests.comfyui.servers import answer, read_request
from tests.conftest import Serve
from tests.documents import ROOT
from tests.process import free_port
from tests.service import Service

TESTS: Final = ROOT / "tests" / "web"
LIMIT_S: Final = 120
FILE_LIMIT_MS: Final = 100_000
KEYS: Final = ("first-key-0123", "schlüssel-zwei")
SAMPLER: Final = "3"

Command = Callable[[], Awaitable[Any]]


def tool(name: str) -> str:
    """Where it is. Without it the test is skipped, or fails where every tool has to be."""
    found = shutil.which(name)
    if found is not None:
        return found
    reason = f"{name} is not installed; Node 20 or newer runs the tests of the JavaScript client"
    if os.environ.get("TEST_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
async def sampling() -> AsyncIterator[Simulator]:
    """A simulated ComfyUI whose steps can be watched, and which forgets what it has computed."""
    async with Simulator(SimulatorOptions(step_s=0.03, cache=False)) as simulator:
        yield simulator


@pytest.fixture
async def relay(serve: Serve, sampling: Simulator, request: pytest.FixtureRequest) -> Service:
    """The service, on the same port after a restart; with keys for the tests that are about them."""
    keys = KEYS if getattr(request, "param", False) else ()
    return await serve(comfyui_urls={"gpu-0": sampling.url}, port=free_port(), api_keys=keys)


def commands(relay: Service, comfy: Simulator) -> dict[str, Command]:
    """What a test may ask of the Python side, by name."""

    async def restart() -> None:
        await relay.stop()
        await relay.start()

    async def hold() -> None:
        comfy.hold("progress", node=SAMPLER)

    async def release() -> None:
        comfy.release()

    async def fail() -> None:
        comfy.faults.failures[SAMPLER] = NodeFailure()

    async def mend() -> None:
        comfy.faults.reset()

    async def streams() -> int:
        return len(hub_of(relay))

    async def submits() -> int:
        return comfy.submits

    listed = (restart, relay.stop, relay.start, hold, comfy.held, release, fail, mend, streams, submits)
    return {command.__name__: command for command in listed}


@asynccontextmanager
async def controlled(relay: Service, comfy: Simulator) -> AsyncIterator[str]:
    """Those commands over HTTP, for as long as the block lasts."""
    known = commands(relay, comfy)

    async def obey(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await read_request(reader)
        said = await known[request.path.removeprefix("/")]()
        writer.write(answer(200, json.dumps(said).encode(), Connection="close"))
        writer.close()

    server = await asyncio.start_server(obey, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def run(*command: str, cwd: Path, **environment: str) -> tuple[int | None, str]:
    """The command's exit status, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env=os.environ | environment,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, said.decode(errors="replace")


def application(folder: Path) -> Path:
    """A folder with the tests, and the client where npm would have put it."""
    shutil.copytree(TESTS, folder, dirs_exist_ok=True)
    shutil.copytree(FOLDER, folder / "node_modules" / "comfy-relay")
    return folder


async def passes(name: str, folder: Path, relay: Service, comfy: Simulator) -> None:
    node = tool("node")
    async with controlled(relay, comfy) as control:
        addresses = {"RELAY_URL": relay.url, "RELAY_CONTROL": control, "RELAY_KEYS": json.dumps(KEYS)}
        options = ("--test", "--test-reporter=spec", f"--test-timeout={FILE_LIMIT_MS}")
        status, said = await run(node, *options, name, cwd=folder, **addresses)

    assert status == 0, said
    assert "\nℹ pass 0\n" not in said, said


@pytest.mark.timeout(LIMIT_S + 10)
@pytest.mark.parametrize("name", ["following", "losses", "rough"])
async def test_the_client_does_what_it_promises(name: str, tmp_path: Path, relay: Service, sampling: Simulator) -> None:
    await passes(f"{name}.test.mjs", application(tmp_path / "application"), relay, sampling)


@pytest.mark.timeout(LIMIT_S + 10)
@pytest.mark.parametrize("relay", [True], indirect=True)
async def test_the_client_sends_its_key_and_asks_for_another(
    tmp_path: Path, relay: Service, sampling: Simulator
) -> None:
    await passes("keys.test.mjs", application(tmp_path / "application"), relay, sampling)


@pytest.mark.timeout(2 * LIMIT_S)
async def test_the_react_hook_shows_one_generation_at_a_time(
    tmp_path: Path, relay: Service, sampling: Simulator
) -> None:
    npm, folder = tool("npm"), tmp_path / "application"
    shutil.copytree(TESTS / "react", folder)
    status, said = await run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
    if status != 0 and not os.environ.get("TEST_REQUIRE_ALL"):
        pytest.skip(f"npm could not fetch React: {said[-300:]}")
    assert status == 0, said

    await passes("hook.test.mjs", application(folder), relay, sampling)


def test_every_file_of_tests_is_run() -> None:
    assert {path.name for path in TESTS.glob("*.test.mjs")} == {
        f"{name}.test.mjs" for name in ("following", "losses", "rough", "keys", "hook")
    }
