"""Doing it once, again, not so long, or not at all: keys, retries, deadlines and deletion."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.comfyui.simulator import Simulator
from tests.conftest import Serve
from tests.service import Service
from tests.waiting import until

REQUEST: dict[str, Any] = {"prompt": "a bridge", "steps": 2, "width": 64, "height": 64}
KEY = {"Idempotency-Key": "order-17"}


async def test_the_same_key_and_body_make_one_generation(api: Service, comfy: Simulator) -> None:
    first = await api.http.post("/api/generate", json=REQUEST, headers=KEY)
    await api.finished(first.json()["id"])

    second = await api.http.post("/api/generate", json=dict(reversed(REQUEST.items())), headers=KEY)

    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json()["id"] == first.json()["id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert comfy.submits == 1


async def test_a_key_is_remembered_over_a_restart(api: Service, comfy: Simulator) -> None:
    first = await api.generate(headers=KEY, **REQUEST)
    await api.finished(first["id"])

    await api.stop()
    await api.start()
    second = await api.generate(headers=KEY, **REQUEST)

    assert second["id"] == first["id"]
    assert comfy.submits == 1


async def test_the_same_key_with_another_body_is_refused(api: Service) -> None:
    await api.generate(headers=KEY, **REQUEST)

    answer = await api.http.post("/api/generate", json=REQUEST | {"steps": 3}, headers=KEY)

    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_mismatch"


async def test_a_key_that_is_being_processed_is_a_conflict(api: Service, comfy: Simulator) -> None:
    comfy.faults.submit_delay_s = 0.5
    first = asyncio.create_task(api.http.post("/api/generate", json=REQUEST, headers=KEY))
    await until(lambda: comfy.requests["POST /prompt"] == 1)

    second = await api.http.post("/api/generate", json=REQUEST, headers=KEY)

    assert second.status_code == 409
    assert second.json()["code"] == "idempotency_in_progress"
    assert (await first).status_code == 202


async def test_a_refused_workflow_is_refused_again_for_its_key(unread: Service) -> None:
    body = {"workflow": {"1": {"class_type": "NoSuchNode", "inputs": {}}}}

    answers = [await unread.http.post("/api/generate", json=body, headers=KEY) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [422, 422]
    assert [answer.json()["code"] for answer in answers] == ["rejected", "rejected"]
    assert answers[0].json()["generationId"] == answers[1].json()["generationId"]


async def test_an_invalid_request_does_not_use_up_its_key(api: Service) -> None:
    await api.generate(422, headers=KEY, **REQUEST | {"steps": 0})

    assert (await api.generate(headers=KEY, **REQUEST))["status"] in {"pending", "queued", "running", "succeeded"}


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_that_is_none_is_named(api: Service, key: str) -> None:
    answer = await api.http.post("/api/generate", json=REQUEST, headers={"Idempotency-Key": key})

    assert answer.status_code == 422
    assert "dempotency" in answer.json()["detail"]


async def test_a_retry_makes_the_same_picture_again(api: Service) -> None:
    first = await api.finished((await api.generate(**REQUEST))["id"])

    answer = await api.http.post(f"/api/generations/{first['id']}/retry")
    second = await api.finished(answer.json()["id"])

    assert answer.status_code == 202
    assert second["id"] != first["id"]
    assert (second["seed"], second["params"]) == (first["seed"], first["params"])


async def test_a_retry_can_change_parameters_in_either_spelling(api: Service) -> None:
    first = await api.generate(**REQUEST)

    changes = {"seed": -1, "negative_prompt": "fog"}
    answer = await api.http.post(f"/api/generations/{first['id']}/retry", json=changes)

    assert answer.json()["seed"] != first["seed"]
    assert answer.json()["params"]["negativePrompt"] == "fog"


async def test_a_retry_of_a_workflow_runs_it_unchanged_and_takes_no_parameters(api: Service) -> None:
    graph = {
        "1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 5}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "again"}},
    }
    first = await api.finished((await api.generate(workflow=graph))["id"])

    again = await api.http.post(f"/api/generations/{first['id']}/retry")
    changed = await api.http.post(f"/api/generations/{first['id']}/retry", json={"seed": 1})

    assert (await api.finished(again.json()["id"]))["status"] == "succeeded"
    assert changed.status_code == 422
    assert changed.json()["errors"][0]["pointer"] == "/seed"


async def test_a_wrong_override_and_an_unknown_id_are_told(api: Service) -> None:
    first = await api.generate(**REQUEST)

    wrong = await api.http.post(f"/api/generations/{first['id']}/retry", json={"steps": 1000})
    unknown = await api.http.post("/api/generations/6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11/retry")
    not_an_object = await api.http.post(f"/api/generations/{first['id']}/retry", json=[1])

    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/steps")
    assert unknown.status_code == 404
    assert not_an_object.status_code == 422


async def test_a_deadline_ends_what_runs_and_frees_the_backend(api: Service, comfy: Simulator) -> None:
    comfy.hold("progress", node="3")
    answer = await api.generate(**REQUEST | {"deadlineSeconds": 0.5})
    await comfy.held()

    events = await api.events(answer["id"])
    comfy.release()
    after = await api.finished((await api.generate(**REQUEST | {"seed": 5}))["id"])

    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["code"] == "timed_out"
    assert after["status"] == "succeeded"
    assert (await api.record(answer["id"]))["status"] == "failed"


async def test_a_deadline_ends_what_still_waits(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve()

    answer = await api.http.post("/api/generate", json=REQUEST, headers={"Cancel-After": "1s"})
    record = await api.finished(answer.json()["id"])

    assert (record["status"], record["error"]["code"]) == ("failed", "timed_out")
    assert record["deadlineAt"] is not None


@pytest.mark.parametrize("given", ["soon", "-1s", "0", "1d", "900000h"])
async def test_a_cancel_after_that_is_no_duration_is_named(api: Service, given: str) -> None:
    answer = await api.http.post("/api/generate", json=REQUEST, headers={"Cancel-After": given})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "Cancel-After"


async def test_a_deleted_generation_is_gone_with_its_files(api: Service, tmp_path: Path) -> None:
    record = await api.finished((await api.generate(**REQUEST))["id"])
    folder = tmp_path / "data" / "outputs" / record["id"][:2] / record["id"]
    assert folder.exists()

    answer = await api.http.delete(f"/api/generations/{record['id']}")
    again = await api.http.delete(f"/api/generations/{record['id']}")

    assert (answer.status_code, again.status_code) == (204, 404)
    assert not folder.exists()
    assert (await api.http.get(record["imageUrls"][0])).status_code == 404


async def test_deleting_what_runs_cancels_it_first(api: Service, comfy: Simulator) -> None:
    answer = await api.generate(**REQUEST | {"steps": 150})
    await comfy.wait_for("progress", node="3")

    deleted = await api.http.delete(f"/api/generations/{answer['id']}")

    assert deleted.status_code == 204
    assert comfy.count("execution_interrupted") == 1
