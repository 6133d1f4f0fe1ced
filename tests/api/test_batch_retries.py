"""Batches after they were started: what a retry is asked for, and what becomes of one whose items are deleted."""

from __future__ import annotations

from typing import Any

import pytest

from app.comfyui.simulator import Simulator
from tests.api.asking import places, problem
from tests.batching import batch, completed, numbered, standing
from tests.conftest import Serve
from tests.service import Json, Service


async def canceled_batch(serve: Serve, comfy: Simulator) -> tuple[Service, Json]:
    """A batch whose items have all been canceled."""
    await comfy.stop()
    api = await serve()
    started = await batch(api, {"items": numbered(2)})
    await api.http.post(started["urls"]["cancel"])
    return api, await completed(api, started["id"])


@pytest.mark.parametrize("asked", [{"json": {"includeCanceled": True}}, {"params": {"include_canceled": "true"}}])
async def test_a_retry_takes_canceled_items_in_when_the_body_or_the_query_says_so(
    serve: Serve, comfy: Simulator, asked: dict[str, Any]
) -> None:
    api, ended = await canceled_batch(serve, comfy)

    nothing = await api.http.post(ended["urls"]["retry"])
    retried = await api.http.post(ended["urls"]["retry"], **asked)

    assert (nothing.status_code, nothing.json()["counts"]["canceled"]) == (202, 2)
    assert (retried.status_code, retried.json()["counts"]["pending"]) == (202, 2)


async def test_deleted_items_are_counted_and_the_batch_still_ends(api: Service, comfy: Simulator) -> None:
    comfy.hold("progress", node="3")
    started = await batch(api, {"items": numbered(4), "maxInFlight": 1})
    await comfy.held()
    items = (await api.http.get(started["urls"]["generations"], params={"status": "pending"})).json()["items"]

    deleted = await api.http.delete(f"/api/generations/{items[0]['id']}")
    between = await standing(api, started["id"])
    comfy.release()
    ended = await completed(api, started["id"])

    assert deleted.status_code == 204
    for found in (between, ended):
        assert (found["total"], found["removed"], sum(found["counts"].values())) == (4, 1, 3)
    assert between["percentage"] < 100
    assert (ended["status"], ended["percentage"], ended["counts"]["succeeded"]) == ("succeeded", 100, 3)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "a misspelt field": ({"json": {"includeCancelled": True}}, "/includeCancelled"),
    "a field of the wrong kind": ({"json": {"includeCanceled": "yes"}}, "/includeCanceled"),
    "a misspelt option": ({"params": {"includeCancelled": "true"}}, "?includeCancelled"),
    "a list": ({"json": ["includeCanceled"]}, ""),
}


async def test_what_is_misspelt_in_a_retry_is_refused_and_nothing_is_tried_again(
    serve: Serve, comfy: Simulator
) -> None:
    api, ended = await canceled_batch(serve, comfy)

    answers = {name: await api.http.post(ended["urls"]["retry"], **asked) for name, (asked, _) in WRONG.items()}
    broken = await api.http.post(ended["urls"]["retry"], content=b"{")

    assert {name: [*places(each)] for name, each in answers.items()} == {n: [where] for n, (_, where) in WRONG.items()}
    problem(broken, 400, "malformed_body")
    assert (await completed(api, ended["id"]))["counts"]["canceled"] == 2
