"""Requests that end or wedge a server (recording 22)."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.comfyui.simulator.client import client_of, trivial

if TYPE_CHECKING:
    from app.comfyui.simulator import Simulator
    from tests.comfyui.simulator.client import Client

BYTES_AS_UI = {"1": {"class_type": "ProbeText", "inputs": {"text": "b", "extra_ui": "!bytes"}}}


@pytest.mark.parametrize("client_id", [["x"], {"a": 1}])
async def test_a_client_id_that_is_no_key_ends_the_server(comfy: Simulator, client: Client, client_id: Any) -> None:
    response = await client.http.post("/prompt", json={"prompt": trivial(), "client_id": client_id})
    await asyncio.wait_for(client.closed.wait(), 5)

    assert response.status_code == 200
    assert client.close_code == 1006
    assert not comfy.is_running


async def test_a_ui_value_without_json_ends_the_server(comfy: Simulator, client: Client) -> None:
    await client.post(BYTES_AS_UI)

    await asyncio.wait_for(client.closed.wait(), 5)

    assert not comfy.is_running


async def test_the_same_without_a_client_breaks_the_history_only(comfy: Simulator, client: Client) -> None:
    response = await client.http.post("/prompt", json={"prompt": BYTES_AS_UI})
    bad = response.json()["prompt_id"]
    await comfy.wait_for("finished", node=bad)

    statuses = [(await client.http.get(path)).status_code for path in (f"/history/{bad}", "/history", "/prompt")]
    good = await client.run(trivial())

    assert statuses == [500, 500, 200]
    assert (await client.history(good))["status"]["completed"]


async def test_after_its_end_the_server_can_be_started_again(comfy: Simulator, client: Client) -> None:
    await client.post(BYTES_AS_UI)
    await asyncio.wait_for(client.closed.wait(), 5)

    await comfy.start()

    async with client_of(comfy) as after:
        await after.run(trivial())


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": trivial(), "extra_data": None},
        {
            "prompt": {
                "1": {"class_type": "ProbeTiny", "inputs": {"seed": 1}},
                "2": {
                    "class_type": "ProbeFail",
                    "inputs": {"image": ["1", 0], "steps": 1, "fail_at": 0, "kind": "base"},
                },
                "3": {"class_type": "ProbeNull", "inputs": {"image": ["2", 0]}},
            }
        },
    ],
    ids=["extra_data null", "a node that raises SystemExit"],
)
async def test_a_dead_worker_runs_nothing_while_http_says_200(
    comfy: Simulator, client: Client, body: dict[str, Any]
) -> None:
    first = (await client.http.post("/prompt", json=body)).json()["prompt_id"]
    await comfy.wait_for("taken", node=first)
    second = await client.post(trivial())

    health = await client.http.get("/prompt")

    assert health.status_code == 200
    assert await client.queue() == {"queue_running": [first], "queue_pending": [second]}
    assert comfy.executions[second] == 0


@pytest.mark.parametrize("extra_data", ["text", [1], None])
async def test_extra_data_that_is_no_object_is_500_with_a_client_id(client: Client, extra_data: Any) -> None:
    response = await client.http.post("/prompt", json={"prompt": trivial(), "extra_data": extra_data, "client_id": "a"})

    assert response.status_code == 500
    assert response.headers["content-type"] == "text/plain; charset=utf-8"


async def test_the_same_id_and_number_twice_is_500_and_runs_twice(comfy: Simulator, client: Client) -> None:
    comfy.hold("execution_start")
    await client.post(trivial(1))
    await comfy.held()
    body = {"client_id": "client-a", "prompt_id": "same", "number": 7}

    first = await client.http.post("/prompt", json={"prompt": trivial(2)} | body)
    second = await client.http.post("/prompt", json={"prompt": trivial(3)} | body)
    comfy.release()
    await comfy.wait_for("finished", node="same", count=2)

    assert (first.status_code, second.status_code) == (200, 500)
    assert comfy.executions["same"] == 2


async def test_flags_that_are_no_object_fail_every_preview(client: Client) -> None:
    await client.socket.send('{"type": "feature_flags", "data": "zz"}')
    await client.hears("feature_flags")
    steps = {"steps": 2, "delay_ms": 0, "seed": 1, "width": 64, "height": 64, "batch_size": 1, "previews": "jpeg"}
    graph = {
        "1": {"class_type": "ProbeSteps", "inputs": steps},
        "2": {"class_type": "ProbeNull", "inputs": {"image": ["1", 0]}},
    }

    await client.run(graph)
    await client.hears("executing", node=None)

    error = client.data("execution_error")[0]
    assert (error["exception_type"], error["node_id"]) == ("AttributeError", "1")


async def test_a_number_that_is_nan_is_answered_as_no_json(client: Client) -> None:
    body = json.dumps({"prompt": trivial(), "number": float("nan")})
    response = await client.http.post("/prompt", content=body)

    assert response.status_code == 200
    assert '"number": NaN' in response.text


@pytest.mark.parametrize(("route", "body"), [("/queue", {"delete": 5}), ("/history", {"delete": [["x"]]})])
async def test_deleting_nonsense_is_500(client: Client, route: str, body: dict[str, Any]) -> None:
    await client.run(trivial())

    response = await client.http.post(route, json=body)

    assert response.status_code == 500
