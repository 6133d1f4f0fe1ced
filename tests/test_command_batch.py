"""`comfy-relay batch` against a running service: made once, kept whole, gone on with, and summed up."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.commands.batch_state import NAME
from tests import documents
from tests.commands import Person, api, person
from tests.files import png
from tests.service import Json

__all__ = ["api", "person"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS: Final = (
    b'prompt,seed,steps,width,height\na lighthouse,1,1,64,64\n"a harbour, at dawn",2,1,64,64\nboats,,1,64,64\n'
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(step_s=0)) as simulator:
        yield simulator


def manifest(out: Path) -> Json:
    """That of a folder in which every file is as it says."""
    found: Json = json.loads((out / "manifest.json").read_text())
    for item in found["items"]:
        for file in item["files"]:
            content = (out / file["file"]).read_bytes()
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["sizeBytes"])
    return found


def names(out: Path) -> list[str]:
    return sorted(path.name for path in out.iterdir() if not path.name.startswith("."))


async def test_every_row_is_made_and_kept_under_a_good_name(person: Person, tmp_path: Path) -> None:
    out = tmp_path / "out"

    ran = await person.run("batch", person.file("b.csv", ROWS), "-o", str(out))

    items = manifest(out)["items"]
    seed = items[2]["seed"]
    kept = ["0001-a-lighthouse-1.png", "0002-a-harbour-at-dawn-2.png", f"0003-boats-{seed}.png"]
    assert ran.code == 0, ran
    assert ran.out.splitlines() == [str(out / name) for name in kept]
    assert names(out) == [*kept, "manifest.json"]
    assert [(item["place"], item["prompt"], item["params"]["steps"]) for item in items] == [
        ("b.csv line 2", "a lighthouse", 1),
        ("b.csv line 3", "a harbour, at dawn", 1),
        ("b.csv line 4", "boats", 1),
    ]
    assert ran.err.splitlines()[-1] == "b.csv: 100% 3/3"
    assert "\x1b" not in ran.err + ran.out


async def test_started_again_it_makes_nothing_and_fetches_what_is_not_whole(
    person: Person, comfy: Simulator, tmp_path: Path
) -> None:
    file, out = person.file("b.csv", ROWS), tmp_path / "out"
    first = await person.run("batch", file, "-o", str(out))
    made = len(comfy.executions)
    (out / "0001-a-lighthouse-1.png").write_bytes(b"half")
    (out / "0002-a-harbour-at-dawn-2.png").unlink()
    before = manifest_of_kept(out)

    again = await person.run("batch", file, "-o", str(out))

    assert (again.code, len(comfy.executions)) == (0, made)
    assert len(again.out.splitlines()) == len(first.out.splitlines()) == 3
    assert (out / "0001-a-lighthouse-1.png").read_bytes() == b"half"
    assert {"0001-a-lighthouse-1_2.png", "0002-a-harbour-at-dawn-2.png"} <= set(names(out))
    assert {item["generationId"] for item in manifest(out)["items"]} == before


def manifest_of_kept(out: Path) -> set[str]:
    found: Json = json.loads((out / "manifest.json").read_text())
    return {item["generationId"] for item in found["items"]}


async def test_rows_and_values_that_are_added_are_all_that_is_made(
    person: Person, comfy: Simulator, tmp_path: Path
) -> None:
    file, out = person.file("b.csv", ROWS), tmp_path / "out"
    await person.run("batch", file, "--matrix", "cfg=4,7", "-o", str(out))
    made = len(comfy.executions)

    person.file("b.csv", ROWS + b"a tower,9,1,64,64\n")
    more = await person.run("batch", file, "--matrix", "cfg=4..8:1,9", "--matrix", "sampler=euler", "-o", str(out))
    longer = await person.run("batch", file, "--matrix", "cfg=4,7,8", "-o", str(out))

    assert more.code == longer.code == 0
    # Another sampler in the request is another request; a longer range of the same ones is not.
    assert len(comfy.executions) == made + 4 * 6 + (4 * 3 - 6)
    assert len(manifest(out)["items"]) == 12


async def test_another_batch_in_the_same_folder_is_refused_until_it_is_wanted(person: Person, tmp_path: Path) -> None:
    file, out = person.file("b.csv", ROWS), str(tmp_path / "out")
    await person.run("batch", file, "-o", out)

    other_set = await person.run("batch", file, "-s", "cfg=3", "-o", out)
    other_file = await person.run("batch", person.file("c.csv", ROWS), "-o", out)
    wanted = await person.run("batch", file, "-s", "cfg=3", "-o", out, "--fresh")

    assert (other_set.code, other_file.code, wanted.code) == (2, 2, 0)
    assert "choose another -o, or start over with --fresh" in other_set.err
    assert "holds the batch of b.csv" in other_file.err
    assert len(names(tmp_path / "out")) == 7


async def test_lines_of_json_tell_everything_and_a_service_that_forgot_makes_nothing_twice(
    person: Person, comfy: Simulator, tmp_path: Path
) -> None:
    file = person.file(
        "b.jsonl", b'{"prompt": "a", "steps": 1, "key": "one"}\n{"prompt": "b", "steps": 1, "key": "two"}\n'
    )
    out = tmp_path / "out"
    first = await person.run("batch", file, "-q", "--json", "-o", str(out))
    made = len(comfy.executions)
    state = (out / NAME).read_text()
    batch_id = json.loads(first.out.splitlines()[0])["id"]
    (out / NAME).write_text(state.replace(batch_id, "6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11"))

    again = await person.run("batch", file, "--json", "-o", str(out))

    lines = [json.loads(line) for line in first.out.splitlines()]
    assert (first.code, first.err) == (0, "")
    assert [line["type"] for line in lines] == ["batch", "item", "item", "complete"]
    assert {line["key"] for line in lines[1:3]} == {"one", "two"}
    assert lines[-1] == {"type": "complete", "total": 2, "kept": 2, "failed": 0, "manifest": str(out / "manifest.json")}
    assert (again.code, len(comfy.executions)) == (0, made)
    assert "does not know this batch any more; 2 items of it are here" in again.err
    assert [item["status"] for item in manifest(out)["items"]] == ["succeeded", "succeeded"]


async def test_failures_are_summed_up_by_line_and_tried_again(person: Person, comfy: Simulator, tmp_path: Path) -> None:
    file, out = person.file("b.csv", ROWS), tmp_path / "out"
    comfy.faults.out_of_memory = True
    try:
        failed = await person.run("batch", file, "-o", str(out))
    finally:
        comfy.faults.reset()

    left = await person.run("batch", file, "-o", str(out))
    again = await person.run("batch", file, "-o", str(out), "--retry-failed")

    assert (failed.code, left.code, again.code) == (1, 1, 0)
    said = failed.err.splitlines()
    assert said[-4] == "3 of 3 failed; --retry-failed tries them again"
    assert min(said[-3:]).startswith("  b.csv line 2: out_of_memory, ")
    assert "Trying 3 failed again." in again.err
    assert len(manifest(out)["items"]) == len(again.out.splitlines()) == 3


async def test_a_dry_run_counts_and_shows_and_makes_nothing(person: Person, comfy: Simulator, tmp_path: Path) -> None:
    file, made = person.file("b.csv", ROWS), len(comfy.executions)
    words = ("batch", file, "--matrix", "cfg=4,7", "--runs", "2", "--dry-run", "-o", str(tmp_path / "out"))

    ran = await person.run(*words)
    as_json = json.loads((await person.run(*words, "--json")).out)

    lines = ran.out.splitlines()
    assert (ran.code, len(comfy.executions), (tmp_path / "out").exists()) == (0, made, False)
    assert lines[0] == "12 items (3 rows x 2 of --matrix cfg x 2 runs)"
    assert lines[1] == "  b.csv line 2: prompt=a lighthouse, seed=1, steps=1, width=64, height=64, cfg=4"
    assert lines[-1] == "  and 7 more"
    assert (as_json["total"], as_json["items"][1]["seed"]) == (12, 2)


async def test_a_file_of_yaml_with_axes_pictures_and_a_pipe(person: Person, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(png(64, 64))
    whole = b"""
base: {template: img2img, steps: 1}
items:
  - {prompt: in winter, image: in.png}
  - {prompt: in spring, references: [in.png]}
matrix: {seed: [1, 2]}
maxInFlight: 2
"""
    rows = b'{"prompt": "piped", "steps": 1, "width": 64, "height": 64}\n'

    made = await person.run("batch", person.file("b.yaml", whole), "-o", str(tmp_path / "a"))
    piped = await person.run("batch", "-", "--format", "jsonl", "-o", str(tmp_path / "b"), stdin=rows)

    assert (made.code, piped.code) == (0, 0), (made, piped)
    assert names(tmp_path / "a")[:4] == [
        "0001-in-winter-1.png",
        "0002-in-winter-2.png",
        "0003-in-spring-1.png",
        "0004-in-spring-2.png",
    ]
    assert len(names(tmp_path / "b")) == 2


async def test_a_manifest_of_something_else_is_not_written_over(person: Person, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')

    ran = await person.run("batch", person.file("b.csv", ROWS), "-o", str(tmp_path))

    assert (ran.code, ran.out) == (2, "")
    assert "belongs to something else" in ran.err
    assert (tmp_path / "manifest.json").read_text() == '{"name": "a web page"}'
    assert names(tmp_path) == ["b.csv", "manifest.json"]


async def test_a_batch_may_be_started_now_and_fetched_later(person: Person, tmp_path: Path) -> None:
    file, out = person.file("b.csv", ROWS), tmp_path / "out"

    started = await person.run("batch", file, "-o", str(out), "--detach", "--project", "shop")
    fetched = await person.run("batch", file, "-o", str(out), "--project", "shop")

    batch = (await person.api.http.get(f"/api/batches/{started.out.strip()}")).json()
    assert (started.code, fetched.code) == (0, 0)
    assert (batch["total"], batch["projectId"], batch["priority"]) == (3, "shop", -100)
    assert len(fetched.out.splitlines()) == 3


async def test_the_commands_of_the_readme_run_as_they_stand(person: Person, tmp_path: Path) -> None:
    (script,) = documents.blocks(documents.section(documents.README.read_text(), "From the command line"), "sh")

    shell = await asyncio.create_subprocess_exec(
        *("sh", "-eu", "-c", script),
        cwd=tmp_path,
        env=person.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await shell.communicate()

    assert shell.returncode == 0, said.decode()
    assert names(tmp_path / "out") == ["a-lighthouse-at-dusk-42.png"]
    assert len(manifest(tmp_path / "lighthouses")["items"]) == 12
