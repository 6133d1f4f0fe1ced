"""What the package promises besides its answers: one surface for both clients, types, errors, and what it costs."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any, assert_type
from uuid import uuid4

import pytest

from comfy_relay import AsyncClient, Client, Event, Generation, Problem, Status, Unreachable
from comfy_relay.records import FailureCode
from tests.client.running import KEY, ROOT, Demo, Scripted, answer
from tests.client.speaking import Speaks

OWN = {"close", "aclose"}


def methods(kind: type) -> dict[str, Any]:
    return {name: method for name, method in inspect.getmembers(kind, callable) if not name.startswith("_")}


def parameters(method: Any) -> list[tuple[str, Any]]:
    return [(each.name, each.default) for each in inspect.signature(method).parameters.values()]


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    blocking, asynchronous = methods(Client), methods(AsyncClient)

    assert set(blocking) - OWN == set(asynchronous) - OWN
    assert len(blocking) > 30
    for name in set(blocking) - OWN:
        assert parameters(blocking[name]) == parameters(asynchronous[name]), name
        assert inspect.getdoc(blocking[name]) == inspect.getdoc(asynchronous[name]), name
    assert parameters(Client) == parameters(AsyncClient)


def test_every_method_is_documented_and_shows_what_it_gives() -> None:
    for name, method in (methods(Client) | methods(AsyncClient)).items():
        shown = str(inspect.signature(method))
        assert inspect.getdoc(method), name
        assert "Steps" not in shown, name
        assert "Flow" not in shown, name
        assert "core" not in shown, name
    assert str(inspect.signature(Client.get)).endswith("-> 'Generation'")
    assert inspect.iscoroutinefunction(AsyncClient.get)


def test_types_are_known_to_who_checks_them(demo: Demo) -> None:
    with Client(demo.url, KEY) as relay:
        generation = relay.run("typed", steps=1, width=64, height=64)
        assert_type(generation, Generation)
        events = relay.follow(generation)
        assert_type(events, Generator[Event, None, None])
        assert_type(relay.download_all(generation, demo.folder), tuple[Path, ...])
        events.close()


async def test_types_of_the_asynchronous_client_are_known(demo: Demo) -> None:
    async with AsyncClient(demo.url, KEY) as relay:
        generation = await relay.run("typed", steps=1, width=64, height=64)
        assert_type(generation, Generation)
        events = relay.follow(generation)
        assert_type(events, AsyncGenerator[Event, None])
        await events.aclose()
        assert_type(await relay.read(generation.outputs[0]), bytes)


def test_importing_it_brings_no_http_library_and_nothing_of_the_service() -> None:
    code = "import comfy_relay, sys; print(*sys.modules)"

    imported = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    roots = {name.partition(".")[0] for name in imported.stdout.split()}
    assert not roots & {"app", "httpx", "pydantic", "fastapi", "asyncio", "rich", "typer"}
    assert (Path(ROOT) / "comfy_relay" / "py.typed").exists()


@pytest.mark.parametrize("url", ["ftp://here", "http://", "http://[::1", "http://here:port", "http://here:99999"])
def test_an_address_that_is_none_is_told_at_once(speak: Speaks, url: str) -> None:
    with pytest.raises(ValueError, match="address of a service"):
        speak(url=url)


def test_a_key_no_header_can_hold_is_told_at_once(speak: Speaks) -> None:
    with pytest.raises(ValueError, match="line break"):
        speak(key="two\nlines")


def test_address_and_key_come_from_the_environment(
    speak: Speaks, script: Scripted, monkeypatch: pytest.MonkeyPatch
) -> None:
    script.answers = [answer(200, b'{"status": "ok"}')]
    monkeypatch.setenv("COMFY_RELAY_URL", script.url.removeprefix("http://"))
    monkeypatch.setenv("COMFY_RELAY_KEY", "a key")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")

    assert speak().health().status == "ok"
    assert script.asked[0].headers["authorization"] == "Bearer a key"
    assert speak(url="http://there.example/").url == "http://there.example"


def test_without_an_environment_it_is_on_this_machine(speak: Speaks) -> None:
    assert speak().url == "http://127.0.0.1:8000"


def test_a_path_in_front_of_the_routes_is_kept(speak: Speaks, script: Scripted) -> None:
    script.answers = [answer(200, b'{"id": "x", "status": "succeeded"}'), answer(200, b"content")]
    relay = speak(url=f"{script.url}/relay/")

    relay.get("a/b c")
    content = relay.read("/api/generations/x/outputs/0?token=1.2")

    lines = [asked.line for asked in script.asked]
    assert content == b"content"
    assert lines[0] == "GET /relay/api/generations/a%2Fb%20c HTTP/1.1"
    assert lines[1] == "GET /relay/api/generations/x/outputs/0?token=1.2 HTTP/1.1"


def test_a_missing_or_wrong_key_is_told_with_its_remedy(demo: Demo, speak: Speaks) -> None:
    for key in ("", "wrong", "schlüssel"):
        with pytest.raises(Problem, match="COMFY_RELAY_KEY") as raised:
            speak(url=demo.url, key=key).get("x")
        assert raised.value.code == "unauthorized"


def test_words_of_a_newer_service_are_taken_as_they_are() -> None:
    record = Generation.of({"id": "x", "status": "paused", "error": {"code": "burnt", "message": "hot"}, "new": 1})

    assert record.status == "paused"
    assert Status("paused") == "paused"
    assert record.error is not None
    assert record.error.code == FailureCode("burnt")
    assert record.raw["new"] == 1
    assert not record.is_over


def test_what_the_service_has_can_be_read(relay: Client) -> None:
    assert {"txt2img", "img2img"} <= {template.name for template in relay.templates()}
    assert relay.template("txt2img").parameters_schema["type"] == "object"
    assert "euler" in relay.models().samplers
    assert [backend.healthy for backend in relay.backends()] == [True]
    assert relay.ready().ready
    assert relay.version()


def test_templates_and_projects_are_made_and_removed(relay: Client, tmp_path: Path) -> None:
    graph = relay.workflow(relay.generate("for a template", steps=1))
    file = tmp_path / "graph.json"
    file.write_text("\ufeff" + json.dumps(graph), encoding="utf-8")
    name = f"t-{uuid4()}"

    drafted = relay.create_template(name, graph, dry_run=True)
    made = relay.create_template(name, file, title="Mine", bindings={"cfg": None})
    with pytest.raises(Problem, match="already"):
        relay.create_template(name, graph)
    replaced = relay.create_template(name, graph, replace=True)
    relay.remove_template(name)

    assert drafted.version is None
    assert (made.version, made.title, replaced.version) == (1, "Mine", 2)
    assert "cfg" not in {parameter.name for parameter in made.parameters}
    assert name not in {template.name for template in relay.templates()}
    relay.create_project(name, title="Shop", metadata={"a": 1})
    assert (relay.project(name).title, relay.project(name).metadata) == ("Shop", {"a": 1})
    assert name in {project.id for project in relay.projects()}


def test_what_cannot_be_sent_as_json_is_an_error_of_the_callers(relay: Client) -> None:
    with pytest.raises(ValueError, match="JSON"):
        relay.generate("x", cfg=float("nan"))
    with pytest.raises(TypeError):
        relay.generate("x", metadata={"at": object()})
    with pytest.raises(Problem):
        relay.generate("half a pair \ud800")


def test_nobody_answering_names_who_was_asked(speak: Speaks) -> None:
    with pytest.raises(Unreachable, match=r"http://relay\.invalid"):
        speak(url="http://relay.invalid", retry_for_s=0).health()
