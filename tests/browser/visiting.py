"""A visit to the page, in the words of a visitor. Notes all that the browser sent, and every error it met."""

from __future__ import annotations

import io
import re
from typing import Any, Self
from urllib.parse import urlsplit

from PIL import Image
from playwright.async_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from app.comfyui.simulator import Simulator
from tests.service import Json

WITHIN_MS = 20_000

WATCH = """
window.seen = [];
const look = () => {
  const bar = document.querySelector(".single [role=progressbar][aria-label=Progress] .bar-fill");
  const text = (selector) => document.querySelector(selector)?.textContent ?? null;
  const now = {
    bar: bar ? Number(bar.style.transform.slice(7, -1)) : null,
    said: bar ? Number(bar.parentElement.getAttribute("aria-valuenow")) : null,
    step: text("[data-fact=Step]:not([hidden]) dd"),
    badge: text(".badge"),
    message: text(".single .message"),
    url: location.search,
  };
  if (JSON.stringify(now) !== JSON.stringify(window.seen.at(-1))) window.seen.push(now);
};
new MutationObserver(look).observe(document, {
  subtree: true, childList: true, characterData: true, attributeFilter: ["style", "hidden", "aria-valuenow"],
});
"""
"""Writes down each state of the progress panel that the page ever had, in `window.seen`."""


class Visit:
    """One page in one browser context."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[Request] = []
        self.errors: list[str] = []
        self.expected: list[str] = []
        """Patterns of errors that a test provokes."""

    @classmethod
    async def begin(cls, context: BrowserContext, path: str = "/") -> Self:
        """Open the page and wait until it can be used."""
        visit = cls(await context.new_page())
        visit.page.set_default_timeout(WITHIN_MS)
        visit.page.on("request", lambda request: visit.requests.append(request))  # noqa: PLW0108 - Playwright marks it
        visit.page.on("console", visit._on_console)
        visit.page.on("pageerror", lambda error: visit.errors.append(f"exception: {error}"))
        await visit.page.add_init_script(WATCH)
        await visit.page.goto(path)
        return visit

    async def ready(self) -> Self:
        await expect(self.generate).to_be_enabled(timeout=WITHIN_MS)
        return self

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.errors.append(f"console: {message.text} {message.location.get('url', '')}")

    @property
    def unexpected(self) -> list[str]:
        """The errors no test announced."""
        return [each for each in self.errors if not any(re.search(pattern, each) for pattern in self.expected)]

    @property
    def generate(self) -> Locator:
        return self.page.get_by_role("button", name="Generate", exact=True)

    @property
    def prompt(self) -> Locator:
        return self.page.get_by_label("Prompt", exact=True)

    @property
    def again(self) -> Locator:
        """There once a generation has succeeded."""
        return self.page.get_by_role("button", name="Same again, new seed")

    @property
    def picture(self) -> Locator:
        """The finished picture on the stage, or several."""
        return self.page.locator("#stage .shot img:not(.preview)")

    @property
    def cards(self) -> Locator:
        return self.page.locator("#cards > li")

    async def ask_for(self, prompt: str, **fields: str) -> str:
        """Fill in the form and send it; the id of what was accepted."""
        await self.ready()
        await self.prompt.fill(prompt)
        for label, value in fields.items():
            await self.page.get_by_label(label, exact=True).fill(value)
        async with self.page.expect_response("**/api/generate") as answered:
            await self.generate.click()
        answer = await answered.value
        assert answer.status == 202, await answer.text()
        generation_id: str = (await answer.json())["id"]
        await expect(self.page).to_have_url(re.compile(generation_id), timeout=WITHIN_MS)
        return generation_id

    @property
    def shown(self) -> str:
        """What the URL names, with its question mark."""
        query = urlsplit(self.page.url).query
        return f"?{query}" if query else ""

    async def done(self) -> None:
        """Return when what is shown has succeeded and its picture is drawn."""
        await expect(self.again).to_be_visible(timeout=WITHIN_MS)
        await self.page.wait_for_function(
            "() => [...document.querySelectorAll('.shot img')].every((image) => image.complete && image.naturalWidth)"
        )

    async def seen(self) -> list[dict[str, Any]]:
        """Every state of the progress panel since the page was loaded."""
        states: list[dict[str, Any]] = await self.page.evaluate("window.seen")
        return states

    async def pixels(self, picture: Locator) -> bytes:
        """What the browser decoded, as RGB: from the element itself, not from another request."""
        png = await picture.evaluate(
            """async (image) => {
              await image.decode();
              const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
              canvas.getContext("2d").drawImage(image, 0, 0);
              const bytes = new Uint8Array(await (await canvas.convertToBlob({type: "image/png"})).arrayBuffer());
              return [...bytes];
            }"""
        )
        return rgb(bytes(png))

    def streams(self) -> list[Request]:
        """The requests for event streams, in order."""
        return [each for each in self.requests if urlsplit(each.url).path.endswith(("/events", "/generate/progress"))]


def rgb(file: bytes) -> bytes:
    """The pixels of a picture."""
    with Image.open(io.BytesIO(file)) as picture:
        return picture.convert("RGB").tobytes()


def made(comfy: Simulator, record: Json, index: int = 0) -> bytes:
    """The pixels of a picture as ComfyUI wrote it to its disk."""
    return rgb(comfy.output_bytes(record["images"][index]["filename"], f"relay/{record['id'][:8]}"))
