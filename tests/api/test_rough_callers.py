"""Callers that hang up, misspell, or come when somebody else is already there."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from app.comfyui.simulator import Simulator
from tests.service import Service
from tests.waiting import until

REQUEST: dict[str, Any] = {"prompt": "rough", "steps": 2, "width": 64, "height": 64}


async def test_a_caller_that_hangs_up_in_mid_body_is_no_error(api: Service, caplog: pytest.LogCaptureFixture) -> None:
    _, _, port = api.url.rpartition(":")
    _, writer = await asyncio.open_connection("127.0.0.1", int(port))
    head = b"POST /api/generate HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer SECRET\r\nContent-Length: 100\r\n\r\n"
    writer.write(head + b'{"prompt"')
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    answer = await api.http.get("/healthz")

    assert answer.status_code == 200
    assert not [line for line in caplog.records if line.levelno >= logging.ERROR]


async def test_filters_may_be_in_snake_case_and_a_misspelt_one_is_refused(api: Service) -> None:
    await api.generate(**REQUEST | {"projectId": "five"})
    await api.generate(**REQUEST | {"projectId": "six"})

    snake = await api.http.get("/api/generations", params={"project_id": "five"})
    misspelt = await api.http.get("/api/generations", params={"projectID": "five"})

    assert [item["projectId"] for item in snake.json()["items"]] == ["five"]
    assert misspelt.status_code == 422
    assert misspelt.json()["errors"][0]["pointer"] == "?projectID"


async def test_the_progress_route_takes_its_id_in_snake_case(api: Service) -> None:
    answer = await api.generate(**REQUEST)

    async with api.http.stream("GET", "/api/generate/progress", params={"generation_id": answer["id"]}) as stream:
        assert stream.status_code == 200


async def test_the_answer_to_a_cancel_says_that_it_is_being_canceled(api: Service, comfy: Simulator) -> None:
    comfy.hold("progress", node="3")
    answer = await api.generate(**REQUEST)
    await comfy.held()

    canceled = await api.http.post(f"/api/generations/{answer['id']}/cancel")
    comfy.release()

    assert canceled.json()["status"] in {"canceling", "canceled"}


async def test_a_retry_with_a_key_is_made_once(api: Service) -> None:
    first = await api.generate(**REQUEST)

    path, headers = f"/api/generations/{first['id']}/retry", {"Idempotency-Key": "again-1"}
    answers = [await api.http.post(path, headers=headers) for _ in range(2)]

    assert answers[0].json()["id"] == answers[1].json()["id"] != first["id"]
    assert answers[1].headers["Idempotency-Replayed"] == "true"


async def test_a_trailing_slash_is_unknown_and_never_a_redirect_to_a_foreign_host(api: Service) -> None:
    answer = await api.http.get("/api/generations/", headers={"Host": "evil.example"})

    assert answer.status_code == 404


async def test_a_second_service_on_the_same_port_touches_nothing(
    api: Service, comfy: Simulator, tmp_path: Path
) -> None:
    await until(lambda: comfy.sockets == 1)
    own = {
        "COMFY_RELAY_DATABASE_URL": api.settings.database_url.get_secret_value(),
        "COMFY_RELAY_DATA_DIR": str(tmp_path / "data"),
        "COMFY_RELAY_COMFYUI_URLS": comfy.url,
        "COMFY_RELAY_PORT": api.url.rpartition(":")[2],
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "app.cli", "serve"),
        cwd=Path(__file__).parents[2],
        env=os.environ | own,
        stderr=asyncio.subprocess.PIPE,
    )

    async with asyncio.timeout(20):
        _, said = await process.communicate()

    assert process.returncode == 1
    assert "cannot listen on 127.0.0.1" in said.decode()
    assert len(said.decode().splitlines()) == 1
    assert comfy.requests["GET /ws"] == 1
