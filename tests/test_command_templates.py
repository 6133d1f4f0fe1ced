"""`comfy-relay templates` as a person runs it, against a running service: what it prints and how it ends.

Its life is run as processes; the many ways in which it may be refused are asked of the same commands in this process.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.comfyui.templates import load_builtin
from tests.api.standing import standing
from tests.commands import KEY, ROOT, Person, person
from tests.process import free_port
from tests.service import Service

__all__ = ["person"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

EDITOR: Final = ROOT / "tests" / "data" / "editor"
EDITOR_FILE: Final = json.loads((EDITOR / "txt2img.json").read_text("utf-8"))["file"]
UNKNOWN_FILE: Final = json.loads((EDITOR / "converted_widgets.json").read_text("utf-8"))["file"]
EXPORT: Final = ROOT / "tests" / "data" / "graphs" / "sd15_txt2img.json"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    async with (
        Simulator(SimulatorOptions(step_s=0)) as comfy,
        standing(tmp_path_factory, migrated_sqlite, comfy, api_keys=(KEY,)) as service,
    ):
        yield service


async def test_the_commands_are_those_of_comfy_relay(person: Person) -> None:
    listed = await person.process("templates", "list", start=("-m", "app.cli"))

    names = [line.split()[0] for line in listed.out.splitlines()]
    assert (listed.code, listed.err) == (0, "")
    assert set(load_builtin()) <= set(names)


async def test_a_file_of_the_editor_is_imported_listed_shown_and_removed(person: Person) -> None:
    file = person.file("My portrait (2).json", EDITOR_FILE)

    made = await person.process("import", file, "--title", "Portraits")
    listed = await person.process("list")
    shown = await person.process("show", "my-portrait-2")
    removed = await person.process("remove", "my-portrait-2")

    lines = made.out.splitlines()
    assert [(each.code, each.err) for each in (made, listed, shown, removed)] == [(0, "")] * 4
    assert lines[0] == "my-portrait-2 (version 1): Portraits"
    assert any(line.split()[:4] == ["prompt", "string", "->", "6.text"] and "(" in line for line in lines)
    assert any(line.startswith("  note: ") and "choices such as {a|b}" in line for line in lines)
    assert "my-portrait-2" in [line.split()[0] for line in listed.out.splitlines()]
    assert shown.out.splitlines()[0] == lines[0]
    assert removed.out == "my-portrait-2 is removed\n"
    assert not await person.has("my-portrait-2")


async def test_a_refused_command_ends_with_1_and_says_why_on_stderr(person: Person) -> None:
    refused = await person.process("show", "nothing")

    assert (refused.code, refused.out) == (1, "")
    assert refused.err == "Not found: There is no template 'nothing'.\n"


async def test_an_export_is_imported_and_the_template_runs(person: Person) -> None:
    made = await person.templates("import", str(EXPORT), "--name", "runs", "--json")

    answer = json.loads(made.out)
    record = await person.api.finished((await person.api.generate(template="runs", steps=1, width=64, height=64))["id"])
    assert (made.code, answer["name"], answer["version"]) == (0, "runs", 1)
    assert record["status"] == "succeeded"


async def test_a_dry_run_shows_everything_and_keeps_nothing(person: Person) -> None:
    tried = await person.templates("import", str(EXPORT), "--name", "tried", "--dry-run")

    assert tried.code == 0
    assert tried.out.splitlines()[0] == "tried (not stored): tried"
    assert "-> 6.text" in tried.out
    assert not await person.has("tried")


async def test_bindings_on_the_command_line_correct_what_was_inferred(person: Person) -> None:
    words = [
        "--bind",
        "side=5.width",
        "--bind",
        "side=5.height",
        "--bind",
        "negativePrompt=",
        "--bind",
        "prompt=7.text",
    ]

    made = await person.templates("import", str(EXPORT), "--name", "bound", "--dry-run", "--json", *words)

    found = {each["name"]: each["bindings"] for each in json.loads(made.out)["parameters"]}
    assert found["side"] == [["5", "width"], ["5", "height"]]
    assert found["prompt"] == [["7", "text"]]
    assert not {"negativePrompt", "width", "height"} & found.keys()


async def test_a_name_that_is_taken_is_told_and_replace_makes_a_new_version(person: Person) -> None:
    await person.templates("import", str(EXPORT), "--name", "taken")

    again = await person.templates("import", str(EXPORT), "--name", "taken")
    replaced = await person.templates("import", str(EXPORT), "--name", "taken", "--replace", "--title", "Newer")

    assert (again.code, again.out) == (1, "")
    assert again.err == (
        "There is a template of this name; --replace makes a new version of it, --name takes another name\n"
    )
    assert (replaced.code, replaced.out.splitlines()[0]) == (0, "taken (version 2): Newer")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["import", "{export}", "--name", "txt2img"], 1, "'txt2img' ships with the service"),
        (["import", "{export}", "--name", "txt2img", "--replace"], 1, "'txt2img' ships with the service"),
        (["import", "{export}", "--name", "nobodys", "--replace"], 1, "Not found; leave out --replace to make it"),
        (["import", "{export}", "--name", "Upper Case"], 2, "--name: must be made of lower-case letters"),
        (["import", "{export}", "--bind", "prompt=99.text"], 2, "--bind prompt: the workflow has no node '99'"),
        (["import", "{export}", "--bind", "My Size=5.width"], 2, "--bind My Size: 'My Size' is no camelCase name"),
        (["import", "{list}"], 2, "file: must be a JSON object"),
        (["import", "{circle}"], 2, "file, at /1: nodes '1' → '1' wait for each other in a circle"),
        (["import", "{unknown}"], 2, "file, at /nodes/2: node '3' ('PrimitiveString') has a class that no backend has"),
        (["import", "{half}"], 1, "The body cannot be read"),
        (["show", "nothing"], 1, "There is no template 'nothing'"),
        (["show", "a?b#c%/../x"], 1, "There is no template 'a?b#c%/../x'"),
        (["remove", "txt2img"], 1, "'txt2img' ships with the service"),
        (["remove", "nothing"], 1, "There is no template 'nothing'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
async def test_what_the_service_refuses_is_told_in_the_words_of_the_command_line(
    person: Person, words: list[str], code: int, says: str
) -> None:
    files = {
        "{export}": str(EXPORT),
        "{list}": person.file("list.json", []),
        "{circle}": person.file("circle.json", {"1": {"class_type": "A", "inputs": {"x": ["1", 0]}}}),
        "{unknown}": person.file("unknown.json", UNKNOWN_FILE),
        "{half}": person.file("half.json", {"1": {"class_type": "A", "inputs": {"x": "\ud800"}}}),
    }

    ran = await person.templates(*(files.get(word, word) for word in words))

    assert (ran.code, ran.out) == (code, "")
    assert says in ran.err
    assert "/bindings" not in ran.err


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", 2, "is no JSON file; in ComfyUI choose"),
        (b"{", 2, "is no JSON file; in ComfyUI choose"),
        (b"[" * 100_000, 2, "is no JSON file; in ComfyUI choose"),
        (None, 2, "cannot be read: No such file"),
    ],
    ids=["a picture", "half a file", "too deep", "no file"],
)
async def test_a_file_that_cannot_be_read_is_told_without_asking_the_service(
    person: Person, content: bytes | None, code: int, says: str
) -> None:
    file = "nowhere.json" if content is None else person.file("bad.json", content)

    ran = await person.templates("import", file, COMFY_RELAY_URL="http://127.0.0.1:1")

    assert ran.code == code
    assert says in ran.err
    assert "no service" not in ran.err


async def test_a_file_from_a_pipe_with_a_mark_and_odd_numbers_is_read(person: Person) -> None:
    graph = json.loads(EXPORT.read_text("utf-8"))
    graph["6"]["is_changed"] = [float("nan")]
    piped = b"\xef\xbb\xbf" + json.dumps(graph).encode()

    made = await person.process("import", "-", "--name", "piped", "--dry-run", stdin=piped)
    unnamed = await person.templates("import", "-", "--dry-run")

    assert (made.code, made.out.splitlines()[0]) == (0, "piped (not stored): piped")
    assert (unnamed.code, unnamed.out) == (2, "")
    assert "give one with --name" in unnamed.err


async def test_a_binding_without_a_place_is_told_how_to_write_it(person: Person) -> None:
    ran = await person.templates("import", str(EXPORT), "--bind", "prompt")

    assert (ran.code, ran.err) == (2, "--bind prompt: write NAME=NODE.INPUT, such as prompt=6.text\n")


@pytest.mark.parametrize("key", ["", "another key"])
async def test_without_the_right_key_the_person_is_told_where_to_put_it(person: Person, key: str) -> None:
    ran = await person.templates("list", COMFY_RELAY_KEY=key)

    assert (ran.code, ran.out) == (1, "")
    said = "The key is not accepted; give another one" if key else "An API key is required; give one"
    assert ran.err == f"{said} with --key or COMFY_RELAY_KEY\n"


async def test_an_address_that_is_none_is_told_as_wrong_usage(person: Person) -> None:
    ran = await person.templates("list", "--url", "http://[oops")
    empty = await person.templates("list", "--url", "")
    key = await person.templates("list", "--key", "a\nb")

    assert (ran.code, ran.out, empty.code, key.code) == (2, "", 2, 2)
    assert ran.err.startswith("--url: 'http://[oops' is no address of a service")
    assert empty.err == "--url: is empty; write it as http://host:8000\n"
    assert key.err.startswith("--key has characters that no header can hold")


@pytest.mark.parametrize("url", ["http://127.0.0.1:{port}", "127.0.0.1:{port}"])
async def test_where_no_service_is_the_person_is_told_which_address_was_tried(person: Person, url: str) -> None:
    url = url.format(port=free_port())

    ran = await person.templates("list", "--url", url)

    assert (ran.code, ran.out) == (3, "")
    assert (
        ran.err
        == f"no service answers at {url if '//' in url else f'http://{url}'}; start it, or name another with --url\n"
    )


async def test_an_address_may_come_without_its_scheme(person: Person) -> None:
    ran = await person.templates("show", "comfyui/flux", "--url", person.api.url.removeprefix("http://"))

    assert (ran.code, ran.out.splitlines()[0].split(" ")[0]) == (0, "flux-txt2img")


@pytest.mark.parametrize("said", [b"<html>", b"[]", b'{"error": 1}', b'{"title": 5, "errors": [1]}'])
@pytest.mark.parametrize("status", [b"200 OK", b"404 Not Found"])
async def test_another_program_at_that_address_is_not_taken_for_the_service(
    person: Person, status: bytes, said: bytes
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: %d\r\n\r\n" % len(said) + said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        ran = await person.templates("show", "txt2img", "--url", url)

    assert (ran.code, ran.out) == (3, "")
    assert "but not as a comfy-relay does" in ran.err
