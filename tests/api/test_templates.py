"""Templates over HTTP: those that ship, and those that callers make of their workflows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.comfyui.simulator import Simulator
from app.comfyui.templates import load_builtin
from tests.api.asking import picture, places, problem
from tests.conftest import MakeSettings, Serve
from tests.service import Json, Service

EDITOR_FILE = Path(__file__).parents[1] / "data" / "editor" / "txt2img.json"


def graph() -> Json:
    """A small txt2img as ComfyUI exports it."""
    api: Json = load_builtin()["txt2img"].workflow.to_api()
    api["5"]["inputs"] |= {"width": 64, "height": 64}
    api["3"]["inputs"]["steps"] = 2
    api["6"]["inputs"]["text"] = "a lighthouse"
    return api


async def create(api: Service, **body: Any) -> Json:
    answer = await api.http.post("/api/templates", json={"name": "mine", "workflow": graph(), **body})
    assert answer.status_code == 201, answer.text
    made: Json = answer.json()
    return made


async def test_all_built_in_templates_are_listed_with_their_schema(api: Service) -> None:
    listed = (await api.http.get("/api/templates")).json()["items"]

    assert {each["name"] for each in listed} == set(load_builtin())
    assert all(each["builtIn"] and each["version"] is None for each in listed)
    assert all(each["parametersSchema"]["type"] == "object" and each["parameters"] for each in listed)


async def test_an_alias_is_a_name_too(api: Service) -> None:
    by_alias = (await api.http.get("/api/templates/comfyui/flux")).json()

    assert by_alias["name"] == "flux-txt2img"


async def test_a_schema_lists_what_the_servers_really_have(api: Service, comfy: Simulator) -> None:
    template = (await api.http.get("/api/templates/txt2img")).json()

    offered = template["parametersSchema"]["properties"]["model"]["enum"]
    assert offered == (await api.http.get("/api/models")).json()["checkpoints"]


async def test_an_unknown_template_is_told(api: Service) -> None:
    answer = await api.http.get("/api/templates/nothing")

    assert problem(answer, 404, "not_found")


async def test_a_workflow_becomes_a_template_that_runs(api: Service) -> None:
    made = await create(api, title="Mine")

    answer = await api.generate(template="mine", prompt="a harbour", seed=5)
    record = await api.finished(answer["id"])

    inferred = {each["name"]: each for each in made["parameters"]}
    assert (made["name"], made["title"], made["version"], made["builtIn"]) == ("mine", "Mine", 1, False)
    assert inferred["prompt"]["bindings"] == [["6", "text"]]
    assert inferred["negativePrompt"]["bindings"] == [["7", "text"]]
    assert inferred["prompt"]["reason"]
    assert (record["status"], record["template"], record["templateVersion"]) == ("succeeded", "mine", 1)
    assert (record["params"]["prompt"], record["params"]["width"], record["seed"]) == ("a harbour", 64, 5)


async def test_the_file_that_the_editor_saves_becomes_a_template_that_runs(api: Service) -> None:
    made = await create(api, workflow=json.loads(EDITOR_FILE.read_text(encoding="utf-8"))["file"])

    record = await api.finished((await api.generate(template="mine", prompt="a pier", steps=1, seed=1))["id"])

    assert {"prompt", "negativePrompt", "seed", "steps", "model"} <= {each["name"] for each in made["parameters"]}
    assert record["status"] == "succeeded"


async def test_a_dry_run_shows_and_keeps_nothing(api: Service) -> None:
    answer = await api.http.post("/api/templates?dryRun=true", json={"workflow": graph()})
    afterwards = await api.http.get("/api/templates/unnamed")

    assert answer.status_code == 200
    assert "prompt" in {each["name"] for each in answer.json()["parameters"]}
    assert afterwards.status_code == 404


async def test_bindings_correct_what_was_inferred(api: Service) -> None:
    bindings = {
        "negativePrompt": None,
        "detail": "3.steps",
        "size": {"bindings": [["5", "width"], ["5", "height"]], "minimum": 64, "maximum": 128},
        "prompt": {"description": "What to paint."},
    }

    made = await create(api, bindings=bindings)
    record = await api.finished((await api.generate(template="mine", detail=1, size=128))["id"])
    refused = await api.http.post("/api/generate", json={"template": "mine", "size": 512})

    parameters = {each["name"]: each for each in made["parameters"]}
    assert not {"negativePrompt", "steps", "width", "height"} & set(parameters)
    assert parameters["size"]["bindings"] == [["5", "width"], ["5", "height"]]
    assert parameters["prompt"]["description"] == "What to paint."
    assert (record["images"][0]["width"], record["images"][0]["height"]) == (128, 128)
    assert list(places(refused)) == ["/size"]


@pytest.mark.parametrize(
    ("bindings", "place"),
    [
        ({"detail": "99.steps"}, "/bindings/detail"),
        ({"detail": "3.speed"}, "/bindings/detail"),
        ({"detail": 3}, "/bindings/detail"),
        ({"detail": []}, "/bindings/detail"),
        ({"detail": {"minimum": 3}}, "/bindings/detail"),
        ({"prompt": {"colour": "red"}}, "/bindings/prompt"),
    ],
)
async def test_a_correction_that_makes_no_sense_is_named(api: Service, bindings: Json, place: str) -> None:
    answer = await api.http.post("/api/templates", json={"name": "mine", "workflow": graph(), "bindings": bindings})

    assert list(places(answer)) == [place]
    assert problem(answer, 422, "invalid_request")["errors"][0]["message"]


async def test_a_title_in_the_workflow_names_a_parameter(api: Service) -> None:
    titled = graph()
    titled["6"]["_meta"] = {"title": "$scene"}

    made = await create(api, workflow=titled)

    assert [each["bindings"] for each in made["parameters"] if each["name"] == "scene"] == [[["6", "text"]]]


async def test_a_change_is_a_new_version_and_a_retry_takes_the_old_one(api: Service) -> None:
    await create(api)
    first = await api.finished((await api.generate(template="mine", seed=1))["id"])
    wider = graph()
    wider["5"]["inputs"]["width"] = 128

    changed = await api.http.put("/api/templates/mine", json={"workflow": wider})
    second = await api.finished((await api.generate(template="mine", seed=1))["id"])
    again = await api.http.post(f"/api/generations/{first['id']}/retry")
    repeated = await api.finished(again.json()["id"])

    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (second["templateVersion"], second["images"][0]["width"]) == (2, 128)
    assert (repeated["templateVersion"], repeated["images"][0]["width"]) == (1, 64)


async def test_a_removed_template_is_gone_and_what_it_made_can_be_repeated(api: Service) -> None:
    await create(api)
    made = await api.finished((await api.generate(template="mine", seed=1))["id"])

    removed = await api.http.delete("/api/templates/mine")
    unknown = await api.http.post("/api/generate", json={"template": "mine"})
    again = await api.http.post(f"/api/generations/{made['id']}/retry")
    anew = await create(api)

    assert removed.status_code == 204
    assert list(places(unknown)) == ["/template"]
    assert (await api.finished(again.json()["id"]))["status"] == "succeeded"
    assert anew["version"] == 2


async def test_templates_survive_a_restart(api: Service) -> None:
    await create(api)

    await api.stop()
    await api.start()
    listed = (await api.http.get("/api/templates")).json()["items"]

    assert listed[-1]["name"] == "mine"


async def test_what_ships_cannot_be_replaced_or_removed(api: Service) -> None:
    posted = await api.http.post("/api/templates", json={"name": "txt2img", "workflow": graph()})
    put = await api.http.put("/api/templates/txt2img", json={"workflow": graph()})
    deleted = await api.http.delete("/api/templates/txt2img")

    for answer in (posted, put, deleted):
        assert problem(answer, 409, "built_in_template")
        assert "another name" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"workflow": {}}, "/workflow"),
        ({"workflow": {"1": {"class_type": "SaveImage"}}}, "/workflow/1"),
        ({"name": "Über", "workflow": {}}, "/name"),
        ({"name": "a/b", "workflow": {}}, "/name"),
        ({"name": "mine"}, "/workflow"),
        ({"name": "mine", "workflow": {}, "colour": 1}, "/colour"),
        ({"name": "mine", "workflow": {"nodes": [{"id": 1, "type": "NoSuchNode"}], "links": []}}, None),
    ],
)
async def test_a_bad_file_is_refused_with_its_place(api: Service, body: Json, place: str | None) -> None:
    answer = await api.http.post("/api/templates", json={"name": "mine"} | body)

    assert answer.status_code == 422, answer.text
    found = places(answer)
    assert found
    assert place is None or place in found


async def test_a_second_template_of_a_name_is_refused(api: Service) -> None:
    await create(api)

    answer = await api.http.post("/api/templates", json={"name": "mine", "workflow": graph()})

    assert problem(answer, 409, "template_exists")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("name", ["%0Aa", "a%2Fb", "%F0%9F%A6%8A"])
async def test_a_name_nobody_gave_is_not_found_whatever_is_in_it(api: Service, method: str, name: str) -> None:
    body: Json = {"json": {"workflow": graph()}} if method == "PUT" else {}

    answer = await api.http.request(method, f"/api/templates/{name}", **body)

    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_another_name_of_a_built_in_template_cannot_be_changed_either(api: Service, method: str) -> None:
    body: Json = {"json": {"workflow": graph()}} if method == "PUT" else {}

    answer = await api.http.request(method, "/api/templates/comfyui/flux", **body)

    assert problem(answer, 409, "built_in_template"), answer.text


async def test_another_replica_sees_a_new_version_at_once(
    make_settings: MakeSettings, serve: Serve, postgres_url: str, redis_url: str
) -> None:
    one = await serve(database_url=postgres_url, redis_url=redis_url)
    other = await serve(database_url=postgres_url, redis_url=redis_url)
    await create(one)
    await other.http.get("/api/templates/mine")

    await one.http.put("/api/templates/mine", json={"workflow": graph(), "title": "Changed"})
    seen = (await other.http.get("/api/templates/mine")).json()

    assert (seen["version"], seen["title"]) == (2, "Changed")


async def test_a_new_version_keeps_title_and_description_where_none_are_sent(api: Service) -> None:
    await api.http.post(
        "/api/templates", json={"name": "mine", "workflow": picture(), "title": "My own", "description": "Squares."}
    )

    again = await api.http.put("/api/templates/mine", json={"workflow": picture(7)})
    renamed = await api.http.put("/api/templates/mine", json={"workflow": picture(7), "title": "Another"})

    assert (again.json()["title"], again.json()["description"]) == ("My own", "Squares.")
    assert (renamed.json()["title"], renamed.json()["description"]) == ("Another", "Squares.")


async def test_a_dry_run_of_a_new_version_changes_nothing(api: Service) -> None:
    await api.http.post("/api/templates", json={"name": "mine", "workflow": picture()})

    shown = await api.http.put("/api/templates/mine", params={"dryRun": "true"}, json={"workflow": picture(7)})

    assert (shown.status_code, shown.json()["version"]) == (200, None)
    assert (await api.http.get("/api/templates/mine")).json()["version"] == 1


async def test_a_parameter_cannot_be_called_like_a_field_of_the_request(api: Service) -> None:
    body = {"name": "mine", "workflow": picture(), "bindings": {"priority": "1.color"}}

    assert places(await api.http.post("/api/templates", json=body)).keys() == {"/bindings/priority"}


async def test_a_template_no_server_could_run_now_is_made_and_says_so(api: Service) -> None:
    graph = picture() | {"3": {"class_type": "SaveAudioMP3", "inputs": {"audio": ["1", 0]}}}

    made = await api.http.post("/api/templates", json={"name": "mine", "workflow": graph})

    assert made.status_code == 201
    assert any("SaveAudioMP3" in note and "no server could run it now" in note for note in made.json()["notes"])
