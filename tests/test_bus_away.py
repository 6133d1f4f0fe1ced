"""Redis gone: what was accepted is answered as accepted, and runs."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.asking import QUICK, post
from tests.buses import RedisServer
from tests.conftest import Serve


@pytest.mark.parametrize("asked", [{"Prefer": "wait=10"}, {"Accept": "text/event-stream"}], ids=["wait", "stream"])
async def test_a_generation_that_was_accepted_without_a_bus_is_answered_so_and_runs(
    serve: Serve, asked: dict[str, str]
) -> None:
    server = RedisServer()
    await asyncio.to_thread(server.start)
    try:
        api = await serve(redis_url=server.url)
    finally:
        await asyncio.to_thread(server.stop)

    answer = await post(api, QUICK, headers=asked)

    assert answer.status_code in {201, 202}, answer.text
    assert answer.json()["comfyuiPromptId"]
    assert [item["id"] for item in (await api.http.get("/api/generations")).json()["items"]] == [answer.json()["id"]]
    assert (await api.finished(answer.json()["id"]))["status"] == "succeeded"
