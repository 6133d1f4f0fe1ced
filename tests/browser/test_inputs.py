"""Pictures as input, and keys: chosen, dropped, pasted, taken from a result; asked for when the service wants one."""

from __future__ import annotations

import base64
import io
from collections.abc import Awaitable, Callable

import pytest
from PIL import Image
from playwright.async_api import FilePayload, Page, expect

from app.comfyui.simulator import Simulator
from tests.browser.conftest import OpenPage
from tests.browser.visiting import WITHIN_MS, Visit, made
from tests.conftest import Serve
from tests.service import Service

KEY = "a-key-of-the-tests"


def drawing(colour: str = "teal") -> bytes:
    """A small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


async def choose(page: Page) -> None:
    file = FilePayload(name="boat.png", mimeType="image/png", buffer=drawing())
    await page.locator("[data-name=image] input").set_input_files(file)


async def drop(page: Page) -> None:
    await _give(page, ".drop", "new DragEvent('drop', {dataTransfer, bubbles: true})")


async def paste(page: Page) -> None:
    await _give(page, "body", "new ClipboardEvent('paste', {clipboardData: dataTransfer, bubbles: true})")


async def _give(page: Page, where: str, event: str) -> None:
    script = f"""(file) => {{
      const bytes = Uint8Array.from(atob(file), (each) => each.charCodeAt(0));
      const dataTransfer = new DataTransfer();
      dataTransfer.items.add(new File([bytes], "boat.png", {{type: "image/png"}}));
      document.querySelector("{where}").dispatchEvent({event});
    }}"""
    await page.evaluate(script, base64.b64encode(drawing()).decode())


@pytest.mark.parametrize("give", [choose, drop, paste])
async def test_a_picture_is_taken_in_and_drawn_over(
    give: Callable[[Page], Awaitable[None]], visit: Visit, api: Service
) -> None:
    await visit.ready()
    await visit.page.locator("#template").select_option("img2img")

    await give(visit.page)
    await expect(visit.page.get_by_text("boat.png · 64 × 48")).to_be_visible(timeout=WITHIN_MS)
    generation_id = await visit.ask_for("the same in oil", Steps="4")
    await visit.done()

    record = await api.record(generation_id)
    assert record["template"] == "img2img"
    assert record["status"] == "succeeded"


async def test_a_file_that_is_no_picture_is_refused_at_its_field(visit: Visit) -> None:
    visit.expected.append("4(15|22)")
    await visit.ready()
    await visit.page.locator("#template").select_option("img2img")

    file = FilePayload(name="boat.png", mimeType="image/png", buffer=b"no picture at all")
    await visit.page.locator("[data-name=image] input").set_input_files(file)

    await expect(visit.page.locator("[data-name=image] .error")).to_be_visible(timeout=WITHIN_MS)
    await expect(visit.page.locator("[data-name=image] input")).to_have_attribute("aria-invalid", "true")


async def test_a_result_becomes_the_input_of_the_next(visit: Visit, api: Service) -> None:
    await visit.ask_for("a red barn", Steps="4")
    await visit.done()

    await visit.page.get_by_role("button", name="Use as input").click()
    await expect(visit.page.locator(".drop.held")).to_be_visible(timeout=WITHIN_MS)
    generation_id = await visit.ask_for("the same in winter", Steps="4")
    await visit.done()

    assert (await api.record(generation_id))["template"] == "img2img"


async def test_the_same_again_draws_another_picture_of_the_same_words(visit: Visit) -> None:
    await visit.ask_for("a red barn", Steps="4", Seed="7")
    await visit.done()
    before = await visit.pixels(visit.picture)

    await visit.again.click()
    await expect(visit.again).to_be_hidden()
    await visit.done()

    assert await visit.pixels(visit.picture) != before
    await expect(visit.page.locator(".asked")).to_have_text("a red barn")


async def test_the_form_survives_a_reload_and_the_settings_of_a_result_come_back(visit: Visit) -> None:
    await visit.ask_for("a red barn", Steps="4", Seed="7")
    await visit.done()
    await visit.prompt.fill("something else")

    await visit.page.reload()
    await visit.ready()
    await expect(visit.prompt).to_have_value("something else")
    await visit.page.get_by_role("button", name="Edit settings").click()

    await expect(visit.prompt).to_have_value("a red barn")
    await expect(visit.page.get_by_label("Seed", exact=True)).to_have_value("7")


async def test_a_service_with_keys_asks_for_one_and_goes_on(
    serve: Serve, port: int, open_page: OpenPage, comfy: Simulator
) -> None:
    guarded = await serve(port=port, api_keys=(KEY,))
    visit = await open_page(guarded)
    visit.expected.append("401")
    asked = visit.page.get_by_role("dialog", name="A key, please")

    await asked.get_by_label("API key").fill("another-key-altogether")
    await visit.page.keyboard.press("Enter")
    await expect(asked.get_by_text("That key is not known here.")).to_be_visible(timeout=WITHIN_MS)
    await asked.get_by_label("API key").fill(KEY)
    await visit.page.keyboard.press("Enter")

    generation_id = await visit.ask_for("a red barn", Steps="8")
    await visit.done()
    assert await visit.pixels(visit.picture) == made(comfy, await guarded.record(generation_id))
    assert [each.url for each in visit.requests if KEY in each.url] == []


async def test_every_template_has_a_form_with_a_label_for_each_parameter(visit: Visit, api: Service) -> None:
    await visit.ready()
    templates = (await api.http.get("/api/templates")).json()["items"]

    for template in templates:
        await visit.page.locator("#template").select_option(template["name"])
        await visit.page.locator(".fold").evaluate("fold => { fold.open = true; }")
        fields = visit.page.locator("#form .field[data-name]")
        names = await fields.evaluate_all("all => all.map((each) => each.dataset.name)")
        unlabelled = await visit.page.locator(
            "#form :is(input, select, textarea):not([aria-hidden=true])"
        ).evaluate_all(
            "all => all.filter((each) => !each.labels.length && !each.ariaLabel).map((each) => each.outerHTML)"
        )

        assert {parameter["name"] for parameter in template["parameters"]} <= set(names)
        assert unlabelled == []
