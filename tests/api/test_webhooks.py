"""Webhooks over HTTP: what is taken and refused, what is shown, secrets that are not, the log, and delivering again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from standardwebhooks import Webhook

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import NOBODY, QUICK, places, problem
from tests.api.standing import standing
from tests.receiving import QUICKLY, Receiver, ids, receiving
from tests.service import Json, Service, client
from tests.waiting import WITHIN_S, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY = "key-of-this-test"
OWN_SECRET = "whsec_" + "c2VjcmV0IG9mIHRoaXMgdGVzdCwgd2l0aCAzMiBieXRlcw=="


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    given: dict[str, Any] = {**QUICKLY, "api_keys": (KEY,), "webhook_secret": OWN_SECRET}
    async with (
        Simulator(SimulatorOptions(step_s=0.001)) as comfy,
        standing(tmp_path_factory, migrated_sqlite, comfy, **given) as service,
    ):
        yield service


@pytest_asyncio.fixture(loop_scope="module")
async def made(api: Service, receiver: Receiver, request: pytest.FixtureRequest) -> AsyncIterator[Json]:
    """A registered receiver at a path of the test's own, removed afterwards."""
    answer = await api.http.post("/api/webhooks", json={"url": receiver.url(f"/{request.node.name}")})
    assert answer.status_code == 201, answer.text
    yield answer.json()
    await api.http.delete(f"/api/webhooks/{answer.json()['id']}")


def path_of(made: Json) -> str:
    return "/" + str(made["url"]).rsplit("/", 1)[1]


async def log_of(api: Service, made: Json, **query: Any) -> list[Json]:
    answer = await api.http.get(f"/api/webhooks/{made['id']}/deliveries", params=query)
    assert answer.status_code == 200, answer.text
    items: list[Json] = answer.json()["items"]
    return items


async def settled(api: Service, made: Json, count: int) -> list[Json]:
    """The log of a receiver once so many of its deliveries have ended."""
    async with asyncio.timeout(WITHIN_S):
        while True:
            items = await log_of(api, made)
            if sum(item["status"] != "pending" for item in items) >= count:
                return items
            await asyncio.sleep(0.01)


async def test_no_webhook_is_as_good_as_none(api: Service) -> None:
    started = await api.generate(**QUICK, webhook=None)
    await api.finished(started["id"])

    answer = await api.http.get(f"/api/generations/{started['id']}/deliveries")

    assert answer.json() == {"items": [], "nextCursor": None}


async def test_a_secret_is_shown_when_it_is_made_and_never_again(
    api: Service, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = await api.http.post("/api/webhooks", json={"url": receiver.url("/shown"), "description": "shop"})
    made = answer.json()
    path = answer.headers["location"]

    shown = [
        await api.http.get(path),
        await api.http.get("/api/webhooks"),
        await api.http.put(path, json={"description": "another"}),
        await api.http.post(f"{path}/test"),
        await api.http.get(f"{path}/deliveries"),
    ]
    rotated = (await api.http.post(f"{path}/secret")).json()
    await api.http.delete(path)

    assert made["secret"].startswith("whsec_")
    assert made.items() >= {"enabled": True, "description": "shop", "disabledReason": None}.items()
    assert rotated["secret"] != made["secret"]
    texts = [each.text for each in shown] + [str(vars(record)) for record in caplog.records]
    for secret in (made["secret"], rotated["secret"], OWN_SECRET):
        assert not [text for text in texts if secret.removeprefix("whsec_") in text]


async def test_after_a_rotation_both_secrets_verify_what_comes(api: Service, receiver: Receiver, made: Json) -> None:
    rotated = (await api.http.post(f"/api/webhooks/{made['id']}/secret")).json()

    await api.generate(**QUICK)
    (message,) = await receiver.has(1, path_of(made))

    assert message.verified(made["secret"]) == message.verified(rotated["secret"])
    assert datetime.fromisoformat(rotated["previousUntil"]) > datetime.now(UTC)
    with pytest.raises(Exception, match="No matching signature"):
        message.verified(OWN_SECRET)


async def test_receivers_a_request_named_are_signed_for_with_the_services_secret(
    api: Service, receiver: Receiver
) -> None:
    shown = (await api.http.get("/api/webhooks/secret")).json()

    started = await api.generate(**QUICK, webhook={"url": receiver.url("/own?job=7")})
    (message,) = await receiver.has(1, "/own")
    (delivery,) = (await api.http.get(f"/api/generations/{started['id']}/deliveries")).json()["items"]

    assert shown == {"secret": OWN_SECRET, "previousUntil": None}
    assert Webhook(OWN_SECRET).verify(message.request.body, message.request.headers)["data"]["id"] == started["id"]
    assert message.request.path == "/own?job=7"
    assert delivery["url"] == receiver.url("/own")


async def test_a_test_says_what_came_of_it_and_is_in_the_log(api: Service, receiver: Receiver, made: Json) -> None:
    path = f"/api/webhooks/{made['id']}"
    receiver.faults[path_of(made)].append(500)

    failed, delivered = [(await api.http.post(f"{path}/test")).json() for _ in range(2)]
    await api.http.put(path, json={"enabled": False})
    while_disabled = (await api.http.post(f"{path}/test")).json()

    assert (failed["status"], failed["attempts"][0]["error"]) == ("failed", "it answered 500")
    assert [each["status"] for each in (delivered, while_disabled)] == ["delivered", "delivered"]
    messages = receiver.took(path_of(made))
    assert [each.verified(made["secret"])["type"] for each in messages] == ["webhook.test"] * 2
    assert {each["id"] for each in await log_of(api, made)} == {failed["id"], delivered["id"], while_disabled["id"]}


async def test_a_receiver_can_be_changed_bit_by_bit(api: Service, receiver: Receiver, made: Json) -> None:
    path = f"/api/webhooks/{made['id']}"

    changes: list[Json] = [
        {"url": receiver.url("/elsewhere")},
        {"events": ["batch.completed", "batch.completed"]},
        {"description": "new"},
        {"enabled": False},
        {},
    ]
    answers = [await api.http.put(path, json=change) for change in changes]

    assert [answer.status_code for answer in answers] == [200] * 5
    last = answers[-1].json()
    assert (last["url"], last["events"]) == (receiver.url("/elsewhere"), ["batch.completed"])
    assert (last["description"], last["enabled"]) == ("new", False)
    assert (await api.http.get(path)).json()["pending"] == 0


async def test_wrong_changes_change_nothing(api: Service, made: Json) -> None:
    path = f"/api/webhooks/{made['id']}"

    wrong = [
        ({"url": "http://10.0.0.1/"}, ["/url"]),
        ({"events": ["generation.done"]}, ["/events/0"]),
        ({"enabled": "yes"}, ["/enabled"]),
        ({"secret": "mine"}, ["/secret"]),
        ([], [""]),
    ]
    found = [list(places(await api.http.put(path, json=body))) for body, _ in wrong]

    assert found == [pointers for _, pointers in wrong]
    shown = (await api.http.get(path)).json()
    assert shown.items() >= {name: made[name] for name in ("url", "events", "enabled", "updatedAt")}.items()


async def test_a_disabled_receiver_is_told_nothing_and_what_waited_has_failed(
    api: Service, receiver: Receiver, made: Json
) -> None:
    path = f"/api/webhooks/{made['id']}"
    receiver.stays[path_of(made)] = 500
    await api.generate(**QUICK)
    await until(lambda: len(receiver.at(path_of(made))) >= 1)

    await api.http.put(path, json={"enabled": False})
    await api.finished((await api.generate(**QUICK | {"seed": 2}))["id"])
    log = await settled(api, made, 1)
    receiver.stays.pop(path_of(made))

    assert [each["status"] for each in log] == ["failed"]


async def test_one_delivery_is_made_again_under_its_id(api: Service, receiver: Receiver, made: Json) -> None:
    await api.generate(**QUICK)
    (delivery,) = await settled(api, made, 1)

    again = await api.http.post(f"/api/webhooks/deliveries/{delivery['id']}/redeliver")
    messages = await receiver.has(2, path_of(made))
    async with asyncio.timeout(WITHIN_S):
        path = f"/api/webhooks/deliveries/{delivery['id']}"
        while len((shown := (await api.http.get(path)).json())["attempts"]) < 2:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.01)

    assert again.status_code == 202
    assert set(ids(messages)) == {delivery["id"]}
    assert [attempt["status"] for attempt in shown["attempts"]] == [200, 200]
    assert shown["status"] == "delivered"


async def test_what_failed_since_a_time_is_made_again(api: Service, receiver: Receiver, made: Json) -> None:
    receiver.faults[path_of(made)].extend([410])
    await api.generate(**QUICK)
    await settled(api, made, 1)
    await api.http.put(f"/api/webhooks/{made['id']}", json={"enabled": True})

    later = {"since": "2999-01-01T00:00:00Z"}
    none = await api.http.post(f"/api/webhooks/{made['id']}/redeliver", params=later)
    one = await api.http.post(f"/api/webhooks/{made['id']}/redeliver", params={"since": "2020-01-01"})
    await receiver.has(1, path_of(made))

    assert (none.status_code, none.json(), one.json()) == (202, {"count": 0}, {"count": 1})


async def test_the_log_and_the_list_are_read_page_by_page(api: Service, receiver: Receiver, made: Json) -> None:
    others = [
        (await api.http.post("/api/webhooks", json={"url": receiver.url("/more"), "enabled": False})).json()["id"]
        for _ in range(3)
    ]
    tests = [(await api.http.post(f"/api/webhooks/{made['id']}/test")).json()["id"] for _ in range(5)]

    async def paged(path: str) -> list[str]:
        found, cursor = [], None
        while True:
            page = (await api.http.get(path, params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
            found += [item["id"] for item in page["items"]]
            if (cursor := page["nextCursor"]) is None:
                return found

    log, listed = await paged(f"/api/webhooks/{made['id']}/deliveries"), await paged("/api/webhooks")
    for each in others:
        await api.http.delete(f"/api/webhooks/{each}")

    assert log == tests[::-1]
    assert listed == [*others[::-1], made["id"]]
    assert await log_of(api, made, status="failed") == []
    wrong = await api.http.get(f"/api/webhooks/{made['id']}/deliveries", params={"cursor": "x"})
    assert list(places(wrong)) == ["?cursor"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"/api/webhooks/{NOBODY}"),
        ("PUT", f"/api/webhooks/{NOBODY}"),
        ("DELETE", f"/api/webhooks/{NOBODY}"),
        ("POST", f"/api/webhooks/{NOBODY}/secret"),
        ("POST", f"/api/webhooks/{NOBODY}/test"),
        ("POST", f"/api/webhooks/{NOBODY}/redeliver"),
        ("GET", f"/api/webhooks/{NOBODY}/deliveries"),
        ("GET", f"/api/webhooks/deliveries/msg_{'0' * 32}"),
        ("POST", f"/api/webhooks/deliveries/msg_{'0' * 32}/redeliver"),
        ("GET", f"/api/generations/{NOBODY}/deliveries"),
        ("GET", f"/api/batches/{NOBODY}/deliveries"),
    ],
)
async def test_what_is_not_there_is_a_404_and_wants_a_key_first(method: str, path: str, api: Service) -> None:
    body = b"{}" if method == "PUT" else None
    async with client(api.url) as stranger:
        without = await stranger.request(method, path, content=body)

    missing = await api.http.request(method, path, content=body)

    problem(without, 401, "unauthorized")
    problem(missing, 404, "not_found")


async def test_a_url_with_a_token_does_not_open_the_log(api: Service, receiver: Receiver) -> None:
    started = await api.generate(**QUICK, webhook={"url": receiver.url("/tokens")})
    token = httpx.URL(started["urls"]["self"]).query.decode()

    async with client(api.url) as stranger:
        record = await stranger.get(started["urls"]["self"])
        log = await stranger.get(f"/api/generations/{started['id']}/deliveries?{token}")

    assert record.status_code == 200
    problem(log, 401, "unauthorized")


async def test_the_log_of_a_removed_generation_stays(api: Service, receiver: Receiver) -> None:
    started = await api.generate(**QUICK, webhook={"url": receiver.url("/removed")})
    await api.finished(started["id"])

    await api.http.delete(f"/api/generations/{started['id']}")
    await receiver.has(1, "/removed")
    log = await api.http.get(f"/api/generations/{started['id']}/deliveries")

    assert [each["event"] for each in log.json()["items"]] == ["generation.succeeded"]


async def test_another_webhook_is_another_request_under_an_idempotency_key(api: Service, receiver: Receiver) -> None:
    headers = {"Idempotency-Key": "told-once"}
    body = {**QUICK, "webhook": {"url": receiver.url("/key")}}
    first = await api.http.post("/api/generate", json=body, headers=headers)

    same = await api.http.post("/api/generate", json=body, headers=headers)
    other = await api.http.post("/api/generate", json={**body, "webhook": None}, headers=headers)

    assert same.json()["id"] == first.json()["id"]
    problem(other, 422, "idempotency_mismatch")
