"""Delivering again over HTTP: which of the failed ones, wherever the options stand, and what is no option."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import QUICK, places, problem
from tests.api.standing import standing
from tests.receiving import QUICKLY, Receiver, receiving, registered
from tests.service import Json, Service
from tests.waiting import WITHIN_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

LATER = "2999-01-01T00:00:00Z"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    async with (
        Simulator(SimulatorOptions(step_s=0.001)) as comfy,
        standing(tmp_path_factory, migrated_sqlite, comfy, **QUICKLY) as service,
    ):
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def made(api: Service, receiver: Receiver, request: pytest.FixtureRequest) -> AsyncIterator[Json]:
    """A registered receiver with one delivery that failed for good; it works from now on."""
    path = "/" + re.sub(r"\W", "-", request.node.name).strip("-")
    found, log = await registered(api, receiver, path), "/api/webhooks/{}/deliveries?status=failed"
    receiver.stays[path] = 500
    await api.generate(**QUICK)
    await until(lambda: len(receiver.at(path)) >= 1)
    await api.http.put(f"/api/webhooks/{found['id']}", json={"enabled": False})
    async with asyncio.timeout(WITHIN_S):
        while not (await api.http.get(log.format(found["id"]))).json()["items"]:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.01)
    receiver.stays.pop(path)
    await api.http.put(f"/api/webhooks/{found['id']}", json={"enabled": True})
    yield found
    await api.http.delete(f"/api/webhooks/{found['id']}")


async def again(api: Service, made: Json, **given: Any) -> Any:
    return await api.http.post(f"/api/webhooks/{made['id']}/redeliver", **given)


async def test_the_time_counts_in_the_body_as_in_the_query(api: Service, made: Json) -> None:
    none = [await again(api, made, json={"since": LATER}), await again(api, made, params={"since": LATER})]
    one = await again(api, made, json={"since": "2020-01-01T00:00:00Z"})

    assert [(answer.status_code, answer.json()) for answer in none] == [(202, {"count": 0})] * 2
    assert one.json() == {"count": 1}


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"params": {"Since": LATER}}, "?Since"),
        ({"json": {"Since": LATER}}, "/Since"),
        ({"json": {"since": "soon"}}, "/since"),
        ({"json": [LATER]}, ""),
        ({"params": {"since": LATER}, "json": {"since": LATER}}, "/since"),
    ],
    ids=["query", "body", "no-time", "no-object", "twice"],
)
async def test_what_is_no_option_delivers_nothing_again(api: Service, made: Json, given: Json, place: str) -> None:
    refused = await again(api, made, **given)
    log = (await api.http.get(f"/api/webhooks/{made['id']}/deliveries")).json()["items"]

    assert list(places(refused)) == [place]
    assert [delivery["status"] for delivery in log] == ["failed"]
    problem(await again(api, made, content=f"since={LATER}"), 400, "malformed_body")


async def test_tests_that_failed_are_not_made_again(api: Service, receiver: Receiver, made: Json) -> None:
    path = f"/{made['url'].rsplit('/', 1)[1]}"
    receiver.faults[path].append(500)
    failed = (await api.http.post(f"/api/webhooks/{made['id']}/test")).json()

    answer = await again(api, made, content=b"{}")
    (message,) = await receiver.has(1, path)

    assert failed["status"] == "failed"
    assert (answer.json(), message.type) == ({"count": 1}, "generation.succeeded")
