"""Whether the service lives, whether a job could be finished now, and the figures."""

from __future__ import annotations

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from app.comfyui.simulator import Simulator
from app.db.errors import DatabaseUnavailable
from app.figures import Figures, Gauges
from tests.api.asking import QUICK, held_while_drawing, out_of_reach
from tests.conftest import Serve
from tests.databases import PostgresServer
from tests.receiving import QUICKLY, receiving, registered
from tests.service import Json, Service
from tests.waiting import WITHIN_S, until


async def readiness(api: Service, status: int) -> Json:
    """The answer of /readyz once it has this status."""
    async with asyncio.timeout(WITHIN_S):
        while (answer := await api.http.get("/readyz")).status_code != status:
            pass
    told: Json = answer.json()
    assert told["ready"] is (status == 200)
    return told


async def figures(api: Service) -> dict[str, float]:
    """Every sample of /metrics, by name; those of the only backend without their label."""
    answer = await api.http.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = list(text_string_to_metric_families(answer.text))
    assert all(family.documentation for family in families)
    return {sample.name: sample.value for family in families for sample in family.samples}


async def test_it_lives(api: Service) -> None:
    assert (await api.http.get("/healthz")).json() == {"status": "ok"}


async def test_it_is_ready_when_every_part_is(api: Service) -> None:
    told = await readiness(api, 200)

    assert (told["database"], told["storage"]) == (True, True)
    assert told["backends"]["gpu-0"].items() >= {"healthy": True, "listening": True, "lastError": None}.items()


async def test_it_is_not_ready_without_comfyui_and_ready_again_with_it(serve: Serve, comfy: Simulator) -> None:
    await comfy.stop()
    api = await serve()

    down = await readiness(api, 503)
    await comfy.start()
    up = await readiness(api, 200)

    assert down["database"] is True
    assert down["backends"]["gpu-0"].items() >= {"healthy": False, "listening": False}.items()
    assert down["backends"]["gpu-0"]["lastError"]
    assert str(comfy.port) not in str(down)
    assert up["backends"]["gpu-0"]["version"] == comfy.options.version


async def test_it_notices_when_comfyui_goes(api: Service, comfy: Simulator) -> None:
    await readiness(api, 200)

    await comfy.stop()

    assert (await readiness(api, 503))["backends"]["gpu-0"]["listening"] is False


async def test_a_socket_that_never_proved_itself_is_not_ready(serve: Serve, comfy: Simulator) -> None:
    comfy.faults.mute_sockets = True
    api = await serve()

    told = await readiness(api, 503)

    assert told["backends"]["gpu-0"]["listening"] is False


async def test_it_is_not_ready_without_its_database(
    serve: Serve, postgres_url: str, postgres_server: PostgresServer
) -> None:
    api = await serve(database_url=postgres_url)
    await readiness(api, 200)

    with out_of_reach(postgres_server, postgres_url):
        told = await readiness(api, 503)
        alive = await api.http.get("/healthz")

    await readiness(api, 200)
    assert told["database"] is False
    assert told["backends"]["gpu-0"]["healthy"] is True
    assert alive.status_code == 200


async def test_the_figures_can_be_read_and_move(api: Service, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer, api.stream(answer["id"]) as stream:
        await anext(stream)
        during = await figures(api)
    await api.finished(answer["id"])
    after = await figures(api)

    assert during["comfy_relay_live_generations"] == 1
    assert during["comfy_relay_event_streams"] == 1
    assert during["comfy_relay_backend_up"] == during["comfy_relay_backend_listening"] == 1
    assert after["comfy_relay_live_generations"] == 0
    assert after["comfy_relay_frames_total"] > during["comfy_relay_frames_total"]


async def test_the_figures_tell_of_the_queue_of_outcomes_and_of_webhooks(serve: Serve) -> None:
    async with receiving() as receiver:
        api = await serve(**QUICKLY | {"webhook_retry_s": 600, "webhook_retry_max_s": 600})
        receiver.stays["/fails"] = 500
        await registered(api, receiver, "/works")
        await registered(api, receiver, "/fails")
        await registered(api, receiver, "/off", enabled=False)
        await api.finished((await api.generate(**QUICK))["id"])
        await receiver.has(1, "/works")
        await until(lambda: len(receiver.at("/fails")) == 1)
        async with asyncio.timeout(WITHIN_S):
            while (await listed(api)) != [(0, False), (1, True), (0, False)]:  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.01)
        told = await figures(api)
        by_status = (await api.http.get("/metrics")).text

    waiting = ("pending_generations", "pending_deliveries", "failing_webhooks", "disabled_webhooks")
    assert [told[f"comfy_relay_{name}"] for name in waiting] == [0, 1, 1, 1]
    assert 'comfy_relay_generations_ended_total{status="succeeded"} 1.0' in by_status
    assert 'comfy_relay_generations_ended_total{status="failed"} 0.0' in by_status
    assert 'comfy_relay_deliveries_ended_total{status="delivered"} 1.0' in by_status


async def listed(api: Service) -> list[tuple[int, bool]]:
    """What waits for each registered receiver and whether it fails, the newest first."""
    items = (await api.http.get("/api/webhooks")).json()["items"]
    return [(each["pending"], each["failingSince"] is not None) for each in items]


async def test_without_a_database_some_figures_are_missing_and_no_scrape_waits_for_long() -> None:
    asked = []

    async def away() -> Gauges:
        asked.append("away")
        raise DatabaseUnavailable("gone")

    async def silent() -> Gauges:
        asked.append("silent")
        await asyncio.Event().wait()
        raise AssertionError("nobody waits for so long")

    found = []
    for read in (away, silent):
        figures = Figures(read, {}, {}, wait_s=0.01)
        found += await asyncio.gather(*[figures.gauges() for _ in range(3)])

    assert found == [None] * 6
    assert asked == ["away", "silent"]


async def test_head_works_for_probes(api: Service) -> None:
    await api.finished((await api.generate(**QUICK))["id"])

    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await api.http.head(path)).status_code == 200


async def test_a_page_of_a_named_origin_may_call_and_others_may_not(serve: Serve) -> None:
    api = await serve(cors_origins=("http://localhost:3000",), api_keys=("k",))
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}

    allowed, refused = [
        await api.http.options("/api/generate", headers={"Origin": origin, **asked})
        for origin in ("http://localhost:3000", "http://evil.test")
    ]
    answer = await api.http.get("/api/templates", headers={"Origin": "http://localhost:3000"})
    unauthorized = await api.http.get("/api/templates", headers={"Origin": "http://localhost:3000", "X-API-Key": "x"})

    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert "access-control-allow-origin" not in refused.headers
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    assert (unauthorized.status_code, unauthorized.headers["access-control-allow-origin"]) == (
        401,
        "http://localhost:3000",
    )
