"""A Next.js route layer whose base URL was changed: three paths, and the component that calls them."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from tests.api.asking import NOBODY, QUICK, problem
from tests.api.browser import EventSource
from tests.service import Json, Service


@dataclass
class Component:
    """Posts, listens under the id of the answer, and reads the record when the stream has ended."""

    http: httpx.AsyncClient
    percentages: list[float] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    phases: list[str] = field(default_factory=list)

    async def generate(self, cut_after: int | None = None, **body: object) -> Json:
        answer = await self.http.post("/api/generate", json=body)
        assert answer.is_success
        started = answer.json()
        assert started["comfyuiPromptId"] is not None
        source = EventSource(self.http, f"/api/generate/progress?generationId={started['id']}", cut_after)
        for message in await source.until("complete", "error"):
            if message["type"] == "error":
                raise RuntimeError(message["error"]["message"])
            if message["type"] not in {"connected", "status", "progress", "complete"}:
                continue
            self.percentages.append(message["percentage"])
            self.phases.append(message.get("progressType", ""))
            if message.get("progressType") == "inference":
                self.steps.append(f"Step {message['step']}/{message['totalSteps']}")
        record = await self.http.get(f"/api/generations/{started['id']}")
        shown: Json = record.json()
        return shown


async def test_a_component_that_connects_at_once_ends_with_the_image_urls(api: Service) -> None:
    component = Component(api.http)

    record = await component.generate(**{**QUICK, "steps": 4})

    assert record["status"] == "succeeded"
    assert (await api.bytes_of(record["imageUrls"][0])).startswith(b"\x89PNG")
    assert component.percentages == sorted(component.percentages)
    assert component.percentages[-1] == 100
    assert (component.phases[0], component.phases[-1]) == ("connected", "complete")
    assert "Step 0/0" not in component.steps


async def test_a_component_that_connects_early_with_a_strangers_id_hears_404_and_recovers(api: Service) -> None:
    early = EventSource(api.http, f"/api/generate/progress?generationId={NOBODY}")

    seen = await early.until("complete")
    record = await Component(api.http).generate(**QUICK)

    problem(await api.http.get(f"/api/generate/progress?generationId={NOBODY}"), 404, "not_found")
    assert (seen, early.statuses) == ([], [404])
    assert record["status"] == "succeeded"


async def test_one_component_generates_again_and_again(api: Service) -> None:
    component = Component(api.http)

    records = [await component.generate(**{**QUICK, "seed": number}) for number in range(4)]

    assert [record["status"] for record in records] == ["succeeded"] * 4
    assert len({record["id"] for record in records}) == 4


async def test_a_component_that_loses_its_connection_still_ends(api: Service) -> None:
    component = Component(api.http)

    record = await component.generate(1, **{**QUICK, "steps": 6})

    assert record["status"] == "succeeded"
    assert component.phases[-1] == "complete"
