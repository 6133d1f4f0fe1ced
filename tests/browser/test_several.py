"""Several generations, several tabs: nothing of one is ever shown with another."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import expect

from app.comfyui.simulator import Simulator
from tests.browser.conftest import OpenPage
from tests.browser.visiting import WITHIN_MS, Visit, made
from tests.service import Service


async def test_two_jobs_one_after_the_other_do_not_mix(visit: Visit, api: Service, comfy: Simulator) -> None:
    first = await visit.ask_for("a red barn", Steps="12")
    await visit.done()
    first_pixels = await visit.pixels(visit.picture)

    second = await visit.ask_for("a blue lake", Steps="15")
    await visit.done()

    assert first_pixels == made(comfy, await api.record(first))
    assert await visit.pixels(visit.picture) == made(comfy, await api.record(second))
    states = [state for state in await visit.seen() if second in state["url"] and state["bar"] is not None]
    assert states[0]["bar"] < 0.2
    assert {state["step"].split(" / ")[1] for state in states if state["step"]} == {"15"}


async def test_two_jobs_at_once_in_one_page_do_not_mix(visit: Visit, api: Service, comfy: Simulator) -> None:
    first = await visit.ask_for("a red barn", Steps="30")
    second = await visit.ask_for("a blue lake", Steps="25")
    await visit.done()

    states = [state for state in await visit.seen() if second in state["url"] and state["step"]]
    assert {state["step"].split(" / ")[1] for state in states} == {"25"}
    assert await visit.pixels(visit.picture) == made(comfy, await api.record(second))
    await visit.page.get_by_role("link", name=re.compile("a red barn")).click()
    await visit.done()
    assert visit.shown == f"?g={first}"
    assert await visit.pixels(visit.picture) == made(comfy, await api.record(first))


async def test_two_jobs_at_once_in_two_tabs_do_not_mix(visit: Visit, api: Service, comfy: Simulator) -> None:
    other = await Visit.begin(visit.page.context)

    first, second = await asyncio.gather(
        visit.ask_for("a red barn", Steps="30"), other.ask_for("a blue lake", Steps="25")
    )
    await asyncio.gather(visit.done(), other.done())

    assert await visit.pixels(visit.picture) == made(comfy, await api.record(first))
    assert await other.pixels(other.picture) == made(comfy, await api.record(second))
    for tab, steps in ((visit, "30"), (other, "25")):
        assert {state["step"].split(" / ")[1] for state in await tab.seen() if state["step"]} == {steps}
    assert other.unexpected == []


async def test_the_same_generation_in_two_tabs_ends_in_both(visit: Visit, api: Service, comfy: Simulator) -> None:
    generation_id = await visit.ask_for("a red barn", Steps="40")
    other = await Visit.begin(visit.page.context, f"/?g={generation_id}")

    await asyncio.gather(visit.done(), other.done())

    expected = made(comfy, await api.record(generation_id))
    assert await visit.pixels(visit.picture) == expected
    assert await other.pixels(other.picture) == expected


async def test_a_tab_learns_what_another_made_and_removed(visit: Visit) -> None:
    other = await Visit.begin(visit.page.context)
    await other.ready()
    await expect(other.page.get_by_text("Nothing yet.")).to_be_visible()

    await visit.ask_for("a red barn", Steps="4")
    await visit.done()

    card = other.page.get_by_role("link", name=re.compile("a red barn"))
    await expect(card.locator("img")).to_be_visible(timeout=WITHIN_MS)
    await expect(card.locator(".card-state")).to_be_hidden(timeout=WITHIN_MS)
    await visit.page.get_by_role("button", name="Remove").click()
    await visit.page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    await expect(visit.page.get_by_role("heading", name="Your picture appears here")).to_be_visible()
    await expect(card).to_be_hidden(timeout=WITHIN_MS)


async def test_runs_are_a_grid_that_fills_with_pictures_of_their_own_over_two_streams_at_most(
    visit: Visit, api: Service, comfy: Simulator
) -> None:
    open_at_once: list[int] = []
    running: set[object] = set()

    def began(request: object) -> None:
        if request in visit.streams():
            running.add(request)
            open_at_once.append(len(running))

    visit.page.on("request", lambda request: began(request))  # noqa: PLW0108 - Playwright marks it
    visit.page.on("requestfinished", lambda request: running.discard(request))  # noqa: PLW0108
    visit.page.on("requestfailed", lambda request: running.discard(request))  # noqa: PLW0108

    await visit.ask_for("a red barn", Runs="4", Steps="8")
    tiles = visit.page.locator(".tile")
    await expect(tiles).to_have_count(4)
    await expect(visit.page.locator(".tile[data-status=succeeded]")).to_have_count(4, timeout=WITHIN_MS)

    ids = visit.shown.removeprefix("?g=").split(",")
    records = [await api.record(each) for each in ids]
    assert len({record["seed"] for record in records}) == 4
    for index, record in enumerate(records):
        assert await visit.pixels(tiles.nth(index).locator("img")) == made(comfy, record)
    assert max(open_at_once) <= 2


async def test_the_url_names_what_is_shown_and_back_shows_what_was(visit: Visit) -> None:
    first = await visit.ask_for("a red barn", Steps="4")
    await visit.done()
    second = await visit.ask_for("a blue lake", Steps="4")
    await visit.done()

    assert visit.shown == f"?g={second}"
    await visit.page.go_back()
    await expect(visit.page.locator(".asked")).to_have_text("a red barn")
    assert visit.shown == f"?g={first}"
    await visit.page.go_forward()
    await expect(visit.page.locator(".asked")).to_have_text("a blue lake")


async def test_the_history_loads_more_when_it_is_scrolled_to_and_can_be_searched(
    api: Service, open_page: OpenPage
) -> None:
    records = [await api.generate(prompt=f"picture {number:02}", steps=1, width=64, height=64) for number in range(30)]
    await asyncio.gather(*(api.finished(record["id"]) for record in records))
    visit = await open_page(api)

    await expect(visit.cards).to_have_count(24, timeout=WITHIN_MS)
    await visit.cards.nth(23).scroll_into_view_if_needed()
    await expect(visit.cards).to_have_count(30, timeout=WITHIN_MS)
    prompts = await visit.page.locator(".card-prompt").all_inner_texts()
    assert prompts == [f"picture {number:02}" for number in reversed(range(30))]

    await visit.page.get_by_label("Search prompts").fill("picture 07")
    await expect(visit.cards).to_have_count(1, timeout=WITHIN_MS)
    await visit.page.get_by_label("State", exact=True).select_option("Failed")
    await expect(visit.page.get_by_text("Nothing matches.")).to_be_visible(timeout=WITHIN_MS)
