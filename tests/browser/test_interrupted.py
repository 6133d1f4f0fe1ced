"""What goes wrong while somebody looks, and what the page says then: what happened, and the remedy."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.async_api import Route, expect

from app.comfyui.simulator import Simulator
from tests.browser.conftest import OpenPage
from tests.browser.visiting import WITHIN_MS, Visit, made
from tests.service import Service

AWAY = "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INTERNET_DISCONNECTED"


async def reach(visit: Visit, steps: str) -> None:
    """Return when the step counter reads so."""
    await expect(visit.page.locator("[data-fact=Step] dd")).to_have_text(re.compile(steps), timeout=WITHIN_MS)


async def test_cancel_ends_the_generation_and_leaves_the_page_ready(visit: Visit, api: Service) -> None:
    generation_id = await visit.ask_for("a lighthouse at dusk", Steps="60")
    await reach(visit, r"[1-9]\d* / 60")

    await visit.page.locator("#stage").get_by_role("button", name="Cancel").click()

    await expect(visit.page.get_by_role("heading", name="Canceled")).to_be_visible(timeout=WITHIN_MS)
    assert (await api.record(generation_id))["status"] == "canceled"
    await visit.ask_for("a second try", Steps="4")
    await visit.done()


async def test_a_failure_is_told_with_its_reason_and_its_remedy(visit: Visit, comfy: Simulator) -> None:
    comfy.faults.out_of_memory = True

    await visit.ask_for("a lighthouse at dusk")

    told = visit.page.locator("#stage").get_by_role("alert")
    await expect(told).to_contain_text("It failed", timeout=WITHIN_MS)
    await expect(told).to_contain_text("Use a smaller size, fewer pictures at once, or a smaller model.")
    comfy.faults.out_of_memory = False
    await visit.page.get_by_role("button", name="Try again").click()
    await visit.done()


async def test_a_service_restarted_in_the_middle_is_found_again_and_the_bar_never_falls(
    visit: Visit, api: Service, comfy: Simulator
) -> None:
    visit.expected.append(AWAY)
    generation_id = await visit.ask_for("a lighthouse at dusk", Steps="60")
    await reach(visit, r"[1-9]\d / 60")

    await api.stop()
    await expect(visit.page.get_by_text("The connection was lost.")).to_be_visible(timeout=WITHIN_MS)
    await api.start()
    await visit.done()

    bars = [state["bar"] for state in await visit.seen() if state["bar"] is not None]
    assert bars == sorted(bars)
    assert await visit.pixels(visit.picture) == made(comfy, await api.record(generation_id))


async def test_a_reload_in_the_middle_goes_on_where_it_was(visit: Visit, api: Service, comfy: Simulator) -> None:
    generation_id = await visit.ask_for("a lighthouse at dusk", Steps="60")
    await reach(visit, r"[1-9]\d / 60")
    before = (await visit.seen())[-1]["bar"]

    await visit.page.reload()
    await visit.done()

    bars = [state["bar"] for state in await visit.seen() if state["bar"]]
    assert bars[0] >= before
    assert bars == sorted(bars)
    assert len(set(bars)) >= 10
    assert visit.shown == f"?g={generation_id}"
    assert await visit.pixels(visit.picture) == made(comfy, await api.record(generation_id))


async def test_a_network_that_goes_and_comes_back_is_no_end(visit: Visit, comfy: Simulator, api: Service) -> None:
    visit.expected.append(AWAY)
    generation_id = await visit.ask_for("a lighthouse at dusk", Steps="60")
    await reach(visit, r"[1-9]\d / 60")

    await visit.page.context.set_offline(True)
    await api.finished(generation_id)
    await visit.page.context.set_offline(False)
    await visit.done()

    assert await visit.pixels(visit.picture) == made(comfy, await api.record(generation_id))


async def test_a_wrong_value_is_told_at_its_field_before_anything_is_sent(visit: Visit) -> None:
    await visit.ready()
    await visit.prompt.fill("a lighthouse at dusk")
    width = visit.page.get_by_label("Width")
    await width.fill("513")

    await visit.generate.click()

    await expect(width).to_be_focused()
    await expect(width).to_have_attribute("aria-invalid", "true")
    await expect(width).to_have_accessible_description(re.compile("multiple of 8, such as 512"))
    assert [each for each in visit.requests if each.method == "POST"] == []


async def test_an_empty_prompt_is_asked_for(visit: Visit) -> None:
    await visit.ready()

    await visit.generate.click()

    await expect(visit.prompt).to_be_focused()
    await expect(visit.prompt).to_have_accessible_description("Say what it should show.")


async def test_what_the_service_refuses_is_told_at_the_field_it_names_even_in_the_fold(visit: Visit) -> None:
    visit.expected.append("422")
    await visit.ready()
    await visit.prompt.fill("a lighthouse at dusk")
    model = visit.page.get_by_label("Model", exact=True)

    async def with_a_model_that_is_gone(route: Route) -> None:
        body: dict[str, Any] = json.loads(route.request.post_data or "")
        await route.continue_(post_data={**body, "params": {**body["params"], "model": "gone.safetensors"}})

    await visit.page.route("**/api/generate", with_a_model_that_is_gone)

    await visit.generate.click()

    await expect(model).to_be_focused(timeout=WITHIN_MS)
    await expect(model).to_have_attribute("aria-invalid", "true")
    await expect(visit.page.locator("#form").get_by_role("alert")).to_contain_text("Correct the marked fields")


@pytest.mark.parametrize("named", ["no-id-at-all", "6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11"])
async def test_a_link_to_nothing_says_so_and_never_hangs(named: str, open_page: OpenPage, api: Service) -> None:
    visit = await open_page(api, f"/?g={named}")
    visit.expected.append("404")

    await expect(visit.page.get_by_role("heading", name="Not found")).to_be_visible(timeout=WITHIN_MS)

    assert visit.streams() == []
    await visit.ready()


async def test_a_comfyui_that_is_away_is_told_and_the_request_waits_for_it(
    visit: Visit, comfy: Simulator, api: Service
) -> None:
    await visit.ready()
    await comfy.stop()
    generation_id = await visit.ask_for("a lighthouse at dusk")
    await visit.page.get_by_role("button", name=re.compile("Server")).click()

    await expect(visit.page.get_by_text("not answering")).to_be_visible(timeout=WITHIN_MS)
    await visit.page.keyboard.press("Escape")
    await expect(visit.page.get_by_text("No ComfyUI server answers right now.")).to_be_visible()
    await comfy.start()
    await visit.done()

    assert (await api.record(generation_id))["status"] == "succeeded"
