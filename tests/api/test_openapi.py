"""The machine-readable contract: valid, complete, and true of the service as it answers."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft202012Validator, FormatChecker
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests.api.asking import NOBODY, QUICK, picture, post, text
from tests.conftest import Serve
from tests.service import Json, Service

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]

BOUNDED = settings(
    max_examples=200 if os.environ.get("TEST_EXPLORE") else 10,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


async def document(api: Service) -> Json:
    shown: Json = (await api.http.get("/openapi.json")).json()
    return shown


def operations(shown: Json) -> list[tuple[str, str, Json]]:
    return [(path, method, each) for path, methods in shown["paths"].items() for method, each in methods.items()]


def validator(shown: Json, model: str) -> Draft202012Validator:
    """Checks values against a schema of the document, formats included."""
    schema = {"$ref": f"#/components/schemas/{model}", "components": shown["components"]}
    return Draft202012Validator(schema, format_checker=FormatChecker())


def explore(api: Service, shown: Json, known_id: str, mode: GenerationMode) -> int:
    """Try every operation with generated requests; every other one for a generation that exists."""
    tried = 0
    with requests.Session() as session:
        session.trust_env = False
        for found in schemathesis.openapi.from_dict(shown).get_all_operations():
            assert isinstance(found, Ok)
            described = shown["paths"][found.ok().path][found.ok().method]
            if mode is GenerationMode.NEGATIVE and not described.keys() & {"parameters", "requestBody"}:
                continue

            @BOUNDED
            @given(case=found.ok().as_strategy(generation_mode=mode))
            def conforms(case: Any) -> None:
                nonlocal tried
                tried += 1
                if "generation_id" in case.path_parameters and tried % 2:
                    case.path_parameters["generation_id"] = known_id
                case.call_and_validate(base_url=api.url, session=session, checks=CHECKS, timeout=20)

            conforms()
    return tried


async def test_the_document_is_valid(api: Service) -> None:
    shown = await document(api)

    schemathesis.openapi.from_dict(shown).validate()
    assert shown["openapi"].startswith("3.1")
    for schema in shown["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_every_operation_is_described_with_its_errors(api: Service) -> None:
    shown = await document(api)

    ids = [each["operationId"] for _, _, each in operations(shown)]
    assert len(ids) == len(set(ids))
    for path, method, each in operations(shown):
        assert each["summary"], (path, method)
        assert each["description"], (path, method)
        if path.startswith("/api"):
            assert {"401", "503"} <= each["responses"].keys(), (path, method)
            assert ("422" in each["responses"]) is ("parameters" in each or "requestBody" in each), (path, method)
            for status, answer in each["responses"].items():
                kind = "application/json" if path.startswith("/api/v2") else "application/problem+json"
                is_problem = kind in answer.get("content", {}) and status >= "400"
                assert is_problem is (status >= "400" and status != "416"), (path, method, status)
        if "{" in path:
            assert "404" in each["responses"], (path, method)


async def test_reading_starting_and_removing_are_shown_and_head_is_not(api: Service) -> None:
    shown = await document(api)

    assert {method for _, method, _ in operations(shown)} == {"get", "post", "put", "delete"}
    assert "prefer" in {each["name"] for each in shown["paths"]["/api/generate"]["post"]["parameters"]}


async def test_the_examples_of_the_document_work(api: Service) -> None:
    shown = await document(api)

    for example in shown["components"]["schemas"]["GenerationCreate"]["examples"]:
        answer = await post(api, example)

        assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("body", [QUICK, {"workflow": picture()}, {"workflow": text()}])
async def test_records_are_as_described(api: Service, body: Json) -> None:
    described = validator(await document(api), "GenerationRead")

    started = await api.generate(**{**body, "metadata": {"a": None}, "projectId": "p"})
    finished = await post(api, body, headers={"Prefer": "wait=10"})

    assert finished.status_code == 201
    for record in (started, finished.json(), await api.finished(started["id"])):
        described.validate(record)
        assert {name for name in record if "_" in name} <= {"session_id"}


async def test_failed_and_waiting_records_are_as_described(api: Service, comfy: Simulator) -> None:
    described = validator(await document(api), "GenerationRead")
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY
    failed = await api.finished((await api.generate(**QUICK))["id"])
    await comfy.stop()

    waiting = await api.generate(**QUICK)

    for record in (failed, waiting):
        described.validate(record)
    assert (failed["status"], waiting["status"]) == ("failed", "pending")


async def test_readiness_is_as_described(api: Service, comfy: Simulator) -> None:
    described = validator(await document(api), "ReadinessRead")

    up = await api.http.get("/readyz")
    await comfy.stop()
    down = await api.http.get("/readyz")

    for answer in (up, down):
        described.validate(answer.json())


async def test_lists_and_problems_are_as_described(api: Service) -> None:
    shown = await document(api)
    for number in range(3):
        await api.generate(workflow=picture(number))

    page = (await api.http.get("/api/generations", params={"limit": 2})).json()
    problems = [
        await api.http.get(f"/api/generations/{NOBODY}"),
        await api.http.get("/api/generations/x"),
        await post(api, {"steps": 0}),
        await post(api, {"workflow": {"1": {"class_type": "NoSuchNode", "inputs": {}}}}),
        await post(api, content="{"),
    ]

    validator(shown, "GenerationPage").validate(page)
    for answer in problems:
        validator(shown, "ProblemRead").validate(answer.json())


async def test_events_are_as_described(watched: Service, slow_comfy: Simulator) -> None:
    shown = await document(watched)
    described = validator(shown, "EventRead")
    slow_comfy.hold("execution_start")
    answer = await watched.generate(**{**QUICK, "steps": 3})
    watching = asyncio.create_task(watched.events(answer["id"], previews="inline"))
    await slow_comfy.held()
    slow_comfy.release()
    slow_comfy.faults.failures["EmptyImage"] = OUT_OF_MEMORY
    failed = await watched.generate(workflow=picture())

    events = [*await watching, *await watched.events(failed["id"])]

    assert {"connected", "progress", "preview", "complete", "error"} <= {event["type"] for event in events}
    properties = shown["components"]["schemas"]["EventRead"]["properties"]
    for event in events:
        described.validate(event)
        assert event.keys() <= {*properties, "id"}


# The service beside it throws the same dice, between two looks of hypothesis at them.
@pytest.mark.filterwarnings("ignore:Do not use the .random. module:hypothesis.errors.HypothesisDeprecationWarning")
@pytest.mark.timeout(180)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
async def test_whatever_is_sent_the_answer_is_one_of_those_described(api: Service, mode: Any) -> None:
    shown = await document(api)
    known = await api.finished((await api.generate(**QUICK))["id"])

    tried = await asyncio.to_thread(explore, api, shown, known["id"], mode)

    assert tried > 50
    assert (await api.http.get("/healthz")).status_code == 200


async def test_with_keys_the_document_says_how_they_are_sent_and_where(serve: Serve) -> None:
    open_api, guarded = await document(await serve()), await document(await serve(api_keys=("k",)))

    assert "security" not in open_api
    assert guarded["components"]["securitySchemes"].keys() == {"bearer", "key"}
    assert guarded["security"] == [{"bearer": []}, {"key": []}]
    assert guarded["paths"]["/healthz"]["get"]["security"] == []
    assert "security" not in guarded["paths"]["/api/generate"]["post"]
