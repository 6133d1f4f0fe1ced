"""Every fault of a receiver, registered or named by a request: what comes of the delivery, after how many attempts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import QUICK
from tests.api.standing import standing
from tests.comfyui.servers import answer
from tests.receiving import GARBAGE, HANG, QUICKLY, RESET, Behaviour, Receiver, receiving
from tests.service import Json, Service
from tests.tls import self_signed
from tests.web import redirect

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Fault:
    """What a receiver does, `times` or for ever, and what comes of the delivery then."""

    name: str
    does: Behaviour
    times: int = 2
    end: str = "delivered"
    attempts: int = 3
    says: str | None = None


FAULTS = (
    Fault("none", 200, 0, attempts=1),
    Fault("204", 204, 1, attempts=1),
    Fault("slow", 0.2, 1, attempts=1),
    Fault("500", 500, says="it answered 500"),
    Fault("503 with Retry-After", answer(503, Retry_After="0"), says="it answered 503"),
    Fault("404", 404, says="it answered 404"),
    Fault("time-out", HANG, says="no answer came within 0.5 s"),
    Fault("connection reset", RESET, says="the connection broke off before an answer came"),
    Fault("no HTTP", GARBAGE, says="what came was no answer in HTTP"),
    Fault("redirect", redirect("/elsewhere"), says="it answered 302, and redirects are not followed"),
    Fault("410", 410, 1, end="failed", attempts=1, says="it answered 410"),
    Fault("500 for ever", 500, 0, end="failed", attempts=0, says="it answered 500"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    given: dict[str, Any] = {**QUICKLY, "webhook_give_up_s": 1.5, "webhook_check_s": 0.1}
    async with (
        Simulator(SimulatorOptions(step_s=0.001)) as comfy,
        standing(tmp_path_factory, migrated_sqlite, comfy, **given) as service,
    ):
        yield service


async def ended(api: Service, generation_id: str) -> Json:
    """The one delivery about a generation, once it has ended."""
    found: list[Json] = []
    async with asyncio.timeout(20):
        while not found or found[0]["status"] == "pending":
            answered = await api.http.get(f"/api/generations/{generation_id}/deliveries")
            found = answered.json()["items"]
            await asyncio.sleep(0.02)
    assert len(found) == 1
    return found[0]


async def announced(api: Service, url: str, *, is_registered: bool) -> tuple[Json, str, str | None]:
    """A generation whose end is told to `url`; with the secret that signs it, and the receiver's id if it has one."""
    if not is_registered:
        secret = (await api.http.get("/api/webhooks/secret")).json()["secret"]
        return await api.generate(**QUICK, webhook={"url": url}), secret, None
    made = await api.http.post("/api/webhooks", json={"url": url})
    assert made.status_code == 201, made.text
    return await api.generate(**QUICK), made.json()["secret"], made.json()["id"]


async def removed(api: Service, webhook_id: str | None) -> None:
    if webhook_id is not None:
        assert (await api.http.delete(f"/api/webhooks/{webhook_id}")).status_code == 204


@pytest.mark.parametrize("is_registered", [True, False], ids=["registered", "of a request"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
async def test_whatever_the_receiver_does_it_is_told_once_or_given_up_with_the_reason(
    fault: Fault,
    is_registered: bool,
    api: Service,
    receiver: Receiver,
    record_property: Callable[[str, object], None],
) -> None:
    path = f"/{fault.name.replace(' ', '-')}-{is_registered}"
    receiver.faults[path].extend([fault.does] * fault.times)
    if fault.name.endswith("for ever"):
        receiver.stays[path] = fault.does

    started, secret, webhook_id = await announced(api, receiver.url(path), is_registered=is_registered)
    delivery = await ended(api, started["id"])

    tried, taken = receiver.at(path), receiver.took(path)
    record_property("delivery", (fault.name, is_registered, delivery["status"], len(tried), len(taken)))
    assert delivery["status"] == fault.end
    assert {message.id for message in tried} == {delivery["id"]}
    assert len(tried) == (fault.attempts or len(delivery["attempts"]))
    assert len(taken) == (fault.end == "delivered")
    assert all(message.verified(secret)["data"]["id"] == started["id"] for message in tried)
    said = [attempt["error"] for attempt in delivery["attempts"] if attempt["error"]]
    assert len(said) == (len(tried) - 1 if fault.end == "delivered" else len(tried))
    assert all(fault.says is not None and text.startswith(fault.says) for text in said)
    assert receiver.at("/elsewhere") == []
    if is_registered and fault.name == "410":
        shown = (await api.http.get(f"/api/webhooks/{webhook_id}")).json()
        assert (shown["enabled"], shown["disabledReason"]) == (False, "it answered 410 Gone")
    await removed(api, webhook_id)


@pytest.mark.parametrize("is_registered", [True, False], ids=["registered", "of a request"])
async def test_a_receiver_that_was_down_is_told_once_it_is_back(
    is_registered: bool, api: Service, record_property: Callable[[str, object], None]
) -> None:
    async with receiving() as receiver:
        await receiver.stop()
        started, secret, webhook_id = await announced(api, receiver.url(), is_registered=is_registered)
        await failed_once(api, started["id"])

        await receiver.start()
        delivery = await ended(api, started["id"])
        messages = await receiver.has(1)

    record_property("delivery", ("down", is_registered, delivery["status"], len(delivery["attempts"]), len(messages)))
    assert [message.verified(secret)["data"]["id"] for message in messages] == [started["id"]]
    assert delivery["attempts"][0]["error"] == "the host takes no connection"
    await removed(api, webhook_id)


@pytest.mark.parametrize("is_registered", [True, False], ids=["registered", "of a request"])
async def test_a_receiver_with_a_wrong_certificate_gets_nothing(
    is_registered: bool, api: Service, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    async with receiving(self_signed(tmp_path)) as receiver:
        started, _, webhook_id = await announced(api, receiver.url(), is_registered=is_registered)
        delivery = await ended(api, started["id"])

    tried = len(delivery["attempts"])
    record_property("delivery", ("wrong TLS", is_registered, delivery["status"], tried, len(receiver.taken)))
    assert receiver.attempts == []
    assert delivery["status"] == "failed"
    assert {attempt["error"] for attempt in delivery["attempts"]} == {
        "the host has no certificate that is valid for it"
    }
    await removed(api, webhook_id)


async def failed_once(api: Service, generation_id: str) -> None:
    async with asyncio.timeout(20):
        while True:
            items = (await api.http.get(f"/api/generations/{generation_id}/deliveries")).json()["items"]
            if items and items[0]["attempts"]:
                return
            await asyncio.sleep(0.02)
