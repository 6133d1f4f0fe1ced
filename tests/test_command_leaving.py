"""What commands say when the service goes away, and when they leave something behind that goes on without them."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.commands import presence
from app.commands.screens import Silent
from tests.commands import ROOT, Person, api, person
from tests.conftest import MakeSettings
from tests.process import KillableService, free_port
from tests.waiting import until

__all__ = ["api", "person"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

CTRL_C: Final = b"\x03"
LONG: Final = ("-s", "steps=150", "-s", "width=64", "-s", "height=64", "-o", "out")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(step_s=0.02)) as simulator:
        yield simulator


async def ids(person: Person, project: str) -> list[str]:
    items = (await person.api.http.get("/api/generations", params={"projectId": project})).json()["items"]
    return [item["id"] for item in items]


async def test_a_service_that_was_killed_is_told_and_what_may_go_on_there_is_named(
    make_settings: MakeSettings, comfy: Simulator, tmp_path: Path
) -> None:
    async with KillableService(make_settings(comfyui_urls={"gpu-0": comfy.url}), port=free_port()) as api:
        person = Person(api, tmp_path)
        async with person.at_terminal("generate", "x", "--project", "k", *LONG) as terminal:
            await terminal.until("/150")
            (started,) = await ids(person, "k")
            await api.kill()
            await terminal.until(f"no answer from {api.url}, trying again")
            terminal.press(CTRL_C)
            await terminal.until("No answer, so nothing is canceled yet")
            terminal.press(CTRL_C)
            code = await terminal.ended()

    assert code == 130
    assert "Canceling" not in terminal.shown
    assert f"comfy-relay cancel {started}" in terminal.shown.replace("\r\n", "")
    assert "Traceback" not in terminal.shown


async def test_a_service_that_went_away_and_came_back_is_told_once_each() -> None:
    said: list[str] = []
    client: Any = SimpleNamespace(away_s=1.0, url="http://relay")

    class Said(Silent):
        def say(self, text: str) -> None:
            said.append(text)

    async with presence.watched(client, Said()):
        await asyncio.sleep(0)
        assert said == []
        client.away_s = presence.AWAY_S
        await until(lambda: bool(said))
        client.away_s = 0.0
        await until(lambda: len(said) > 1)

    assert said == ["no answer from http://relay, trying again", "http://relay answers again"]


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
async def test_whoever_is_told_to_leave_says_what_goes_on(person: Person, ending: signal.Signals) -> None:
    async with person.at_terminal("generate", "x", "--project", ending.name, *LONG) as terminal:
        await terminal.until("/150")
        terminal.process.send_signal(ending)
        code = await terminal.ended()

    (started,) = await ids(person, ending.name)
    assert code == 128 + ending
    assert f"comfy-relay cancel {started}" in terminal.shown.replace("\r\n", "")
    assert (await person.run("cancel", started)).code == 0


async def shell(person: Person, script: str) -> tuple[int, str]:
    """The exit code of a script of bash, in which $RELAY is `comfy-relay`, and what it said on stderr."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"set -o pipefail; {script}"),
        cwd=ROOT,
        env=os.environ | person.environment | {"RELAY": f"{sys.executable} -m app.cli"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_a_batch_goes_on_when_nobody_reads_its_files_any_more(person: Person, tmp_path: Path) -> None:
    rows = "prompt,seed\n" + "".join(f"boat {n},{n}\n" for n in range(6))
    file, out = person.file("b.csv", rows.encode()), tmp_path / "out"
    words = f"batch {file} -s steps=4 -s width=64 -s height=64 --project h -o {out}"

    code, said = await shell(person, f"$RELAY {words} --quiet | head -1")
    again = await person.run(*words.split())

    statuses = {item["status"] for item in (await person.api.http.get("/api/generations?projectId=h")).json()["items"]}
    assert (code, said) == (141, "")
    assert (again.code, len(again.out.splitlines())) == (0, 6)
    assert statuses == {"succeeded"}


async def test_a_full_disk_behind_stdout_is_told_without_a_traceback(person: Person) -> None:
    code, said = await shell(person, "$RELAY list > /dev/full")

    assert (code, said) == (1, "standard output: cannot be written (No space left on device)\n")
