"""What is asked of `comfy-relay batch` wrongly: told by its place before anything is made, and may be corrected."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.commands import Person, api, person

__all__ = ["api", "person"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROWS: Final = b"prompt,seed,steps,width,height\na lighthouse,1,1,64,64\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(step_s=0)) as simulator:
        yield simulator


@pytest.mark.parametrize(
    ("name", "content", "words", "code", "says"),
    [
        ("b.csv", b"prompt,stesp\na,1\nb,x\n", (), 2, ["b.csv line 2, stesp: is no parameter", "b.csv line 3, stesp"]),
        ("b.csv", b"prompt,steps\na,1\nb,0\n", (), 2, ["b.csv line 3, steps: must be a whole number"]),
        ("b.csv", b"prompt\na\n", ("--matrix", "cfg=4,999"), 2, ["--matrix cfg: must be a number"]),
        ("b.csv", b"prompt\na\n", ("-s", "cfg=999"), 2, ["--set cfg, or base: must be a number"]),
        ("b.csv", b"prompt,cfg\na,4\n", ("--matrix", "cfg=4"), 2, ["b.csv line 2, cfg: varies by --matrix cfg"]),
        ("b.csv", b"prompt,cfg\na,4\n", ("--set", "cfg=4"), 2, ["b.csv line 2, cfg: is set by --set cfg, too"]),
        ("b.csv", b"prompt\na\n", ("--matrix", "cfg"), 2, ["--matrix cfg: write NAME=VALUE"]),
        (
            "b.csv",
            b"prompt\na\n",
            ("--matrix", "cfg=1", "--matrix", "cfg=2"),
            2,
            ["cfg varies by --matrix cfg already"],
        ),
        ("b.csv", b"prompt\na\n", ("--matrix", "template=a,b"), 2, ["--matrix template: template cannot be varied"]),
        ("b.yaml", b"- prompt: a\n- prompt: b\n  steps: 0\n", (), 2, ["b.yaml line 2, steps: must be"]),
        ("b.yaml", b"base: {}\nzip: [{a: [1], b: [1, 2]}]\n", (), 2, ["b.yaml, zip/0: the lists go together"]),
        ("b.yaml", b"base: {prompt: a}\nruns: 0\n", (), 2, ["b.yaml, runs: must be a whole number"]),
        ("b.csv", b"prompt,template,image\na,img2img,b.csv\n", (), 2, ["b.csv: The file's content is of no type"]),
        ("b.txt", b"a", (), 2, ["b.txt: is called like no file of a batch"]),
        ("b.csv", b"prompt\na\n", ("-t", "nothing"), 2, ["There is no template 'nothing'"]),
    ],
)
async def test_what_is_wrong_is_told_by_its_line_before_anything_is_made(
    person: Person, comfy: Simulator, tmp_path: Path, name: str, content: bytes, words: Any, code: int, says: list[str]
) -> None:
    made = len(comfy.executions)

    ran = await person.run("batch", person.file(name, content), *words, "-o", str(tmp_path / "out"))

    assert (ran.code, ran.out, len(comfy.executions)) == (code, "", made)
    assert [each for each in says if each not in ran.err] == []
    assert "Traceback" not in ran.err


async def test_more_items_than_a_batch_takes_are_told_before_and_when_it_is_made(
    person: Person, tmp_path: Path
) -> None:
    words = ("batch", person.file("b.csv", b"prompt\na\n"), "-o", str(tmp_path / "out"), "--runs")

    tried = await person.run(*words, "10001", "--dry-run")
    never = await person.run(*words, "100001", "--dry-run")
    ran = await person.run(*words, "10001")

    assert (tried.code, never.code) == (0, 2)
    said = "b.csv: makes 10001 items, and a batch takes 10000"
    assert tried.err == f"{said}, unless the service is set otherwise; split it up\n"
    assert "takes 100000; split it up" in never.err
    assert f"{said}; split it up" in ran.err


async def test_a_mistake_may_be_corrected_in_the_same_folder(person: Person, tmp_path: Path) -> None:
    file, out = person.file("b.csv", ROWS), str(tmp_path / "out")

    wrong = await person.run("batch", file, "-s", "cfg=999", "-o", out)
    right = await person.run("batch", file, "-s", "cfg=9", "-o", out)

    assert (wrong.code, right.code) == (2, 0)
