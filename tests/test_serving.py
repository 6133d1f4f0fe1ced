"""The commands as a person or a supervisor meets them: one line when ready, and a clean end when told to."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from app.comfyui.simulator import Simulator
from tests.service import Json
from tests.waiting import WITHIN_S

QUICK: Json = {"prompt": "a lighthouse", "steps": 1, "width": 64, "height": 64}

KEY = "a-key-nobody-may-see"


@dataclass
class Running:
    """A command that has said where it is. `log` grows while it runs."""

    process: asyncio.subprocess.Process
    url: str
    http: httpx.AsyncClient
    said: list[str]
    log: bytearray

    async def end(self, sent: signal.Signals) -> int:
        """How it ends after this signal."""
        self.process.send_signal(sent)
        async with asyncio.timeout(WITHIN_S):
            return await self.process.wait()

    async def picture(self) -> Json:
        """The record of a generation that this service finished."""
        answer = await self.http.post("/api/generate", json=QUICK, headers={"Prefer": "wait=15"})
        assert answer.status_code == 201, answer.text
        record: Json = answer.json()
        return record


Start = Callable[..., Awaitable[Running]]


@asynccontextmanager
async def running(folder: Path, *arguments: str, **settings: str) -> AsyncIterator[Running]:
    """`comfy-relay` with these arguments and `COMFY_RELAY_` variables, in this folder."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", *arguments),
        cwd=folder,
        env=os.environ | {f"COMFY_RELAY_{name.upper()}": value for name, value in settings.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log = bytearray()
    listening = asyncio.create_task(collect(process.stderr, log))
    try:
        async with asyncio.timeout(WITHIN_S):
            line = (await process.stdout.readline()).decode()
        assert line.startswith("comfy-relay is ready: http://127.0.0.1:"), log.decode()
        url = line.split()[-1]
        async with httpx.AsyncClient(base_url=url, timeout=WITHIN_S, trust_env=False) as client:
            yield Running(process, url, client, [line], log)
    finally:
        if process.returncode is None:
            process.kill()
        rest = await process.stdout.read()
        await process.wait()
        await listening
    assert rest == b""


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def collect(stream: asyncio.StreamReader, into: bytearray) -> None:
    while chunk := await stream.read(65_536):
        into += chunk


@pytest.fixture
async def start(tmp_path: Path, comfy: Simulator) -> AsyncIterator[Start]:
    """Starts `comfy-relay serve` in an empty folder, always the same, in front of `comfy`."""
    async with AsyncExitStack() as stack:

        async def serve(**settings: str) -> Running:
            given = {"comfyui_urls": comfy.url, "shutdown_grace_s": "3", **settings}
            return await stack.enter_async_context(running(tmp_path, "serve", "--port", "0", **given))

        yield serve


async def ended(folder: Path, *arguments: str, **settings: str) -> tuple[int, str, str]:
    """Exit code and output of a command that ends by itself."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.cli", *arguments),
        cwd=folder,
        env=os.environ | {f"COMFY_RELAY_{name.upper()}": value for name, value in settings.items()},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN_S):
        out, error = await process.communicate()
    return process.returncode or 0, out.decode(), error.decode()


async def test_it_says_where_it_is_and_works(start: Start, tmp_path: Path) -> None:
    service = await start()

    record = await service.picture()

    assert record["status"] == "succeeded"
    assert (await service.http.get(record["imageUrls"][0])).content.startswith(b"\x89PNG")
    assert {"comfy-relay.db", "outputs"} <= names_in(tmp_path / "data")


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_cleanly_when_told_to(start: Start, told: signal.Signals) -> None:
    service = await start()
    await service.picture()

    assert await service.end(told) == 0
    assert b"Traceback" not in service.log


async def test_it_ends_in_time_with_open_streams_and_waiting_callers(start: Start, comfy: Simulator) -> None:
    service = await start(shutdown_grace_s="2")
    comfy.hold("executing", node="3")
    record = (await service.http.post("/api/generate", json=QUICK)).json()
    await comfy.held()
    waiting = asyncio.create_task(service.http.get(f"{record['urls']['self']}?wait=60"))
    async with service.http.stream("GET", record["urls"]["events"]) as stream:
        lines = stream.aiter_lines()
        await anext(lines)

        async with asyncio.timeout(8):
            code = await service.end(signal.SIGTERM)
            rest = [line async for line in lines]
    comfy.release()

    assert (await waiting).json()["status"] == "running"
    assert code == 0
    assert any('"type":"connected"' in line for line in rest)
    assert b"Traceback" not in service.log


async def test_it_goes_on_after_being_killed(start: Start, comfy: Simulator) -> None:
    service = await start()
    comfy.hold("executing", node="3")
    record = (await service.http.post("/api/generate", json=QUICK)).json()
    await comfy.held()
    assert await service.end(signal.SIGKILL) == -signal.SIGKILL

    again = await start()
    comfy.release()
    finished = (await again.http.get(f"{record['urls']['self']}?wait=15")).json()

    assert finished["status"] == "succeeded"
    assert finished["comfyuiPromptId"] == record["comfyuiPromptId"]
    assert comfy.executions[record["comfyuiPromptId"]] == 1
    assert await again.end(signal.SIGTERM) == 0


async def test_its_log_tells_no_secret(start: Start, comfy: Simulator, tmp_path: Path) -> None:
    service = await start(log_level="DEBUG", log_format="json", api_keys=KEY)
    service.http.headers["X-API-Key"] = KEY
    comfy.faults.cut_socket_before("executed")
    record = await service.picture()
    token = record["imageUrls"][0].partition("token=")[2]
    await service.http.get(record["imageUrls"][0])
    await comfy.stop()
    await service.http.post("/api/generate", json=QUICK)
    await service.end(signal.SIGTERM)

    log = service.log.decode()
    assert record["id"] in log
    for secret in (KEY, token, f":{comfy.port}", str(tmp_path), "lighthouse"):
        assert secret not in log, secret


async def test_a_port_that_is_taken_is_told_and_ends_it(start: Start, tmp_path: Path) -> None:
    service = await start()

    code, out, error = await ended(tmp_path, "serve", "--port", service.url.rpartition(":")[2])

    assert code not in {0, 2}
    assert out == ""
    assert "address already in use" in error.lower()


async def test_the_demo_needs_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path, "demo", "--port", "0", "--step-s", "0.01") as demo:
        record = await demo.picture()

        assert record["backend"] == "simulator"
        assert (await demo.http.get(record["imageUrls"][0])).content.startswith(b"\x89PNG")
        assert (await demo.http.get("/readyz")).status_code == 200
        assert await demo.end(signal.SIGTERM) == 0
    assert b"Traceback" not in demo.log


async def test_the_database_can_be_brought_up_by_itself(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'new' / 'relay.db'}"

    first, second = [await ended(tmp_path, "db", "upgrade", database_url=url) for _ in range(2)]

    assert first[0] == second[0] == 0
    assert re.fullmatch(r"database is at revision \w+\n", first[1])
    assert first[1] == second[1]
    with sqlite3.connect(tmp_path / "new" / "relay.db") as database:
        assert database.execute("SELECT count(*) FROM generations").fetchone() == (0,)


async def test_a_wrong_setting_ends_it_before_anything_is_made(tmp_path: Path) -> None:
    code, out, error = await ended(tmp_path, "serve", max_in_flight="none")

    assert (code, out) == (2, "")
    assert error.startswith("COMFY_RELAY_MAX_IN_FLIGHT: ")
    assert not names_in(tmp_path)


async def test_a_database_that_cannot_be_reached_ends_it(tmp_path: Path) -> None:
    code, out, error = await ended(tmp_path, "serve", "--port", "0", database_url="postgresql://u:pw-1@127.0.0.1:1/n")

    assert code not in {0, 2}
    assert out == ""
    assert "database is not available" in error
    assert "pw-1" not in error


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["CREATE TABLE alembic_version (version_num TEXT)", "INSERT INTO alembic_version VALUES ('9999')"], "9999"),
        (["CREATE TABLE generations (x)"], "COMFY_RELAY_DATABASE_URL"),
    ],
)
async def test_a_database_of_somebody_elses_is_told_in_one_line(
    tmp_path: Path, statements: list[str], told: str
) -> None:
    path = tmp_path / "theirs.db"
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)

    code, out, error = await ended(tmp_path, "serve", "--port", "0", database_url=f"sqlite:///{path}")

    assert (code, out) == (1, "")
    assert told in error
    assert "Traceback" not in error


async def test_a_misspelt_setting_is_named_with_the_one_that_was_meant(tmp_path: Path) -> None:
    code, out, error = await ended(tmp_path, "serve", "--port", "0", comfyui_url="http://127.0.0.1:8188")

    assert (code, out) == (2, "")
    assert error == "COMFY_RELAY_COMFYUI_URL: is no setting; did you mean COMFY_RELAY_COMFYUI_URLS?\n"


async def test_a_misspelt_setting_in_the_env_file_is_named_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("COMFY_RELAY_LOGLEVEL=DEBUG\n", encoding="utf-8")

    code, _, error = await ended(tmp_path, "serve", "--port", "0")

    assert code == 2
    assert "COMFY_RELAY_LOG_LEVEL" in error
