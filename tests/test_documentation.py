"""The pages tell the truth: settings, codes, routes, events and commands are those of the code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, Final, get_args

import jsonschema
import pytest

from app.api.request_schemas import GenerationCreate
from app.errors import AppError
from app.events import Event
from app.main import create_app
from app.records import ErrorCode, Status
from app.settings import Settings
from tests import documents, files
from tests.documents import PAGES, README, ROOT, table
from tests.service import Service
from tests.waiting import WITHIN_S

HTTP_CODES: Final = {("method_not_allowed", "405"), ("range_not_satisfiable", "416")}
"""Codes that are made where HTTP is spoken, not by a class of error."""

README_TEXT: Final = README.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    document: dict[str, Any] = create_app(Settings(_env_file=None)).openapi()
    return document


def operations(openapi: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every operation by "GET /path", without HEAD, which is GET's shadow."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in openapi["paths"].items()
        for method, operation in methods.items()
        if method != "head"
    }


def example_lines() -> list[tuple[str, str, str]]:
    """(description, name, default) of each setting in .env.example."""
    text = (ROOT / ".env.example").read_text(encoding="utf-8")
    return re.findall(r"^# (.+)\n#(COMFY_RELAY_\w+)=(.*)$", text, re.MULTILINE)


def every_error() -> list[type[AppError]]:
    """AppError and everything below it."""
    found: list[type[AppError]] = [AppError]
    for kind in found:
        found.extend(kind.__subclasses__())
    return found


def variables() -> dict[str, str]:
    """The environment variable of each setting, and what it is for."""
    fields = Settings.model_fields.items()
    return {f"COMFY_RELAY_{name.upper()}": field.description or "" for name, field in fields}


def test_the_example_file_lists_every_setting_with_its_description() -> None:
    assert {name: description for description, name, _ in example_lines()} == variables()


def test_the_example_file_without_its_comment_signs_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("\n".join(f"{name}={default}" for _, name, default in example_lines()), encoding="utf-8")

    from_file = Settings(_env_file=path)

    assert from_file == Settings(_env_file=None)


def test_the_readme_lists_every_setting_with_default_and_description() -> None:
    shown = {name: (default.strip("`"), meaning) for name, default, meaning in table(README_TEXT, "Settings")}

    assert shown == {name: (default or "unset", text) for text, name, default in example_lines()}


def test_the_readme_lists_every_code_of_a_failed_generation() -> None:
    assert {row[0] for row in table(README_TEXT, "Why a generation failed")} == set(ErrorCode)


def test_the_readme_lists_every_code_of_a_problem_with_its_status() -> None:
    shown = {(code, status) for code, status, _ in table(README_TEXT, "What a request can be told")}

    assert shown == {(kind.code, str(kind.status)) for kind in every_error()} | HTTP_CODES


def test_the_readme_lists_every_event_and_every_status() -> None:
    tags = {kind.__struct_config__.tag for kind in get_args(Event)}

    assert {row[0] for row in table(README_TEXT, "Events")} == tags
    assert {row[0] for row in table(README_TEXT, "States")} == set(Status)


def test_the_readme_lists_every_route_and_no_other(openapi: dict[str, Any]) -> None:
    assert {row[0] for row in table(README_TEXT, "Routes")} == set(operations(openapi))


def test_every_operation_is_described_with_its_errors(openapi: dict[str, Any]) -> None:
    for name, operation in operations(openapi).items():
        assert operation.get("description"), name
        problems = {status: answer for status, answer in operation["responses"].items() if status in {"401", "422"}}
        kind = "application/json" if " /api/v2/" in name else "application/problem+json"
        for answer in problems.values():
            assert kind in answer["content"], name
        is_guarded = name.split()[1].startswith(("/api", "/v1"))
        assert ("401" in operation["responses"]) is is_guarded, name
        assert ("404" in operation["responses"]) is (
            "{" in name or name.endswith(("/progress", "/from-hash")) or "/v1/images" in name
        ), name


def test_every_reference_in_the_openapi_document_leads_somewhere(openapi: dict[str, Any]) -> None:
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', json.dumps(openapi)))

    assert references
    assert references <= set(openapi["components"]["schemas"])


async def test_the_examples_of_a_request_are_valid_and_run(openapi: dict[str, Any], api: Service) -> None:
    schema = openapi["components"]["schemas"]["GenerationCreate"]
    assert len(schema["examples"]) >= 2

    for example in schema["examples"]:
        jsonschema.validate(example, {**openapi, **schema})
        GenerationCreate.model_validate(example)
        answer = await api.generate(**example)
        assert (await api.finished(answer["id"]))["status"] == "succeeded"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_files_of_a_page_exist(path: Path) -> None:
    page = path.read_text(encoding="utf-8")

    for link in documents.links(page):
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.exists(), link
        assert not anchor or anchor in documents.anchors(target.read_text(encoding="utf-8")), link
    for name in documents.files(page):
        assert (ROOT / name).exists(), name


def test_pages_named_in_the_code_exist() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "app").rglob("*.py")]
    named = {name for source in sources for name in re.findall(r"\bdocs/[\w/-]+\.md", source)}

    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_decision_is_in_the_index_and_says_what_it_must() -> None:
    folder = ROOT / "docs" / "adr"
    decisions = sorted(path.name for path in folder.glob("[0-9]*.md"))
    index = (folder / "README.md").read_text(encoding="utf-8")

    assert documents.links(index) == decisions
    assert [int(name[:4]) for name in decisions] == list(range(1, len(decisions) + 1))
    for name in decisions:
        text = (folder / name).read_text(encoding="utf-8")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequences", "Alternatives"]


def test_the_changelog_has_a_place_for_what_comes_next() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    assert re.findall(r"^## (.+)$", text, re.MULTILINE)[0] == "[Unreleased]"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_on_a_page_exist(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")

    assert documents.make_targets(page) <= set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    for arguments in documents.relay_commands(page):
        documents.check_arguments(arguments)


def test_the_readme_names_the_commands_of_a_newcomer() -> None:
    assert {"demo", "serve"} <= documents.make_targets(README_TEXT)
    assert ["db", "upgrade"] in documents.relay_commands(README_TEXT)


@pytest.mark.parametrize(
    ("heading", "made"),
    [
        ("First picture", "first.png"),
        ("Start, follow, fetch", "lighthouse.png"),
        ("A workflow of your own", None),
        ("Pictures, videos and sounds as input", None),
        ("Many at once", None),
        ("Webhooks", None),
    ],
)
async def test_the_curls_of_the_readme_run_as_they_stand(
    heading: str, made: str | None, api: Service, tmp_path: Path
) -> None:
    if shutil.which("curl") is None and not os.environ.get("TEST_REQUIRE_ALL"):
        pytest.skip("curl is not installed")
    blocks = documents.blocks(documents.section(README_TEXT, heading), "sh")
    script = "\n".join(block for block in blocks if "curl" in block).replace("http://127.0.0.1:8000", api.url)
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "mine"}},
    }
    (tmp_path / "workflow_api.json").write_text(json.dumps(graph), encoding="utf-8")
    if made is None:
        (tmp_path / "first.png").write_bytes(files.png(64, 48))

    shell = await asyncio.create_subprocess_exec(
        *("sh", "-eu", "-c", script), cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    async with asyncio.timeout(WITHIN_S):
        said, _ = await shell.communicate()

    assert script
    assert shell.returncode == 0, said
    page = await api.http.get("/api/generations")
    assert {(await api.finished(item["id"]))["status"] for item in page.json()["items"]} == {"succeeded"}
    if made is not None:
        assert (tmp_path / made).read_bytes().startswith(b"\x89PNG"), said


def test_contributing_names_every_module_of_the_parts_it_explains() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(documents.files(documents.section(page, "Layout, and who may import whom")))

    modules = {f"app/{path.name}" for path in (ROOT / "app").glob("*.py")} - {"app/__init__.py"}
    assert modules <= named
