"""Several servers that do not have the same: work goes where it can run, and what none can run is refused at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import problem
from tests.conftest import Serve
from tests.service import Service
from tests.waiting import until

REQUEST: dict[str, Any] = {"prompt": "two of a kind", "steps": 2, "width": 64, "height": 64}


@pytest.fixture
async def unlike() -> AsyncIterator[tuple[Simulator, Simulator]]:
    """Two servers with one checkpoint in common."""
    async with AsyncExitStack() as stack:
        made = []
        for models in (("common.safetensors", "only-a.safetensors"), ("common.safetensors", "only-b.safetensors")):
            options = SimulatorOptions(step_s=0.01, models={"checkpoints": models})
            made.append(await stack.enter_async_context(Simulator(options)))
        yield made[0], made[1]


@pytest.fixture
async def api(serve: Serve, unlike: tuple[Simulator, Simulator]) -> Service:
    one, other = unlike
    service = await serve(comfyui_urls={"a": one.url, "b": other.url}, max_in_flight=1)
    pool = service.app.state.services.health.pool
    await until(lambda: all(backend.definitions is not None for backend in pool.all))
    return service


async def test_models_are_those_of_all_servers(api: Service) -> None:
    models = (await api.http.get("/api/models")).json()

    assert models["checkpoints"] == ["common.safetensors", "only-a.safetensors", "only-b.safetensors"]
    assert "euler" in models["samplers"]
    assert "karras" in models["schedulers"]


async def test_a_generation_runs_on_the_server_that_has_its_model(api: Service) -> None:
    answers = [
        await api.generate(**REQUEST, model=f"only-{name}.safetensors", seed=seed) for seed in range(4) for name in "ab"
    ]

    records = [await api.finished(answer["id"]) for answer in answers]

    assert {record["status"] for record in records} == {"succeeded"}
    assert all(record["backend"] == record["params"]["model"][5] for record in records)


async def test_work_for_a_busy_server_does_not_hold_up_the_other(
    api: Service, unlike: tuple[Simulator, Simulator]
) -> None:
    unlike[0].hold("execution_start")
    held = [await api.generate(**REQUEST, model="only-a.safetensors", seed=seed) for seed in range(3)]
    await unlike[0].held()

    other = await api.finished((await api.generate(**REQUEST, model="only-b.safetensors"))["id"])
    waiting = await api.record(held[-1]["id"])
    unlike[0].release()
    records = [await api.finished(each["id"]) for each in held]

    assert (other["status"], other["backend"]) == ("succeeded", "b")
    assert waiting["status"] == "pending"
    assert {record["backend"] for record in records} == {"a"}


async def test_a_model_left_out_is_one_that_every_server_has(api: Service) -> None:
    answer = await api.generate(**REQUEST)

    assert answer["params"]["model"] == "common.safetensors"


async def test_a_model_no_server_has_is_refused_with_those_that_are_there(api: Service) -> None:
    answer = await api.http.post("/api/generate", json=REQUEST | {"model": "only-c.safetensors"})

    assert answer.status_code == 422
    assert "only-a.safetensors" in answer.json()["errors"][0]["message"]


async def test_a_graph_no_server_could_run_is_refused_before_it_is_queued(
    api: Service, unlike: tuple[Simulator, Simulator]
) -> None:
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "2": {"class_type": "SavImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }

    answer = await api.http.post("/api/generate", json={"workflow": graph})

    body = problem(answer, 422, "not_possible")
    assert body["errors"][0]["pointer"] == "/workflow/2/class_type"
    assert "SaveImage" in body["errors"][0]["message"]
    assert body["nodeErrors"]["2"]["class_type"] == "SavImage"
    assert unlike[0].submits + unlike[1].submits == 0


async def test_a_model_that_came_to_the_server_lately_is_found(serve: Serve) -> None:
    async with Simulator(SimulatorOptions(step_s=0.01)) as comfy:
        api = await serve(comfyui_urls={"gpu-0": comfy.url})
        [backend] = api.app.state.services.health.pool.all
        await until(lambda: backend.definitions is not None)
        asked = comfy.requests["GET /object_info"]
        backend._defined_at = float("-inf")

        await api.http.post("/api/generate", json={"workflow": {"1": {"class_type": "New", "inputs": {}}}})

    assert comfy.requests["GET /object_info"] == asked + 1


async def test_the_servers_are_listed_without_where_they_are(api: Service, unlike: tuple[Simulator, Simulator]) -> None:
    answer = await api.http.get("/api/backends")

    items = answer.json()["items"]
    assert [each["name"] for each in items] == ["a", "b"]
    assert all(each["healthy"] and each["version"] and each["running"] == each["queued"] == 0 for each in items)
    assert not any(part in answer.text for part in ("127.0.0.1", "http:", unlike[0].url.rpartition(":")[2]))


async def test_a_server_that_is_down_is_listed_as_such(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve()

    [listed] = (await api.http.get("/api/backends")).json()["items"]

    assert (listed["healthy"], listed["running"], listed["vramFreeBytes"]) == (False, None, None)
    assert listed["lastError"]
