"""From an empty database to a picture: what a first visitor sees, and what the browser sent meanwhile."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from playwright.async_api import expect

from app.comfyui.simulator import Simulator
from tests.browser.visiting import WITHIN_MS, Visit, made
from tests.service import Service


async def test_the_first_generation_of_an_empty_database_shows_real_progress_and_then_its_picture(
    visit: Visit, api: Service, comfy: Simulator
) -> None:
    await expect(visit.page.get_by_text("Nothing yet.")).to_be_visible(timeout=WITHIN_MS)
    loads = [each for each in visit.requests if each.is_navigation_request()]

    generation_id = await visit.ask_for("a lighthouse at dusk")
    await expect(visit.page.get_by_alt_text("Preview of the unfinished picture")).to_be_visible(timeout=WITHIN_MS)
    await visit.done()

    states = await visit.seen()
    bars = [state["bar"] for state in states if state["bar"] is not None]
    assert bars == sorted(bars)
    assert len(set(bars)) >= 10
    steps = [state["step"] for state in states if state["step"]]
    assert all(re.fullmatch(r"\d+ / 20", step) for step in steps), steps
    counted = [int(step.split(" / ")[0]) for step in steps]
    assert counted == sorted(counted)
    assert len(set(counted)) >= 10
    assert {"Connected", "Inference", "Aggregate", "Complete"} <= {state["badge"] for state in states}
    record = await api.record(generation_id)
    assert await visit.pixels(visit.picture) == made(comfy, record)
    assert [each for each in visit.requests if each.is_navigation_request()] == loads


async def test_no_stream_is_opened_before_a_generation_exists_and_one_alone_afterwards(visit: Visit) -> None:
    await visit.ready()
    await visit.page.wait_for_load_state("networkidle")
    before = visit.streams()

    generation_id = await visit.ask_for("a lighthouse at dusk")
    await visit.done()

    assert before == []
    assert [urlsplit(each.url).path for each in visit.streams()] == [f"/api/generations/{generation_id}/events"]


async def test_the_page_asks_nobody_but_its_own_service(visit: Visit, api: Service) -> None:
    await visit.ask_for("a lighthouse at dusk")
    await visit.done()

    assert [each.url for each in visit.requests if not each.url.startswith((api.url, "data:", "blob:"))] == []


async def test_everything_can_be_done_with_the_keyboard(visit: Visit) -> None:
    await visit.ready()
    await visit.page.keyboard.press("Tab")
    await expect(visit.page.get_by_role("link", name="Skip to the picture")).to_be_focused()
    for _ in range(10):
        if await visit.prompt.evaluate("prompt => prompt === document.activeElement"):
            break
        await visit.page.keyboard.press("Tab")
    await visit.page.keyboard.type("a lighthouse at dusk")

    await visit.page.keyboard.press("Control+Enter")
    await visit.done()
    for _ in range(3):
        await visit.page.keyboard.press("Tab")
        if await visit.page.evaluate("document.activeElement.matches('.open')"):
            break
    await visit.page.keyboard.press("Enter")

    await expect(visit.page.get_by_role("dialog", name="Picture, large")).to_be_visible()
    await visit.page.keyboard.press("Escape")
    await expect(visit.page.get_by_role("dialog", name="Picture, large")).to_be_hidden()
    assert await visit.page.evaluate("document.activeElement.matches('.open')")


async def test_a_batch_is_shown_as_a_grid_of_its_pictures(visit: Visit, api: Service, comfy: Simulator) -> None:
    await visit.ready()

    generation_id = await visit.ask_for("a lighthouse at dusk", **{"Pictures at once": "3", "Steps": "4"})
    await visit.done()

    record = await api.record(generation_id)
    await expect(visit.picture).to_have_count(3)
    for index in range(3):
        assert await visit.pixels(visit.picture.nth(index)) == made(comfy, record, index)


async def test_what_screen_readers_hear_is_states_and_quarters_not_every_step(visit: Visit) -> None:
    await visit.ready()
    await visit.page.evaluate(
        """() => {
          window.spoken = [];
          const live = document.getElementById("spoken");
          new MutationObserver(() => window.spoken.push(live.textContent)).observe(live, {childList: true});
        }"""
    )

    await visit.ask_for("a lighthouse at dusk")
    await visit.done()

    spoken: list[str] = await visit.page.evaluate("window.spoken")
    assert spoken[-1] == "Done: 1 picture."
    assert "Running, 50 percent." in spoken
    assert len(spoken) <= 7
