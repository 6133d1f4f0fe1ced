"""What is to be told outlives everybody: a receiver that is down, kill -9, a restart, one of two replicas."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator

import pytest

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import QUICK, picture
from tests.conftest import MakeSettings, Serve
from tests.process import KillableService, free_port
from tests.receiving import ALL, HANG, QUICKLY, Receiver, ids, of_each, receiving, registered
from tests.service import Service
from tests.waiting import until


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest.fixture
async def api(serve: Serve) -> Service:
    """The service, with delays of tenths of a second for what is told."""
    return await serve(**QUICKLY)


async def test_a_receiver_that_was_down_gets_everything_once_it_is_back_in_order_each_id_once(
    api: Service, receiver: Receiver
) -> None:
    await registered(api, receiver, events=ALL)
    await receiver.stop()
    started = [(await api.generate(**QUICK | {"seed": number}))["id"] for number in range(25)]
    for generation_id in started:
        assert (await api.finished(generation_id))["status"] == "succeeded"
    assert receiver.attempts == []

    await receiver.start()
    await until(lambda: Counter(each.type for each in receiver.taken)["generation.succeeded"] == len(started))

    assert len(set(ids(receiver.taken))) == len(receiver.taken)
    for messages in of_each(receiver.taken).values():
        order = [ALL.index(each.type) for each in messages]
        assert order == sorted(order)
    assert of_each(receiver.taken).keys() == set(started)
    assert receiver.most_at_once["/hooks"] <= 4


@pytest.mark.timeout(120)
async def test_what_was_not_told_before_kill_9_is_told_after_the_next_start(
    make_settings: MakeSettings, receiver: Receiver
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.002)) as comfy:
        # What was in hand is sent at once after the start: nobody could wait for such a lease here.
        settings = make_settings(comfyui_urls={"gpu-0": comfy.url}, **QUICKLY | {"webhook_timeout_s": 120})
        async with KillableService(settings, port=free_port()) as api:
            await registered(api, receiver, events=ALL)
            receiver.stays["/hooks"] = HANG
            started = [(await api.generate(**QUICK | {"seed": number}))["id"] for number in range(8)]
            await until(lambda: len(receiver.attempts) >= 4)
            for generation_id in started:
                await api.finished(generation_id)
            await api.kill()
            receiver.stays.clear()
            taken_before = list(receiver.taken)

            await api.start()
            await until(lambda: Counter(each.type for each in receiver.taken)["generation.succeeded"] == len(started))

    assert taken_before == []
    assert len(set(ids(receiver.taken))) == len(receiver.taken)
    assert of_each(receiver.taken).keys() == set(started)
    for messages in of_each(receiver.taken).values():
        order = [ALL.index(each.type) for each in messages]
        assert order == sorted(order)


async def test_a_stop_waits_for_the_answer_that_is_on_its_way(serve: Serve, receiver: Receiver) -> None:
    api = await serve(**QUICKLY | {"webhook_timeout_s": 5})
    receiver.faults["/hooks"].append(0.4)
    await api.generate(**QUICK, webhook={"url": receiver.url()})
    await until(lambda: len(receiver.attempts) == 1)

    await api.stop()
    await api.start()
    started = await api.generate(**QUICK | {"seed": 2}, webhook={"url": receiver.url()})
    await receiver.has(2)

    assert len(receiver.attempts) == 2
    assert receiver.taken[1].about == started["id"]


@pytest.mark.timeout(90)
async def test_two_replicas_tell_each_event_once_whoever_registered_the_receiver(
    make_settings: MakeSettings, postgres_url: str, redis_url: str, receiver: Receiver
) -> None:
    async with Simulator(SimulatorOptions(step_s=0.002)) as comfy:
        given = {"comfyui_urls": {"gpu-0": comfy.url}, "database_url": postgres_url, "redis_url": redis_url}
        settings = make_settings(**given, **QUICKLY)
        async with Service(settings) as one, Service(settings) as other:
            await registered(one, receiver, events=ALL)
            receiver.faults["/hooks"].extend([500, HANG, 500])
            started = [
                (await api.generate(**QUICK | {"seed": number}))["id"] for number in range(10) for api in (one, other)
            ]
            ended = "generation.succeeded"
            await until(lambda: Counter(each.type for each in receiver.taken)[ended] == len(started))
            secrets = [(await api.http.get("/api/webhooks/secret")).json()["secret"] for api in (one, other)]

    assert len(set(ids(receiver.taken))) == len(receiver.taken)
    assert of_each(receiver.taken).keys() == set(started)
    for messages in of_each(receiver.taken).values():
        order = [ALL.index(each.type) for each in messages]
        assert order == sorted(order)
    assert secrets[0] == secrets[1]


async def test_without_a_secret_in_the_settings_the_database_has_one_that_stays(serve: Serve) -> None:
    one = await serve(**QUICKLY)
    before = (await one.http.get("/api/webhooks/secret")).json()["secret"]

    await one.stop()
    await one.start()

    assert (await one.http.get("/api/webhooks/secret")).json()["secret"] == before
    assert before.startswith("whsec_")


async def test_on_postgres_the_same_is_told(serve: Serve, postgres_url: str, receiver: Receiver) -> None:
    api = await serve(**QUICKLY, database_url=postgres_url)
    made = await registered(api, receiver)

    started = await api.generate(workflow=picture(3))
    (message,) = await receiver.has(1)

    assert message.verified(made["secret"])["data"]["id"] == started["id"]
