"""What is wrong with a request is said where it is wrong, with the remedy, and never with a 500."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.comfyui.simulator import Simulator
from app.errors import InvalidRequest, Problem
from tests.api.asking import NOBODY, QUICK, out_of_reach, picture, places, post, problem
from tests.conftest import Serve
from tests.databases import PostgresServer
from tests.service import Service

WRONG_PARAMETERS: dict[str, tuple[dict[str, Any], str, str]] = {
    "no prompt": ({"steps": 3}, "/prompt", "missing"),
    "a text for a number": ({"prompt": "x", "steps": "20"}, "/steps", "without quotes"),
    "a number for a text": ({"prompt": 5}, "/prompt", "in quotes"),
    "a fraction": ({"prompt": "x", "steps": 2.5}, "/steps", "leave out the fraction"),
    "a truth": ({"prompt": "x", "cfg": True}, "/cfg", "send a number"),
    "below the bound": ({"prompt": "x", "steps": 0}, "/steps", "from 1 up to 150"),
    "above the bound": ({"prompt": "x", "width": 8192}, "/width", "up to 4096"),
    "between multiples": ({"prompt": "x", "height": 65}, "/height", "the nearest is 64"),
    "none of the list": ({"prompt": "x", "sampler": "eulr"}, "/sampler", "did you mean 'euler'?"),
    "a model that is not there": ({"prompt": "x", "model": "no.safetensors"}, "/model", "choose from"),
    "an unknown name": ({"prompt": "x", "stepz": 3}, "/stepz", "did you mean 'steps'?"),
    "an unknown snake": ({"prompt": "x", "batch_sise": 3}, "/batch_sise", "did you mean 'batch_size'?"),
    "a text too long": ({"prompt": "x" * 20_001}, "/prompt", "at most 20000"),
    "a NUL": ({"prompt": "a\0b"}, "/prompt", "remove it"),
    "inside params": ({"prompt": "x", "params": {"steps": 0}}, "/params/steps", "from 1 up to 150"),
    "an unknown one inside params": ({"prompt": "x", "params": {"a/b~c": 0}}, "/params/a~1b~0c", "no parameter"),
    "snake inside params": ({"prompt": "x", "params": {"batch_size": 0}}, "/params/batch_size", "from 1"),
    "given twice": ({"prompt": "x", "steps": 3, "params": {"steps": 4}}, "/params/steps", "also as /steps"),
    "given in both spellings": ({"prompt": "x", "batch_size": 3, "batchSize": 4}, "/batchSize", "given twice"),
    "params of the wrong kind": ({"prompt": "x", "params": []}, "/params", "JSON object"),
    "metadata of the wrong kind": ({"prompt": "x", "metadata": "x"}, "/metadata", "JSON object"),
    "a project that is no text": ({"prompt": "x", "project_id": 5}, "/project_id", "string"),
    "a project too long": ({"prompt": "x", "projectId": "x" * 201}, "/projectId", "at most 200"),
    "a priority too high": ({"prompt": "x", "priority": 1_000_001}, "/priority", "1000000"),
    "a priority too low": ({"prompt": "x", "priority": -1_000_001}, "/priority", "-1000000"),
    "a priority in quotes": ({"prompt": "x", "priority": "5"}, "/priority", "integer"),
    "force in quotes": ({"prompt": "x", "force": "true"}, "/force", "boolean"),
    "an unknown template": ({"template": "txt2imag", "prompt": "x"}, "/template", "did you mean 'txt2img'"),
    "references that are no list": ({"prompt": "x", "references": "a.png"}, "/references", "list"),
    "a reference that is a number": ({"prompt": "x", "references": [1]}, "/references/0", "as text"),
    "a webhook": ({"prompt": "x", "webhook": {"url": "u"}}, "/webhook/url", "http://"),
}

NOT_JSON: dict[str, bytes] = {
    "nothing": b"",
    "half an object": b'{"prompt": "x"',
    "NaN": b'{"prompt": "x", "cfg": NaN}',
    "Infinity": b'{"prompt": "x", "cfg": -Infinity}',
    "another encoding": '{"prompt": "é"}'.encode("latin-1"),
    "half a surrogate pair": b'{"prompt": "\\ud800"}',
    "half a pair in metadata": b'{"prompt": "x", "metadata": {"a": "\\udc00 "}}',
    "half a pair in a project": b'{"prompt": "x", "projectId": "\\udc00 "}',
    "a hundred thousand brackets": b"[" * 100_000,
    "a hundred thousand braces": b'{"a":' * 100_000,
    "a number of 5000 digits": b'{"prompt": "x", "steps": ' + b"9" * 5000 + b"}",
    "such a number in metadata": b'{"prompt": "x", "metadata": {"a": ' + b"9" * 5000 + b"}}",
    "a float beyond all": b'{"prompt": "x", "metadata": {"a": 1e999}}',
    "form fields": b"prompt=a+lighthouse&steps=3",
}


@pytest.mark.parametrize("case", WRONG_PARAMETERS)
async def test_a_wrong_field_is_named_with_the_remedy(api: Service, comfy: Simulator, case: str) -> None:
    body, place, remedy = WRONG_PARAMETERS[case]

    found = places(await post(api, body))

    assert found.keys() == {place}
    assert remedy in found[place]
    assert comfy.submits == 0


@pytest.mark.parametrize("key", ["", "x" * 300])
@pytest.mark.parametrize("path", ["/api/generate", "/api/batches"])
async def test_a_wrong_header_is_named_as_a_header(api: Service, path: str, key: str) -> None:
    found = places(await api.http.post(path, json={"prompt": "x"}, headers={"Idempotency-Key": key}))

    assert found.keys() == {"Idempotency-Key"}


async def test_everything_wrong_is_named_at_once(api: Service) -> None:
    body = {"steps": 0, "width": 65, "cfg": "7", "params": {"sampler": 5, "nonsense": 1}}

    found = places(await post(api, body))

    assert found.keys() == {"/prompt", "/steps", "/width", "/cfg", "/params/sampler", "/params/nonsense"}


async def test_a_template_and_a_workflow_are_one_too_many(api: Service) -> None:
    found = places(await post(api, {"template": "txt2img", "workflow": picture()}))

    assert "one of them" in found["/template"]


@pytest.mark.parametrize("case", NOT_JSON)
async def test_what_is_no_json_is_told_so(api: Service, case: str) -> None:
    problem(await post(api, content=NOT_JSON[case]), 400, "malformed_body")


@pytest.mark.parametrize("body", ["[]", "null", "5", '"text"', "true"])
async def test_json_that_is_no_object_is_told_so(api: Service, body: str) -> None:
    assert places(await post(api, content=body)).keys() == {""}


@pytest.mark.parametrize("name", ["metadata", "params", "prompt"])
@pytest.mark.parametrize("depth", [101, 300, 900])
async def test_what_could_not_be_written_again_is_refused(api: Service, name: str, depth: int) -> None:
    nested = '{"a":' * depth + "1" + "}" * depth
    body = f'{{"workflow": {json.dumps(picture())}, "{name}": {nested}}}'

    assert "levels deep" in places(await post(api, content=body))[f"/{name}"]


async def test_a_body_announced_as_too_large_is_not_read(serve: Serve) -> None:
    api = await serve(max_body_bytes=1024)

    answer = await post(api, {**QUICK, "metadata": {"a": "x" * 2000}})

    assert "1024 bytes" in problem(answer, 413, "body_too_large")["detail"]


async def test_a_body_that_grows_too_large_is_cut_off(serve: Serve) -> None:
    api = await serve(max_body_bytes=1024)

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"prompt": "'
        for _ in range(64):
            yield b"x" * 64

    problem(await post(api, content=chunks()), 413, "body_too_large")


async def test_a_body_of_exactly_the_limit_is_read(serve: Serve) -> None:
    api = await serve(max_body_bytes=1024)
    body = json.dumps(QUICK).encode()

    assert (await post(api, content=body.ljust(1024))).status_code == 202
    assert (await post(api, content=body.ljust(1025))).status_code == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_a_method_a_route_does_not_know_is_a_problem(api: Service, method: str) -> None:
    answer = await api.http.request(method, "/api/generate")

    problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("method", "path", "allowed", "named"),
    [
        ("PATCH", f"/api/webhooks/{NOBODY}", "GET, HEAD, PUT, DELETE", "GET, PUT and DELETE"),
        ("DELETE", "/api/batches", "GET, HEAD, POST", "GET and POST"),
        ("PUT", "/api/batches/x/retry", "POST", "there is POST"),
        ("DELETE", "/api/v2/jobs", "GET, HEAD, POST", "GET and POST"),
        ("POST", "/v1/models", "GET, HEAD", "there is GET"),
        ("DELETE", "/", "GET, HEAD", "there is GET"),
    ],
)
async def test_a_method_that_is_refused_names_all_that_there_are(
    api: Service, method: str, path: str, allowed: str, named: str
) -> None:
    answer = await api.http.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed
    assert f"{named}." in answer.text


async def test_a_route_that_is_not_there_is_a_problem(api: Service) -> None:
    assert "/docs" in problem(await api.http.get("/api/nowhere"), 404, "not_found")["detail"]


@pytest.mark.parametrize("path", ["", "/events", "/workflow", "/preview", "/images/0", "/outputs/0"])
async def test_an_unknown_generation_is_404_and_a_malformed_id_422(api: Service, path: str) -> None:
    unknown = await api.http.get(f"/api/generations/{NOBODY}{path}")
    malformed = [await api.http.get(f"/api/generations/{bad}{path}") for bad in ("x", NOBODY.upper()[:-1] + "A")]

    problem(unknown, 404, "not_found")
    for answer in malformed:
        assert "UUID" in places(answer)["/generation_id"]


async def test_a_database_that_is_locked_is_a_503_and_nothing_is_lost(serve: Serve, sqlite_url: str) -> None:
    api = await serve(database_timeout_s=0.3)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")

    refused = await post(api, QUICK)
    other.execute("ROLLBACK")
    other.close()
    accepted = await api.generate(**QUICK)

    assert "database" in problem(refused, 503, "unavailable")["detail"]
    assert int(refused.headers["retry-after"]) > 0
    assert (await api.finished(accepted["id"]))["status"] == "succeeded"


async def test_a_database_that_is_away_is_a_503_on_every_route(
    serve: Serve, postgres_url: str, postgres_server: PostgresServer
) -> None:
    api = await serve(database_url=postgres_url)
    record = await api.finished((await api.generate(**QUICK))["id"])
    urls = ["/api/generations", record["urls"]["self"], record["urls"]["events"], *record["imageUrls"]]

    with out_of_reach(postgres_server, postgres_url):
        answers = [await post(api, QUICK)] + [await api.http.get(url) for url in urls]
    again = await api.generate(**QUICK)

    for answer in answers:
        assert "database" in problem(answer, 503, "unavailable")["detail"]
        assert "postgres" not in answer.text
    assert (await api.finished(again["id"]))["status"] == "succeeded"


async def test_an_unexpected_error_says_nothing_of_the_inside(api: Service) -> None:
    class Surprise(Exception):
        pass

    @api.app.get("/broken")
    async def broken() -> None:
        raise Surprise("/secret/path")

    answer = await api.http.get("/broken")

    problem(answer, 500, "internal_error")
    assert "Surprise" not in answer.text
    assert "secret" not in answer.text


def test_problems_without_a_place_read_as_sentences() -> None:
    error = InvalidRequest(Problem("", "send JSON"), Problem("/steps", "is wrong"))

    assert error.detail == "send JSON; /steps: is wrong"
