"""Webhooks nobody could be told by are refused at once, wherever they stand, with the place and the remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from app.comfyui.simulator import Simulator, SimulatorOptions
from tests.api.asking import QUICK, places, problem
from tests.api.standing import standing
from tests.service import Service

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api(tmp_path_factory: pytest.TempPathFactory, migrated_sqlite: Path) -> AsyncIterator[Service]:
    async with (
        Simulator(SimulatorOptions(step_s=0.001)) as comfy,
        standing(tmp_path_factory, migrated_sqlite, comfy) as service,
    ):
        yield service


BAD_WEBHOOKS: dict[str, tuple[Any, str, str]] = {
    "text": ("https://example.com", "/webhook", "object"),
    "no url": ({}, "/webhook/url", "missing"),
    "an unknown event": (
        {"url": "https://example.com", "events": ["generation.succeeded", "generation.done"]},
        "/webhook/events/1",
        "'generation.succeeded'",
    ),
    "an event of batches": (
        {"url": "https://example.com", "events": ["batch.completed"]},
        "/webhook/events/0",
        "'generation.failed'",
    ),
    "no event": ({"url": "https://example.com", "events": []}, "/webhook/events", "at least one"),
    "an unknown field": ({"url": "https://example.com", "secret": "s"}, "/webhook/secret", "leave it out"),
    "another scheme": ({"url": "ftp://example.com/x"}, "/webhook/url", "http://"),
    "no host": ({"url": "https:///x"}, "/webhook/url", "http://"),
    "no url at all": ({"url": "hooks"}, "/webhook/url", "http://"),
    "half an address": ({"url": "http://[::1/x"}, "/webhook/url", "cannot be read"),
    "a password": ({"url": "https://me:secret@example.com/"}, "/webhook/url", "password"),
    "a line break": ({"url": "https://example.com/\nx"}, "/webhook/url", "http"),
    "a long url": ({"url": "https://example.com/" + "x" * 3000}, "/webhook/url", "2048"),
    "an inner host": ({"url": "http://10.0.0.1/hooks"}, "/webhook/url", "COMFY_RELAY_WEBHOOK_ALLOW"),
    "the cloud's own": ({"url": "http://169.254.169.254/latest"}, "/webhook/url", "COMFY_RELAY_WEBHOOK_ALLOW"),
    "localhost": ({"url": "http://localhost/hooks"}, "/webhook/url", "localhost:80"),
    "another port": ({"url": "https://example.com:22/"}, "/webhook/url", "example.com:22"),
}


@pytest.mark.parametrize("given", BAD_WEBHOOKS, ids=lambda name: name.replace(" ", "-"))
async def test_a_webhook_nobody_could_be_told_by_is_refused_with_the_place_and_the_remedy(
    given: str, api: Service
) -> None:
    webhook, place, said = BAD_WEBHOOKS[given]

    answer = await api.http.post("/api/generate", json={**QUICK, "webhook": webhook})
    item = await api.http.post("/api/batches", json={"items": [{**QUICK, "webhook": webhook}]})

    found = problem(answer, 422, "invalid_request")["errors"]
    assert [each["pointer"] for each in found] == [place]
    assert said in found[0]["message"]
    assert [each["pointer"] for each in item.json()["errors"]] == [f"/items/0{place}"]


@pytest.mark.parametrize("given", BAD_WEBHOOKS, ids=lambda name: name.replace(" ", "-"))
async def test_the_same_goes_for_batches_and_registered_ones(given: str, api: Service) -> None:
    webhook, place, _ = BAD_WEBHOOKS[given]
    if given == "an event of batches":
        return

    batch = await api.http.post("/api/batches", json={"items": [QUICK], "webhook": webhook})

    assert [each["pointer"] for each in problem(batch, 422, "invalid_request")["errors"]] == [place]
    if isinstance(webhook, dict):
        alone = await api.http.post("/api/webhooks", json=webhook)
        assert [f"/webhook{each}" for each in places(alone)] == [place]
