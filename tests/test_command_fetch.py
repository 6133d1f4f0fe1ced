"""Generations and batches that were only started, and what is done with their ids: fetched, shown, canceled."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.commands import Person, api, person

__all__ = ["api", "person"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

TINY: Final = ("-s", "steps=1", "-s", "width=64", "-s", "height=64")
ROWS: Final = b"prompt,seed\na lighthouse,1\na harbour,2\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(step_s=0)) as simulator:
        yield simulator


async def test_what_was_only_started_is_fetched_with_the_command_that_was_told(person: Person, tmp_path: Path) -> None:
    out = str(tmp_path / "out")

    started = await person.run("generate", "a boat", *TINY, "--seed", "1", "-n", "2", "--detach", "-o", out)
    told = started.err.splitlines()[-1].split()
    fetched = await person.run(*told[1:])
    again = await person.run(*told[1:])

    paths = [f"{out}/a-boat-1.png", f"{out}/a-boat-2.png"]
    assert told == ["comfy-relay", "fetch", *started.out.split(), "-o", out]
    assert (fetched.code, fetched.out.splitlines()) == (0, paths)
    assert again.out == fetched.out
    assert len(list((tmp_path / "out").iterdir())) == 2


async def test_a_batch_that_was_only_started_is_fetched_shown_and_canceled(person: Person, tmp_path: Path) -> None:
    file, out = person.file("b.csv", ROWS), str(tmp_path / "out")

    started = await person.run("batch", file, *TINY, "--detach", "-o", str(tmp_path / "state"))
    batch_id = started.out.strip()
    fetched = await person.run("fetch", batch_id, "-o", out)
    as_json = await person.run("fetch", batch_id, "-o", out, "--json")
    shown = await person.run("show", batch_id)
    canceled = await person.run("cancel", batch_id)

    assert started.err.splitlines()[-1] == f"comfy-relay fetch {batch_id} -o {tmp_path / 'state'}"
    assert fetched.code == 0, fetched
    assert fetched.out.splitlines() == [f"{out}/0001-a-lighthouse-1.png", f"{out}/0002-a-harbour-2.png"]
    assert [json.loads(line)["files"] for line in as_json.out.splitlines()] == [[f] for f in fetched.out.splitlines()]
    assert "items:       2 (2 succeeded)" in shown.out.splitlines()
    assert (canceled.code, canceled.out.split()) == (0, [batch_id, "succeeded"])


async def test_the_beginning_of_an_id_will_do_where_no_other_one_has_it(person: Person, tmp_path: Path) -> None:
    made = json.loads((await person.run("generate", "x", *TINY, "--json", "-o", str(tmp_path))).out)

    shown = await person.run("show", made["id"][:8])
    canceled = await person.run("cancel", made["id"][:8])
    nothing = await person.run("cancel", made["id"][:7] + ("0" if made["id"][7] != "0" else "1"))

    assert shown.out.splitlines()[0] == f"id:          {made['id']}"
    assert (canceled.code, canceled.out.split()) == (0, [made["id"], "succeeded"])
    assert (nothing.code, nothing.out) == (1, "")


@pytest.mark.parametrize("columns", [80, 60])
async def test_a_list_at_a_terminal_has_room_for_prompts(person: Person, tmp_path: Path, columns: int) -> None:
    made = await person.run("generate", f"{columns} sails", *TINY, "--json", "-t", "txt2img", "-o", str(tmp_path))
    record = json.loads(made.out)

    async with person.at_terminal("list", "--text", f"{columns} sails", columns=columns) as terminal:
        code = await terminal.ended()
    piped = await person.run("list", "--text", f"{columns} sails")

    head, row = terminal.shown.splitlines()
    month_day = record["createdAt"][5:7]
    assert code == 0
    assert head.split()[:3] == ["ID", "STATUS", "CREATED"]
    assert row.startswith(f"{record['id'][:8]}  succeeded  {month_day}-")
    assert row.endswith(f"  {columns} sails")
    assert len(row) < columns
    assert piped.out.splitlines()[1].startswith(record["id"])


async def test_a_failure_is_told_by_what_fetches_it(person: Person, comfy: Simulator, tmp_path: Path) -> None:
    comfy.faults.out_of_memory = True
    try:
        started = await person.run("batch", person.file("f.csv", ROWS), *TINY, "--detach", "-o", str(tmp_path / "s"))
        ran = await person.run("fetch", started.out.strip(), "-o", str(tmp_path / "out"))
    finally:
        comfy.faults.reset()

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("out_of_memory") == 2
