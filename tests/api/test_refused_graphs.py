"""Graphs that cannot run are refused with the place and the remedy: by us where we can tell, by ComfyUI else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from app.errors import WorkflowRejected
from tests.api.asking import NOBODY, QUICK, picture, places, post, problem
from tests.comfyui import recordings
from tests.conftest import Serve
from tests.service import Json, Service

WRONG_GRAPHS: dict[str, tuple[Any, str, str]] = {
    "a text": ("x", "/workflow", "JSON object"),
    "a list": ([], "/workflow", "JSON object"),
    "nothing": ({}, "/workflow", "Export (API)"),
    "saved by the editor": ({"last_node_id": 3, "nodes": [], "links": []}, "/workflow", "Export (API)"),
    "wrapped": ({"prompt": picture()}, "/workflow/prompt", "inner object"),
    "a node without a class": ({"1": {"inputs": {}}}, "/workflow/1", "class_type"),
    "a node without inputs": ({"1": {"class_type": "SaveImage"}}, "/workflow/1", "inputs"),
    "a link to nowhere": (
        {"2": {"class_type": "SaveImage", "inputs": {"images": ["77", 0]}}},
        "/workflow/2/inputs/images/0",
        "not in the workflow",
    ),
    "a circle": (
        {n: {"class_type": "ProbeSlow", "inputs": {"image": [m, 0]}} for n, m in (("1", "2"), ("2", "1"))},
        "/workflow/1",
        "circle",
    ),
    "a NUL": ({"1": {"class_type": "PreviewAny", "inputs": {"source": "\0"}}}, "/workflow/1/inputs/source", "NUL"),
}


@pytest.mark.parametrize("case", WRONG_GRAPHS)
async def test_a_wrong_graph_is_refused_before_comfyui_hears_of_it(api: Service, comfy: Simulator, case: str) -> None:
    graph, place, remedy = WRONG_GRAPHS[case]

    found = places(await post(api, {"workflow": graph}))

    assert remedy in found[place]
    assert comfy.requests["POST /prompt"] == 0


def recorded_graphs() -> Iterator[Any]:
    """Every graph a real ComfyUI was recorded refusing, whether or not it kept its composure."""
    note = ""
    for line in recordings.lines("04_validation_errors"):
        note = line["text"] if line["dir"] == "note" else note
        if line["dir"] == "http" and line["method"] == "POST" and line["status"] != 200:
            raw = line["request"].get("#raw")
            graph = line["request"].get("prompt") if raw is None else None
            is_ours_to_make = "number" in line["request"] or "extra_data" in line["request"]
            if graph is not None and not is_ours_to_make and "partial_execution_targets" not in line["request"]:
                yield pytest.param(graph, id=note)


WRONG_INPUTS = {"/workflow/1/inputs/width", "/workflow/1/inputs/height"}


def out_of_bounds() -> Json:
    graph = picture()
    graph["1"]["inputs"] |= {"width": 0, "height": "tall"}
    return graph


def judges_itself(node: Any) -> bool:
    return isinstance(node, dict) and str(node.get("class_type")).startswith(("Probe", "LoadImage"))


def refused(answer: httpx.Response, *codes: str) -> Json:
    """The problem of a refused graph: each place named with a text, and nothing of the inside."""
    code = answer.json()["code"]
    document = problem(answer, 422, code)
    assert code in codes
    assert document["errors"]
    for each in document["errors"]:
        assert each["pointer"].startswith("/workflow")
        assert len(each["message"]) > 10
    assert "raceback" not in answer.text
    assert not re.search(r"(/[a-z_.-]+){2,}\.py", answer.text)
    return document


@pytest.mark.parametrize("graph", list(recorded_graphs()))
async def test_every_recorded_refusal_is_foreseen(probing: Service, graph: Any) -> None:
    # What a value of a node pack's own means, and which files it has, is for the server to say.
    by_comfyui = ["rejected"] if any(map(judges_itself, graph.values())) else []

    refused(await post(probing, {"workflow": graph}), "not_possible", "invalid_request", *by_comfyui)


@pytest.mark.parametrize("graph", list(recorded_graphs()))
async def test_every_recorded_refusal_arrives_of_a_comfyui_that_tells_no_definitions(
    unread: Service, graph: Any
) -> None:
    refused(await post(unread, {"workflow": graph}), "rejected", "invalid_request")


async def test_a_foreseen_refusal_names_the_input(probing: Service) -> None:
    document = refused(await post(probing, {"workflow": out_of_bounds()}), "not_possible")

    assert {each["pointer"] for each in document["errors"]} == WRONG_INPUTS
    assert document["nodeErrors"]["1"]["class_type"] == "EmptyImage"


async def test_a_refusal_of_comfyuis_names_the_input(unread: Service) -> None:
    document = refused(await post(unread, {"workflow": out_of_bounds()}), "rejected")

    assert {each["pointer"] for each in document["errors"]} == WRONG_INPUTS
    assert document["nodeErrors"]["1"]["class_type"] == "EmptyImage"


async def test_a_graph_nobody_could_run_is_not_on_record(probing: Service) -> None:
    graph = {"1": {"class_type": "NoSuchNode", "inputs": {}}}

    document = refused(await post(probing, {"workflow": graph}), "not_possible")

    assert "NoSuchNode" in document["errors"][0]["message"]
    assert (await probing.http.get("/api/generations")).json()["items"] == []


async def test_what_comfyui_refused_is_on_record_as_failed(unread: Service) -> None:
    document = (await post(unread, {"workflow": {"1": {"class_type": "NoSuchNode", "inputs": {}}}})).json()

    record = await unread.record(document["generationId"])
    events = await unread.events(document["generationId"])

    assert (record["status"], record["error"]["code"]) == ("failed", "rejected")
    assert (record["error"]["nodeErrors"] or {}) == document["nodeErrors"]
    assert "NoSuchNode" in record["error"]["message"]
    assert [event["type"] for event in events] == ["connected", "error"]


async def test_a_half_wrong_graph_runs_and_tells_what_was_dropped(probing: Service) -> None:
    graph = picture(3)
    graph["3"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "dropped"}}

    answer = await post(probing, {"workflow": graph}, headers={"Prefer": "wait=10"})

    record = answer.json()
    assert (answer.status_code, record["status"]) == (201, "succeeded")
    assert record["nodeErrors"]["3"]["class_type"] == "SaveImage"


async def test_a_refused_parameter_of_a_template_is_named_as_the_caller_knows_it(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(models={"checkpoints": ("old.safetensors",)})) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        await api.finished((await api.generate(**QUICK))["id"])
        port = comfy.port
    async with Simulator(SimulatorOptions(port=port, models={"checkpoints": ("new.safetensors",)})):
        await api.finished((await api.generate(workflow=picture()))["id"])

        answer = await post(api, {**QUICK, "params": {"model": "old.safetensors"}})

    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/params/model"]


def test_node_errors_of_foreign_shapes_are_tolerated() -> None:
    strange: dict[str, Any] = {"a/b": {"errors": [{"message": "bad", "extra_info": 5}, "text"]}, "2": [], "3": {}}

    rejected = WorkflowRejected("no", strange, NOBODY)

    assert rejected.extra["errors"] == [{"pointer": "/workflow/a~1b", "message": "bad"}]
    assert rejected.extra["nodeErrors"] == strange
