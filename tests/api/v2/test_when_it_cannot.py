"""The Comfy API v2 when there is no room, no server, no database; and on the other database and bus."""

from __future__ import annotations

import httpx

from app.api.v2.envelopes import tell
from app.comfyui.simulator import Simulator
from app.errors import AppError, Unavailable
from tests.api.asking import out_of_reach, picture
from tests.api.v2.asking import asset, caller, drawn, ended, followed, loading, refusal, sent, submitted
from tests.conftest import Serve
from tests.databases import PostgresServer
from tests.files import png
from tests.service import Service


async def job(v2: httpx.AsyncClient, key: str | None = None) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await v2.post("/api/v2/jobs", json={"workflow": picture()}, headers=headers)


async def test_a_full_queue_says_when_to_come_back_and_leaves_the_key_free(serve: Serve, comfy: Simulator) -> None:
    api = await serve(max_pending=1)
    await comfy.stop()
    async with caller(api.url, None) as v2:
        await submitted(v2, picture())

        full = await job(v2, "a key")
        again = await job(v2, "a key")

    for answer in (full, again):
        refusal(answer, 429, "queue_full")
        assert int(answer.headers["retry-after"]) > 0


async def test_without_a_server_a_service_that_does_not_wait_says_when_to_come_back(
    serve: Serve, comfy: Simulator
) -> None:
    await comfy.stop()
    api = await serve(accept_when_down=False)
    async with caller(api.url, None) as v2:
        answer = await job(v2)

    refusal(answer, 429, "deployment_not_ready")
    assert int(answer.headers["retry-after"]) > 0


async def test_a_job_waits_for_a_server_that_is_away(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve()
    async with caller(api.url, None) as v2:
        waiting = await submitted(v2, picture())
        canceled = (await v2.post(waiting["urls"]["cancel"])).json()

    assert (waiting["status"], waiting["queue_position"], waiting["progress"]) == ("queued", 1, None)
    assert canceled["status"] == "canceled"


async def test_of_a_workflow_that_comfyui_refuses_no_job_stays_and_the_key_is_free(unread: Service) -> None:
    graph = drawn()
    graph["4"]["inputs"]["sampler_name"] = "no such sampler"
    async with caller(unread.url, None) as v2:
        refused = await v2.post("/api/v2/jobs", json={"workflow": graph}, headers={"Idempotency-Key": "a key"})
        listed = (await v2.get("/api/v2/jobs")).json()["jobs"]
        made = await submitted(v2, picture(), key="a key")

    error = refusal(refused, 422, "invalid_workflow")
    assert [each["field"] for each in error["details"]["node_errors"]["4"]] == ["sampler_name"]
    assert listed == []
    assert made["status"] in {"queued", "running", "succeeded"}


async def test_on_postgresql_and_redis_it_is_the_same(
    serve: Serve, postgres_server: PostgresServer, postgres_url: str, redis_url: str
) -> None:
    api = await serve(database_url=postgres_url, redis_url=redis_url)
    async with caller(api.url, None) as v2:
        used = await sent(v2, png(), key="a key")
        await sent(v2, png(), expect=422, key="a key")
        started = await submitted(v2, loading(asset(used["id"])), key="a key", metadata={"a.b": '"%_'})
        await submitted(v2, picture(), expect=422, key="a key")
        events = await followed(v2, started["id"])
        made = await ended(v2, started["id"])
        read = await v2.get(f"/api/v2/assets/{made['outputs'][0]['id']}")
        found = (await v2.get("/api/v2/jobs", params={"metadata[a.b]": '"%_'})).json()["jobs"]
        other = (await v2.get("/api/v2/jobs", params={"metadata[a.b]": '"__'})).json()["jobs"]
        with out_of_reach(postgres_server, postgres_url):
            away = await v2.get(f"/api/v2/jobs/{started['id']}")

    assert (events[-1][1]["status"], made["status"], read.json()["job_id"]) == ("succeeded", "succeeded", made["id"])
    assert ([each["id"] for each in found], other) == ([made["id"]], [])
    refusal(away, 503, "upstream_error")
    assert int(away.headers["retry-after"]) > 0


def test_a_fault_of_ours_is_an_upstream_error() -> None:
    for error, status in ((AppError("It has been logged."), 500), (Unavailable("database"), 503)):
        told = tell({"status": error.status, "code": error.code, "detail": error.detail})

        expected = {"code": "upstream_error", "message": error.detail, "details": None}
        assert (told.status, told.body, told.media_type) == (status, {"error": expected}, "application/json")


def test_foreign_node_errors_are_told_as_far_as_they_can_be_read() -> None:
    node_errors = {"1": None, "2": {"errors": "x"}, "3": {"errors": [5, {}]}, "4": {"errors": [{"extra_info": 7}]}}

    told = tell({"status": 422, "code": "rejected", "detail": "x", "nodeErrors": node_errors})

    unread = {"field": None, "reason": "invalid", "message": ""}
    assert told.body["error"]["details"] == {"node_errors": {"3": [unread], "4": [unread]}}
