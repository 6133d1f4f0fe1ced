"""`comfy-relay generate` and the commands that look, against a running service: what they print, keep, and end with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.commands import Person, api, person
from tests.files import png
from tests.process import free_port

__all__ = ["api", "person"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

TINY: Final = ("-s", "steps=2", "-s", "width=64", "--set", "height=64")
GRAPH: Final = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "hello"}},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def comfy() -> AsyncIterator[Simulator]:
    async with Simulator(SimulatorOptions(step_s=0.005)) as simulator:
        yield simulator


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_picture_is_made_and_its_path_is_all_that_stdout_has(person: Person, tmp_path: Path) -> None:
    ran = await person.run("generate", "A lighthouse, at dusk", *TINY, "--seed", "42", "-o", str(tmp_path / "out"))

    path = tmp_path / "out" / "a-lighthouse-at-dusk-42.png"
    assert (ran.code, ran.out) == (0, f"{path}\n")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "A lighthouse, at dusk: 100% 2/2, done in" in ran.err
    assert "\x1b" not in ran.err + ran.out


async def test_quiet_says_nothing_and_json_has_the_record_and_the_files(person: Person, tmp_path: Path) -> None:
    words = ("generate", "a harbour", *TINY, "--count", "2", "--seed", "7", "--json", "--quiet", "-o", str(tmp_path))

    ran = await person.run(*words, "--project", "shop", "--metadata", '{"order": 7}', "--priority", "5")

    first, second = (json.loads(line) for line in ran.out.splitlines())
    assert (ran.code, ran.err) == (0, "")
    assert [first["seed"], second["seed"]] == [7, 8]
    assert (first["projectId"], first["metadata"], first["priority"]) == ("shop", {"order": 7}, 5)
    for record in (first, second):
        (path,) = record["files"]
        content = (tmp_path / Path(path).name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == record["outputs"][0]["sha256"]


async def test_events_are_lines_of_json_too(person: Person, tmp_path: Path) -> None:
    ran = await person.run("generate", "x", *TINY, "--json", "--events", "-o", str(tmp_path))

    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [lines[0]["type"], lines[-2]["type"]] == ["connected", "complete"]
    assert lines[-1]["files"]


async def test_a_name_of_ones_own_overwrites_nothing(person: Person, tmp_path: Path) -> None:
    words = ("generate", "x", *TINY, "--seed", "1", "-o", str(tmp_path / "mine.png"))
    (tmp_path / "mine.png").write_bytes(b"somebody's")

    first = await person.run(*words)
    again = await person.run(*words)

    assert [first.out, again.out] == [f"{tmp_path / 'mine_2.png'}\n", f"{tmp_path / 'mine_3.png'}\n"]
    assert (tmp_path / "mine.png").read_bytes() == b"somebody's"


async def test_a_graph_from_a_pipe_and_reference_files_are_sent(person: Person, tmp_path: Path) -> None:
    (tmp_path / "in.png").write_bytes(png(64, 64))
    graph = json.dumps(GRAPH).encode()

    ran = await person.run("generate", "--workflow", "-", "-o", str(tmp_path / "a"), stdin=graph)
    changed = await person.run(
        *("generate", "in winter", "-t", "img2img", "-s", "steps=2", "--reference", str(tmp_path / "in.png")),
        *("-o", str(tmp_path / "b")),
    )
    by_name = await person.run(
        *("generate", "x", "-t", "img2img", "-s", "steps=1", "-s", f"image={tmp_path / 'in.png'}", "--detach")
    )

    assert ran.code == changed.code == by_name.code == 0, (ran, changed, by_name)
    assert names_in(tmp_path / "a") == ["generation.png"]
    assert len(names_in(tmp_path / "b")) == 1
    assert (await person.api.finished(by_name.out.strip()))["status"] == "succeeded"


async def test_a_failure_ends_with_1_and_says_why(person: Person, comfy: Simulator, tmp_path: Path) -> None:
    comfy.faults.out_of_memory = True
    try:
        ran = await person.run("generate", "x", *TINY, "-o", str(tmp_path))
    finally:
        comfy.faults.reset()

    assert (ran.code, ran.out) == (1, "")
    assert "out_of_memory" in ran.err.splitlines()[-1]
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["generate"], 2, "prompt: is missing"),
        (["generate", "x", "-s", "stesp=3"], 2, "--set stesp: is no parameter of template 'txt2img'; did you mean"),
        (
            ["generate", "x", "-s", "steps=many"],
            2,
            "--set steps: must be a whole number from 1 up to 150, not the text 'many'; write a number",
        ),
        (["generate", "x", "--deadline", "-1"], 2, "--deadline: must be"),
        (["generate", "x", "-t", "img2img", "--reference", __file__], 2, f"--reference {__file__}: The file's content"),
        (["generate", "x", "-t", "img2img", "-s", f"image={__file__}"], 2, f"--set image={__file__}: The file's con"),
        (["generate", "x", "--seed", "-7"], 2, "--seed: must be"),
        (["generate", "x", "--seed", str(2**64)], 2, "--seed: must be"),
        (["generate", "x", "--seed", str(2**64), "-n", "2"], 2, "--seed: must be"),
        (["generate", "x", "-t", "nothing"], 2, "--template: "),
        (["generate", "x", "-t", "nothing", "-s", "steps=1"], 2, "There is no template 'nothing'"),
        (["generate", "x", "-s", "steps"], 2, "--set steps: write NAME=VALUE"),
        (["generate", "x", "--metadata", "["], 2, "--metadata: is no JSON"),
        (["generate", "x", "--metadata", "[]"], 2, "--metadata: must be a JSON object"),
        (["generate", "--workflow", "nowhere.json"], 2, "nowhere.json: cannot be read"),
        (["generate", "--workflow", "/dev/zero"], 2, "/dev/zero: cannot be read (it is larger than 64 MB)"),
        (["generate", "--workflow", __file__], 2, "is no JSON file; in ComfyUI choose"),
        (["generate", "--workflow", __file__, "-t", "x"], 2, "is no JSON file"),
        (["generate", "x", "--reference", "nowhere.png"], 2, "--reference nowhere.png: there is no such file"),
        (["generate", "x", "--events"], 2, "--events: is for --json"),
        (["generate", "x", "-o", f"{__file__}/out"], 2, "cannot be made"),
        (["generate", "x", "--count", "0"], 2, "--count"),
        (["generate", "x", "--nonsense"], 2, "--nonsense"),
        (["show", "x"], 2, "x: is no id; give one as `list` shows it"),
        (["show", "6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11"], 1, "there is no such generation or batch"),
        (["fetch", "6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11"], 1, "there is no such generation or batch"),
        (["fetch", "6f1c1f0e"], 1, "there is no such generation or batch among the newest 500"),
        (["list", "--status", "done"], 2, "--status done: is none; choose from pending"),
        (["list", "--after", "tomorrow"], 2, "--after tomorrow: is no time"),
    ],
    ids=lambda given: " ".join(given)[-60:] if isinstance(given, list) else "",
)
async def test_what_was_asked_for_wrongly_is_told_in_the_words_of_the_command_line(
    person: Person, words: list[str], code: int, says: str
) -> None:
    ran = await person.run(*words)

    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert "Traceback" not in ran.err


async def test_generations_are_listed_shown_and_canceled(person: Person, tmp_path: Path) -> None:
    made = await person.run("generate", "the \x1b[31mone\nto find", *TINY, "--json", "-o", str(tmp_path))
    record = json.loads(made.out)

    listed = await person.run("list", "--text", "to find", "--status", "succeeded", "--after", "2020-01-01", "-n", "5")
    as_json = await person.run("list", "--text", "to find", "--json")
    shown = await person.run("show", record["id"])
    canceled = await person.run("cancel", record["id"], "6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11")

    head, row = listed.out.splitlines()
    assert head.split()[:2] == ["ID", "STATUS"]
    assert row.split()[:2] == [record["id"], "succeeded"]
    assert "\x1b" not in listed.out + shown.out
    assert [each["id"] for each in json.loads(as_json.out)["items"]] == [record["id"]]
    assert f"seed:        {record['seed']}" in shown.out.splitlines()
    assert (canceled.code, canceled.out.split()) == (1, [record["id"], "succeeded"])
    assert canceled.err.endswith("there is no such generation or batch\n")


async def test_models_and_backends_are_listed(person: Person) -> None:
    models = await person.run("models")
    backends = await person.run("backends")
    as_json = [json.loads((await person.run(each, "--json")).out) for each in ("models", "backends")]

    assert any(line.startswith("samplers ") and line.endswith(" euler") for line in models.out.splitlines())
    assert backends.out.splitlines()[1].split()[:2] == ["gpu-0", "up"]
    assert "euler" in as_json[0]["samplers"]
    assert as_json[1]["items"][0]["name"] == "gpu-0"


@pytest.mark.parametrize("words", [["generate", "x"], ["list"], ["cancel", "6f1c1f0e"], ["batch", "{file}"]])
async def test_where_no_service_is_a_command_ends_with_3(person: Person, tmp_path: Path, words: list[str]) -> None:
    file = person.file("b.csv", b"prompt\nx\n")
    url = f"http://127.0.0.1:{free_port()}"

    ran = await person.run(*(word.format(file=file) for word in words), "--url", url)

    assert (ran.code, ran.out) == (3, "")
    assert ran.err.splitlines()[-1] == f"no service answers at {url}; start it, or name another with --url"


async def test_without_the_right_key_a_command_ends_with_1(person: Person) -> None:
    none = await person.run("generate", "x", COMFY_RELAY_KEY="")
    wrong = await person.run("generate", "x", COMFY_RELAY_KEY="another")

    assert (none.code, none.out, wrong.code, wrong.out) == (1, "", 1, "")
    assert none.err == "An API key is required; give one with --key or COMFY_RELAY_KEY\n"
    assert wrong.err == "The key is not accepted; give another one with --key or COMFY_RELAY_KEY\n"


async def test_the_shell_completes_names_of_templates_and_is_silent_without_a_service(person: Person) -> None:
    asked: dict[str, Any] = {
        "_COMFY_RELAY_COMPLETE": "complete_bash",
        "COMP_WORDS": "comfy-relay generate -t fl",
        "COMP_CWORD": "3",
    }

    program = "from app.cli import main; main(prog_name='comfy-relay')"
    found = await person.process(start=("-c", program), **asked)
    away = await person.process(start=("-c", program), COMFY_RELAY_URL=f"http://127.0.0.1:{free_port()}", **asked)

    assert found.out.split() == ["flux-txt2img"]
    assert (away.out.strip(), away.err) == ("", "")


async def test_the_doctor_finds_a_service_sound(person: Person) -> None:
    ran = await person.run("doctor")
    as_json = json.loads((await person.run("doctor", "--json")).out)

    assert ran.code == 0
    assert [line.split()[0] for line in ran.out.splitlines()] == ["ok"] * 7
    assert (as_json["isSound"], as_json["findings"][-1]["name"]) == (True, "ComfyUI gpu-0")


async def test_the_doctor_says_what_helps_when_something_is_broken(person: Person) -> None:
    wrong_key = await person.run("doctor", COMFY_RELAY_KEY="another")
    nobody = await person.run("doctor", "--url", f"127.0.0.1:{free_port()}")

    assert (wrong_key.code, nobody.code) == (1, 1)
    assert "-> give another with --key or COMFY_RELAY_KEY" in wrong_key.out
    assert nobody.out.splitlines()[0].startswith("BROKEN  relay  no service answers at http://127.0.0.1:")


async def test_the_doctor_looks_at_the_settings_of_this_machine(
    person: Person, comfy: Simulator, tmp_path: Path
) -> None:
    places: dict[str, Any] = {
        "COMFY_RELAY_DATA_DIR": str(tmp_path / "data"),
        "COMFY_RELAY_DATABASE_URL": f"sqlite:///{tmp_path / 'db' / 'x.db'}",
    }

    fine = await person.run("doctor", "--local", COMFY_RELAY_COMFYUI_URLS=f"gpu={comfy.url}", **places)
    wrong = {**places, "COMFY_RELAY_DATA_DIR": str(Path(__file__) / "data")}
    away = f"a=http://127.0.0.1:{free_port()},b={person.api.url}"
    broken = await person.run("doctor", "--local", "--json", COMFY_RELAY_COMFYUI_URLS=away, **wrong)

    found = {each["name"]: each for each in json.loads(broken.out)["findings"]}
    assert fine.code == 0, fine
    assert "version 0.3.64-simulator" in fine.out
    assert "delivers in both directions" in fine.out
    assert "the first start makes it" in fine.out
    assert names_in(tmp_path) == []
    assert broken.code == 1
    assert {name for name, each in found.items() if each["state"] == "broken"} == {"ComfyUI a", "ComfyUI b", "folder"}
    assert all(each["remedy"] for each in found.values() if each["state"] == "broken")
