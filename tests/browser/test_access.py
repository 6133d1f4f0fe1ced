"""Everybody can use it: no finding of axe in any state, in light and dark, and on a telephone 375 pixels wide."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from app.comfyui.simulator import Simulator
from tests.browser.conftest import OpenPage
from tests.browser.visiting import WITHIN_MS, Visit
from tests.service import Service

AXE = files("axe_playwright_python").joinpath("axe.min.js")

PROMPTS = ("a paper boat on a calm lake", "hills in the morning", "a far country", "last light")

PHONE: dict[str, Any] = {"viewport": {"width": 375, "height": 720}, "has_touch": True, "is_mobile": True}


async def findings(visit: Visit) -> list[str]:
    """What axe finds wrong, of any weight, with the elements; animations are over first."""
    await visit.page.evaluate(
        """Promise.all(document.getAnimations()
             .filter((each) => each.effect.getTiming().iterations !== Infinity)
             .map((each) => each.finished.catch(() => {}))).then(() => {})"""
    )
    await visit.page.evaluate(AXE.read_text(encoding="utf-8"))
    found = await visit.page.evaluate("axe.run()")
    return [
        f"{each['id']} ({each['impact']}): {each['help']}: {[node['html'][:160] for node in each['nodes']]}"
        for each in found["violations"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_while_a_picture_is_made(
    scheme: str, open_page: OpenPage, api: Service, comfy: Simulator
) -> None:
    visit = await (await open_page(api, color_scheme=scheme)).ready()
    empty = await findings(visit)
    await visit.page.locator(".fold summary").click()
    await visit.page.get_by_label("Width").fill("513")
    await visit.generate.click()
    wrong = await findings(visit)
    await visit.page.get_by_label("Width").fill("512")
    comfy.hold("preview")
    await visit.ask_for("a lighthouse at dusk")
    await comfy.held()
    await expect(visit.page.locator("[data-fact=Step]")).to_be_visible(timeout=WITHIN_MS)
    running = await findings(visit)
    comfy.release()
    await visit.done()
    done = await findings(visit)
    await visit.page.locator(".open").click()
    enlarged = await findings(visit)

    assert [empty, wrong, running, done, enlarged] == [[], [], [], [], []]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_in_failures_series_and_dialogs(
    scheme: str, open_page: OpenPage, api: Service, comfy: Simulator
) -> None:
    visit = await open_page(api, color_scheme=scheme)
    await visit.ask_for("two pictures", Runs="2", Steps="4")
    await expect(visit.page.locator(".tile[data-status=succeeded]")).to_have_count(2, timeout=WITHIN_MS)
    series = await findings(visit)
    comfy.faults.out_of_memory = True
    await visit.ask_for("a failure", Runs="1")
    await expect(visit.page.get_by_role("heading", name="It failed")).to_be_visible(timeout=WITHIN_MS)
    failed = await findings(visit)
    await visit.page.get_by_role("button", name="Remove").click()
    asked = await findings(visit)
    await visit.page.get_by_role("button", name="Keep it").click()
    await visit.page.get_by_role("button", name="Server ready").click()
    await expect(visit.page.locator(".server")).to_be_visible()
    servers = await findings(visit)

    assert [series, failed, asked, servers] == [[], [], [], []]


async def test_375_pixels_are_enough(open_page: OpenPage, api: Service) -> None:
    visit = await open_page(api, **PHONE)
    overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

    widths = [await visit.page.evaluate(overflow)]
    await visit.ask_for("a lighthouse, with a prompt-so-long-that-no-line-of-a-telephone-holds-it", Steps="8")
    await expect(visit.page.locator("[data-fact=Step]")).to_be_in_viewport(timeout=WITHIN_MS)
    widths.append(await visit.page.evaluate(overflow))
    await visit.done()
    widths.append(await visit.page.evaluate(overflow))
    await expect(visit.picture).to_be_in_viewport()
    await visit.page.get_by_role("button", name="Server ready").tap()
    widths.append(await visit.page.evaluate(overflow))
    await visit.page.get_by_role("button", name="Close").tap()

    assert widths == [0, 0, 0, 0]
    small = await visit.page.locator("button:visible, a.button:visible, select:visible").evaluate_all(
        "all => all.filter((each) => each.getBoundingClientRect().height < 36).map((each) => each.outerHTML)"
    )
    assert small == []
    assert await findings(visit) == []


async def test_whoever_wants_less_motion_gets_none(open_page: OpenPage, api: Service) -> None:
    visit = await (await open_page(api, reduced_motion="reduce")).ready()

    lasting = await visit.page.evaluate(
        """[...document.querySelectorAll("*")].map((each) => getComputedStyle(each)).filter(
             ({transitionDuration, animationDuration}) => Math.max(...`${transitionDuration}, ${animationDuration}`
               .split(", ").map(parseFloat)) > 0.01).length"""
    )

    assert lasting == 0


async def test_the_colours_can_be_chosen_and_stay_chosen(visit: Visit) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    await visit.ready()
    light = await visit.page.evaluate(paper)

    await visit.page.get_by_role("button", name="Colours: as the system").click()
    await visit.page.get_by_role("button", name="Colours: light").click()
    await expect(visit.page.get_by_role("button", name="Colours: dark")).to_be_visible()
    dark = await visit.page.evaluate(paper)
    await visit.page.reload()

    assert dark != light
    assert await visit.page.evaluate(paper) == dark


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("light", {"color_scheme": "light", "viewport": {"width": 1360, "height": 1160}}),
        ("dark", {"color_scheme": "dark", "viewport": {"width": 1360, "height": 1160}}),
        ("phone", {**PHONE, "device_scale_factor": 2, "color_scheme": "light"}),
    ],
)
async def test_the_pictures_of_the_readme_are_of_this_page(
    name: str, context: dict[str, Any], open_page: OpenPage, api: Service, comfy: Simulator, screenshots: Path
) -> None:
    for number, prompt in enumerate(PROMPTS):
        made = await api.generate(prompt=prompt, seed=31 + number, steps=2)
        await api.finished(made["id"])
    visit = await open_page(api, **context)

    await visit.ask_for("a lighthouse at dusk, oil painting", Seed="15", Steps="40")
    await expect(visit.page.locator("[data-fact=Step] dd")).to_have_text(re.compile(r"[12]\d / 40"), timeout=WITHIN_MS)
    comfy.hold("preview")
    await comfy.held()
    await visit.page.screenshot(path=screenshots / f"{name}-running.png", animations="disabled")
    comfy.release()
    await visit.done()
    await visit.page.screenshot(path=screenshots / f"{name}.png", animations="disabled")

    assert (screenshots / f"{name}.png").stat().st_size > 10_000
