"""Commands at a real terminal and under real signals: bars, Ctrl-C once and twice, kill -9 of both sides, pipes."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.commands import KEY, ROOT, Person, api, person
from tests.conftest import MakeSettings
from tests.process import KillableService, free_port
from tests.waiting import until

__all__ = ["api", "person"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

CTRL_C: Final = b"\x03"
ITEMS: Final = 40
"""The benchmark `cli_batch` does the same with a thousand."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(step_s=0.02)) as simulator:
        yield simulator


async def test_a_terminal_shows_a_bar_that_grows_and_a_picture_and_is_left_as_it_was(person: Person) -> None:
    words = ("generate", "a lighthouse", "-s", "steps=40", "--seed", "1", "--preview", "-o", "out")
    async with person.at_terminal(*words, COLORTERM="truecolor") as terminal:
        code = await terminal.ended()

    text = re.sub(r"\x1b(\[[0-9;?]*[A-Za-z]|[78])", "", terminal.shown)
    steps = [int(step) for step in re.findall(r"(\d+)/40", text)]
    assert code == 0
    assert len(set(steps)) > 3
    assert steps == sorted(steps)
    assert "\x1b[38;2;" in terminal.shown
    assert terminal.shown.count("▀") > 100
    assert terminal.shown.count("\x1b[?25l") == terminal.shown.count("\x1b[?25h") == 1
    assert text.splitlines()[-1] == "out/a-lighthouse-1.png"


async def test_ctrl_c_has_it_canceled_and_says_so(person: Person) -> None:
    async with person.at_terminal("generate", "x", "-s", "steps=150", "--project", "c", "-o", "out") as terminal:
        await terminal.until("/150")
        terminal.press(CTRL_C)
        code = await terminal.ended()

    records = (await person.api.http.get("/api/generations", params={"projectId": "c"})).json()["items"]
    assert code == 130
    assert "Canceling the generation; Ctrl-C again" in terminal.shown
    assert "Traceback" not in terminal.shown
    assert [record["status"] for record in records] == ["canceled"]


async def test_a_second_ctrl_c_ends_it_at_once(person: Person, comfy: Simulator) -> None:
    async with person.at_terminal("generate", "x", "-s", "steps=150", "-o", "out") as terminal:
        await terminal.until("/150")
        comfy.faults.http_status["/interrupt"] = 503
        comfy.faults.http_status["/queue"] = 503
        terminal.press(CTRL_C)
        await terminal.until("Canceling the generation")
        terminal.press(CTRL_C)
        code = await terminal.ended()
    comfy.faults.reset()

    assert code == 130
    assert "Traceback" not in terminal.shown
    assert terminal.shown.count("\x1b[?25h") == 1


async def test_a_batch_that_was_canceled_goes_on_when_it_is_started_again(person: Person, tmp_path: Path) -> None:
    rows = "prompt,seed\n" + "".join(f"number {n},{n}\n" for n in range(8))
    words = ("batch", person.file("b.csv", rows.encode()), "-s", "steps=10", "-s", "width=64", "-s", "height=64")

    async with person.at_terminal(*words, "-o", "out") as terminal:
        await terminal.until("1/8")
        terminal.press(CTRL_C)
        code = await terminal.ended()
    again = await person.run(*words, "-o", str(tmp_path / "out"))

    assert code == 130
    assert "Canceling the batch" in terminal.shown
    assert "The same command goes on with it." in terminal.shown
    assert again.code == 0, again
    assert len(list((tmp_path / "out").glob("*.png"))) == len(again.out.splitlines()) == 8


async def test_nobody_who_reads_on_is_no_reason_to_complain(person: Person) -> None:
    process = await asyncio.create_subprocess_shell(
        f'"{sys.executable}" -m app.cli list | true',
        cwd=ROOT,
        env=os.environ | {"COMFY_RELAY_URL": person.api.url, "COMFY_RELAY_KEY": KEY},
        stderr=asyncio.subprocess.PIPE,
    )

    _, said = await process.communicate()

    assert said == b""


@pytest.mark.timeout(150)
async def test_a_batch_whose_command_and_service_are_killed_has_everything_once(
    make_settings: MakeSettings, tmp_path: Path
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.02)) as comfy:
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url})
        async with KillableService(settings, port=free_port()) as api:
            person = Person(api, tmp_path)
            rows = "prompt,seed\n" + "".join(f"number {n},{n}\n" for n in range(ITEMS))
            words = ("batch", person.file("b.csv", rows.encode()), "-s", "steps=1", "-s", "width=64", "-s", "height=64")
            for kill in (1, 2):
                async with person.at_terminal(*words, "-o", "out") as terminal:
                    goal = kill * ITEMS // 4
                    await terminal.until("b.csv")
                    await until(lambda goal=goal: len(comfy.executions) >= goal)  # type: ignore[misc]
                    await api.kill()
                    if kill == 1:
                        terminal.process.kill()
                    await api.start()
                    if kill == 2:  # It goes on by itself, until it is killed, too.
                        await until(lambda goal=goal: len(comfy.executions) >= goal + 5)  # type: ignore[misc]
                        terminal.process.kill()
            ran = await person.run(*words, "-o", str(tmp_path / "out"))

    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert ran.code == 0, ran
    assert Counter(comfy.executions.values()) == {1: ITEMS}
    assert manifest["isComplete"]
    assert [(item["prompt"], item["seed"]) for item in manifest["items"]] == [(f"number {n}", n) for n in range(ITEMS)]
    files = [file for item in manifest["items"] for file in item["files"]]
    assert len({file["file"] for file in files}) == len(list((tmp_path / "out").glob("*.png"))) == ITEMS
    for file in files:
        assert hashlib.sha256((tmp_path / "out" / file["file"]).read_bytes()).hexdigest() == file["sha256"]
