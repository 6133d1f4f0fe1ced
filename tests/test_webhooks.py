"""Webhooks from end to end: whatever ends a generation is told once, in order, through deaths of either side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator, SimulatorOptions
from tests.api.asking import QUICK
from tests.batching import batch, completed, numbered
from tests.conftest import MakeSettings, Serve
from tests.receiving import ALL, HANG, QUICKLY, Receiver, ids, of_each, receiving, registered
from tests.service import Json, Service, client
from tests.waiting import WITHIN_S, until

ENDS = {"generation.succeeded", "generation.failed", "generation.canceled"}


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def api(serve: Serve) -> Service:
    """The service, with delays of tenths of a second for what is told."""
    return await serve(**QUICKLY)


async def disabled(api: Service, path: str) -> Json:
    """The receiver at that path once the service has disabled it."""
    async with asyncio.timeout(WITHIN_S):
        while (shown := (await api.http.get(path)).json())["enabled"]:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.01)
    found: Json = shown
    return found


async def succeeding(api: Service, comfy: Simulator, **webhook: Any) -> Json:
    return await api.generate(**QUICK, **webhook)


async def failing(api: Service, comfy: Simulator, **webhook: Any) -> Json:
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY
    return await api.generate(**QUICK, **webhook)


async def canceled_while_it_runs(api: Service, comfy: Simulator, **webhook: Any) -> Json:
    comfy.hold("executing", node="3")
    started = await api.generate(**QUICK | {"steps": 150}, **webhook)  # Long enough for an interrupt to come in time.
    await comfy.held()
    await api.http.post(f"/api/generations/{started['id']}/cancel")
    comfy.release()
    return started


async def canceled_while_it_waits(api: Service, comfy: Simulator, **webhook: Any) -> Json:
    await comfy.stop()
    started = await api.generate(**QUICK, **webhook)
    await api.http.post(f"/api/generations/{started['id']}/cancel")
    return started


async def removed_while_it_waits(api: Service, comfy: Simulator, **webhook: Any) -> Json:
    await comfy.stop()
    started = await api.generate(**QUICK, **webhook)
    await api.http.delete(f"/api/generations/{started['id']}")
    return started


async def late_while_it_waits(api: Service, comfy: Simulator, **webhook: Any) -> Json:
    await comfy.stop()
    return await api.generate(**QUICK, **webhook, deadlineSeconds=0.2)


async def late_while_it_runs(api: Service, comfy: Simulator, **webhook: Any) -> Json:
    comfy.hold("executing", node="3")
    return await api.generate(**QUICK, **webhook, deadlineSeconds=0.3)


Way = Callable[..., Awaitable[Json]]


@pytest.mark.parametrize(
    ("way", "event"),
    [
        (succeeding, "generation.succeeded"),
        (failing, "generation.failed"),
        (canceled_while_it_waits, "generation.canceled"),
        (canceled_while_it_runs, "generation.canceled"),
        (removed_while_it_waits, "generation.canceled"),
        (late_while_it_waits, "generation.failed"),
        (late_while_it_runs, "generation.failed"),
    ],
    ids=lambda each: each.__name__ if callable(each) else None,
)
async def test_every_way_a_generation_ends_is_told_once_to_both_kinds_of_receiver(
    way: Way, event: str, api: Service, comfy: Simulator, receiver: Receiver
) -> None:
    made = await registered(api, receiver, "/all")
    secret = (await api.http.get("/api/webhooks/secret")).json()["secret"]

    started = await way(api, comfy, webhook={"url": receiver.url("/one")})
    (one,), (every,) = await receiver.has(1, "/one"), await receiver.has(1, "/all")
    comfy.release()

    for told in (one.verified(secret), every.verified(made["secret"])):
        assert (told["type"], told["data"]["id"]) == (event, started["id"])
        assert told["data"]["status"] == event.partition(".")[2]
    assert one.id != every.id
    assert len(receiver.attempts) == 2


async def test_what_comfyui_refuses_is_told_too(make_settings: MakeSettings, receiver: Receiver) -> None:
    async with Simulator(SimulatorOptions()) as comfy:
        comfy.faults.http_status["/object_info"] = 500  # Or it would be refused before anything is on record.
        async with Service(make_settings(comfyui_urls={"gpu-0": comfy.url}, **QUICKLY)) as api:
            graph = {"1": {"class_type": "NoSuchNode", "inputs": {}}}
            body = {"workflow": graph, "webhook": {"url": receiver.url()}}

            answer = await api.http.post("/api/generate", json=body)
            (message,) = await receiver.has(1)

    assert answer.json()["code"] == "rejected"
    assert (message.type, message.about) == ("generation.failed", answer.json()["generationId"])
    assert message.body["data"]["error"]["code"] == "rejected"


async def test_the_body_has_what_a_receiver_needs_to_fetch_the_pictures(serve: Serve, receiver: Receiver) -> None:
    api = await serve(**QUICKLY, api_keys=("key",), public_url="https://images.example.com/relay/")

    started = await api.generate(**QUICK, metadata={"order": 7}, webhook={"url": receiver.url()})
    (message,) = await receiver.has(1)
    told = message.body["data"]
    picture_url = told["imageUrls"][0]
    async with client(api.url) as stranger:
        found = await stranger.get(picture_url.removeprefix("https://images.example.com/relay"))

    assert picture_url.startswith("https://images.example.com/relay/api/generations/")
    assert found.status_code == 200
    assert found.content.startswith(b"\x89PNG")
    assert told["metadata"] == {"order": 7}
    assert told["comfyuiPromptId"] == started["comfyuiPromptId"]
    assert told["outputs"][0]["sha256"]
    assert len(message.request.body) < 2000


async def test_all_events_of_a_generation_come_in_order_through_failures(
    api: Service, comfy: Simulator, receiver: Receiver
) -> None:
    receiver.faults["/hooks"].extend([500, 500, 200, 500, HANG, 200, 500])
    comfy.hold("executing", node="3")

    started = await api.generate(**{**QUICK, "steps": 30}, webhook={"url": receiver.url(), "events": ALL})
    await comfy.held()
    await until(lambda: len(receiver.attempts) >= 2)
    comfy.release()
    await until(lambda: any(message.type in ENDS for message in receiver.taken))

    order = [ALL.index(message.type) for message in receiver.taken]
    assert order == sorted(order)
    assert len(set(ids(receiver.taken))) == len(receiver.taken)
    assert list(dict.fromkeys(ids(receiver.attempts))) == ids(receiver.taken)
    assert {message.about for message in receiver.attempts} == {started["id"]}


async def test_a_slow_receiver_holds_nobody_but_itself(serve: Serve, receiver: Receiver) -> None:
    api = await serve(**QUICKLY | {"webhook_timeout_s": 15}, webhook_at_once=8)
    receiver.stays["/slow"] = HANG
    await registered(api, receiver, "/slow")
    await registered(api, receiver, "/quick")

    for number in range(12):
        await api.generate(**QUICK | {"seed": number})
    await receiver.has(12, "/quick")

    assert receiver.took("/slow") == []
    assert receiver.most_at_once["/slow"] <= 4


async def test_a_delivery_that_always_fails_holds_back_no_other(api: Service, receiver: Receiver) -> None:
    await registered(api, receiver, "/all")
    receiver.stays["/poison"] = 500
    poisoned = await api.generate(**QUICK, webhook={"url": receiver.url("/poison"), "events": ALL})
    await until(lambda: len(receiver.at("/poison")) >= 7)

    other = await api.generate(**QUICK, webhook={"url": receiver.url("/fine")})
    await receiver.has(1, "/fine")
    await receiver.has(2, "/all")

    assert {each.about for each in receiver.at("/poison")} == {poisoned["id"]}
    assert len(set(ids(receiver.at("/poison")))) == 1
    assert receiver.took("/fine")[0].about == other["id"]


async def test_batches_are_told_of_as_a_whole_and_item_by_item(api: Service, receiver: Receiver) -> None:
    secret = (await api.http.get("/api/webhooks/secret")).json()["secret"]
    items = numbered(6)
    items[0]["webhook"] = {"url": receiver.url("/item"), "events": ["generation.succeeded"]}
    hook = {"url": receiver.url("/batch"), "events": ["batch.completed", "generation.succeeded"]}

    started = await batch(api, {"items": items, "webhook": hook})
    await completed(api, started["id"])
    (item,) = await receiver.has(1, "/item")
    messages = await receiver.has(6, "/batch")
    log = (await api.http.get(f"/api/batches/{started['id']}/deliveries")).json()["items"]

    assert item.verified(secret)["data"]["itemKey"] == "k0"
    kinds = of_each(messages, lambda each: each.type)
    assert {each.body["data"]["itemKey"] for each in kinds["generation.succeeded"]} == {f"k{n}" for n in range(1, 6)}
    (end,) = kinds["batch.completed"]
    assert end.verified(secret)["data"]["counts"] == (await api.http.get(f"/api/batches/{end.about}")).json()["counts"]
    assert end.about == started["id"]
    assert [each["id"] for each in log] == [end.id]


async def test_a_batch_that_is_canceled_and_tried_again_is_told_of_twice(
    api: Service, comfy: Simulator, receiver: Receiver
) -> None:
    comfy.hold("execution_start")
    started = await batch(api, {"items": numbered(5), "webhook": {"url": receiver.url()}})
    await api.http.post(f"/api/batches/{started['id']}/cancel")
    comfy.release()
    await receiver.has(1)

    await api.http.post(f"/api/batches/{started['id']}/retry", params={"includeCanceled": "true"})
    first, second = await receiver.has(2)

    assert (first.body["data"]["status"], second.body["data"]["status"]) == ("canceled", "succeeded")
    assert first.id != second.id


async def test_a_retry_is_told_to_the_same_receiver(api: Service, comfy: Simulator, receiver: Receiver) -> None:
    started = await failing(api, comfy, webhook={"url": receiver.url()})
    await receiver.has(1)
    comfy.faults.failures.clear()

    again = await api.http.post(f"/api/generations/{started['id']}/retry")
    messages = await receiver.has(2)

    assert [(each.type, each.about) for each in messages] == [
        ("generation.failed", started["id"]),
        ("generation.succeeded", again.json()["id"]),
    ]


async def test_410_disables_and_enabling_lets_what_failed_be_sent_again(api: Service, receiver: Receiver) -> None:
    made = await registered(api, receiver)
    receiver.faults["/hooks"].append(410)
    first = await api.generate(**QUICK)
    await until(lambda: len(receiver.attempts) == 1)
    path = f"/api/webhooks/{made['id']}"
    shown = await disabled(api, path)
    unheard = await api.finished((await api.generate(**QUICK | {"seed": 2}))["id"])
    refused = await api.http.post(f"{path}/redeliver")

    enabled = await api.http.put(path, json={"enabled": True})
    count = (await api.http.post(f"{path}/redeliver")).json()
    (message,) = await receiver.has(1)

    assert shown["disabledReason"] == "it answered 410 Gone"
    assert (refused.status_code, refused.json()["code"]) == (409, "webhook_disabled")
    assert (enabled.json()["enabled"], enabled.json()["disabledReason"]) == (True, None)
    assert count == {"count": 1}
    assert message.about == first["id"]
    assert message.id == receiver.attempts[0].id
    assert unheard["status"] == "succeeded"


async def test_a_receiver_without_success_for_days_is_disabled_and_says_why(serve: Serve, receiver: Receiver) -> None:
    api = await serve(**QUICKLY, webhook_disable_s=0.3)
    receiver.stays["/hooks"] = 500
    made = await registered(api, receiver)

    await api.generate(**QUICK)
    shown = await disabled(api, f"/api/webhooks/{made['id']}")

    assert shown["disabledReason"].startswith("nothing could be delivered for")
    assert shown["disabledReason"].endswith("it answered 500")
    assert shown["pending"] == 0
