"""The secret for receivers that a request named is replaced like any other, unless the settings give it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from app.api.webhook_schemas import SecretRead
from app.webhook_records import ServiceSecret
from app.webhook_secrets import new_secret
from tests.api.asking import QUICK, problem
from tests.conftest import Serve
from tests.receiving import QUICKLY, receiving

PATH = "/api/webhooks/secret"


async def test_after_a_rotation_both_service_secrets_verify_what_comes(serve: Serve) -> None:
    async with receiving() as receiver:
        api = await serve(**QUICKLY)
        first = (await api.http.get(PATH)).json()
        second = (await api.http.post(PATH)).json()

        await api.generate(**QUICK, webhook={"url": receiver.url("/named")})
        (message,) = await receiver.has(1, "/named")
        shown = (await api.http.get(PATH)).json()
        third = (await api.http.post(PATH)).json()

    assert first["previousUntil"] is None
    assert message.verified(first["secret"]) == message.verified(second["secret"])
    left = datetime.fromisoformat(second["previousUntil"]) - datetime.now(UTC)
    assert timedelta(hours=23) < left < timedelta(hours=25)
    assert shown == second
    assert len({each["secret"] for each in (first, second, third)}) == 3


async def test_a_secret_of_the_settings_is_changed_there(serve: Serve) -> None:
    given = new_secret()
    api = await serve(webhook_secret=given)

    refused = await api.http.post(PATH)

    assert "COMFY_RELAY_WEBHOOK_SECRET" in problem(refused, 409, "secret_is_set")["detail"]
    assert (await api.http.get(PATH)).json() == {"secret": given, "previousUntil": None}


@pytest.mark.parametrize("until", [None, 1_700_000_000.0])
def test_a_secret_that_signs_no_more_is_not_told_of(until: float | None) -> None:
    assert SecretRead.of(ServiceSecret("whsec_x", "whsec_y", until)).previous_until is None
