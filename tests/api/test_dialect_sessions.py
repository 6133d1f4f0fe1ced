"""The old front end of the `session_id` API: it starts a session, listens to its progress, and waits for `complete`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from app.comfyui.simulator import OUT_OF_MEMORY, Simulator
from tests.api.asking import NOBODY, QUICK, held_while_drawing, hub_of, picture, problem
from tests.api.browser import EventSource
from tests.conftest import Serve
from tests.service import Json, Service
from tests.waiting import until


@dataclass
class Page:
    """The logic of that page, without its looks."""

    http: httpx.AsyncClient
    bar: list[float] = field(default_factory=list)
    state: str = "idle"
    shown: list[str] = field(default_factory=list)

    async def generate(self, **body: object) -> None:
        """What the button does: one session after the other, each with a progress bar of its own."""
        self.state, self.bar = "starting", []
        answer = await self.http.post("/api/generate", json=body)
        await self.listen(answer.json()["session_id"])

    async def listen(self, session_id: str, cut_after: int | None = None) -> EventSource:
        source = EventSource(self.http, f"/api/progress/{session_id}", cut_after)
        for message in await source.until("complete", "error"):
            match message["type"]:
                case "connected":
                    assert message["session_id"] == session_id
                    self.state = "connected"
                case "progress":
                    self.bar.append(message["current_step"] / message["total_steps"])
                    assert 0 <= message["percentage"] <= 100
                case "complete":
                    self.state, self.shown = "complete", message["image_urls"]
                case "error":
                    self.state = message["error"]
                case unknown:
                    pytest.fail(f"the page has no word for {unknown}")
        return source


@pytest.fixture
def page(api: Service) -> Page:
    return Page(api.http)


async def test_the_answer_has_the_session_id_it_had(api: Service) -> None:
    answer = await api.generate(**QUICK)
    retried = await api.http.post(f"/api/generations/{answer['id']}/retry")

    assert answer["session_id"] == answer["id"]
    assert retried.json()["session_id"] == retried.json()["id"]


async def test_a_page_that_connects_at_once_sees_steps_and_the_picture(api: Service, page: Page) -> None:
    await page.generate(**{**QUICK, "steps": 5})

    assert page.state == "complete"
    assert page.bar == sorted(page.bar)
    assert (await api.bytes_of(page.shown[0])).startswith(b"\x89PNG")


async def test_a_page_that_connects_in_the_middle_sees_where_it_stands(
    api: Service, page: Page, comfy: Simulator
) -> None:
    async with held_while_drawing(api, comfy) as answer:
        listening = asyncio.create_task(page.listen(answer["session_id"]))
        await until(lambda: bool(page.bar) or len(hub_of(api)) == 1)
    await listening

    assert page.state == "complete"
    assert page.bar
    assert max(page.bar) <= 1


@pytest.mark.parametrize("stranger", [NOBODY, "session_1732200000", "chat-7", "x" * 150, "%00"])
async def test_a_page_that_connects_early_with_a_strangers_id_is_refused_at_once_and_works_afterwards(
    api: Service, page: Page, stranger: str
) -> None:
    source = EventSource(api.http, f"/api/progress/{stranger}")

    seen = await source.until("complete")
    await page.generate(**QUICK)

    told = problem(await api.http.get(f"/api/progress/{stranger}"), 404, "not_found")
    assert told["detail"].startswith("There is no session ")
    assert (seen, source.statuses) == ([], [404])
    assert page.state == "complete"
    assert len(hub_of(api)) == 0


async def test_sequential_sessions_each_have_their_own_end(page: Page) -> None:
    shown = set()
    for number in range(4):
        await page.generate(**{**QUICK, "seed": number})
        assert page.state == "complete"
        shown.update(page.shown)

    assert len(shown) == 4


async def test_a_page_that_loses_its_connection_comes_back_to_the_end(
    api: Service, page: Page, comfy: Simulator
) -> None:
    async with held_while_drawing(api, comfy) as answer:
        source = EventSource(api.http, f"/api/progress/{answer['session_id']}", cut_after=1)
        listening = asyncio.create_task(source.until("complete"))
        await until(lambda: len(source.statuses) == 2)
    seen = await listening

    assert source.statuses == [200, 200]
    assert [message["type"] for message in seen if message["type"] != "progress"] == [
        *("connected", "connected"),
        "complete",
    ]


async def test_a_page_that_never_closes_its_source_is_let_go_after_the_end(api: Service) -> None:
    answer = await api.generate(**QUICK)
    source = EventSource(api.http, f"/api/progress/{answer['session_id']}")

    seen = await source.until("nothing ever")

    assert [message["type"] for message in seen].count("complete") == 1
    assert source.statuses == [200, 204]


async def test_a_page_that_comes_after_the_end_and_after_a_restart_gets_it(api: Service, page: Page) -> None:
    record = await api.finished((await api.generate(**QUICK))["id"])
    await api.stop()
    await api.start()

    await page.listen(record["id"])

    assert (page.state, page.shown) == ("complete", record["imageUrls"])


async def test_nothing_to_count_is_never_step_0_of_0(api: Service) -> None:
    answer = await api.generate(workflow=picture())

    seen = await EventSource(api.http, f"/api/progress/{answer['session_id']}").until("complete")

    assert [message["type"] for message in seen] == ["connected", "complete"]


async def test_a_failure_is_an_error_with_its_reason(page: Page, comfy: Simulator) -> None:
    comfy.faults.failures["KSampler"] = OUT_OF_MEMORY

    await page.generate(**QUICK)

    assert "memory" in page.state


async def test_a_cancel_ends_the_session_with_an_error(api: Service, page: Page, comfy: Simulator) -> None:
    async with held_while_drawing(api, comfy) as answer:
        listening = asyncio.create_task(page.listen(answer["session_id"]))
        await until(lambda: len(hub_of(api)) == 1)
        await api.http.post(answer["urls"]["cancel"])
    await listening

    assert page.state == "Canceled"


async def test_the_stream_is_one_that_proxies_leave_alone(api: Service) -> None:
    answer = await api.generate(**QUICK)

    stream = await api.http.get(f"/api/progress/{answer['session_id']}")
    head = await api.http.head(f"/api/progress/{answer['session_id']}")

    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.headers["x-accel-buffering"] == "no"
    assert (head.status_code, head.content) == (200, b"")


async def test_a_signed_url_opens_the_stream_of_its_session_alone(serve: Serve) -> None:
    api = await serve(api_keys=("a-key",))
    mine, other = [await api.generate(**QUICK) for _ in range(2)]
    token = mine["urls"]["events"].partition("?")[2]

    async with httpx.AsyncClient(base_url=api.url, trust_env=False) as stranger:
        for path in ("/api/progress/{id}", "/api/events/file.{id}"):
            assert '"complete"' in (await stranger.get(path.format(id=mine["id"]) + f"?{token}")).text
            problem(await stranger.get(path.format(id=other["id"]) + f"?{token}"), 401, "unauthorized")
            problem(await stranger.get(path.format(id=mine["id"])), 401, "unauthorized")


async def test_sessions_work_on_every_database_and_over_redis(serve: Serve, database_url: str, redis_url: str) -> None:
    api = await serve(database_url=database_url, redis_url=redis_url)
    page = Page(api.http)

    await page.generate(**{**QUICK, "steps": 4})

    assert (page.state, len(page.shown)) == ("complete", 1)


async def test_what_is_told_has_no_other_names(api: Service) -> None:
    answer = await api.generate(**{**QUICK, "steps": 3})

    seen = await EventSource(api.http, f"/api/progress/{answer['session_id']}").until("complete")

    names: set[str] = set().union(*(message.keys() for message in seen))
    assert names <= {
        *("type", "session_id", "message", "current_step", "total_steps", "percentage"),
        *("images", "image_urls"),
    }
    image: Json = seen[-1]["images"][0]
    assert image["mime_type"] == "image/png"
