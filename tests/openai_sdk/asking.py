"""What the tests of the official `openai` package ask with, and a look at what they get."""

from __future__ import annotations

import base64
import io

from openai import AsyncOpenAI
from openai.types import ImagesResponse
from PIL import Image

from tests.service import Json, Service
from tests.waiting import WITHIN_S

KEY = "a-key-of-ours"

SMALL: Json = {"model": "txt2img", "size": "64x64", "extra_body": {"steps": 2}}
"""A request whose pictures are soon there."""


def speaking_to(api: Service, key: str = KEY) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{api.url}/v1", api_key=key, timeout=WITHIN_S, max_retries=0)


def opened(b64: str | None) -> Image.Image:
    """The picture of an answer, decoded."""
    shown = Image.open(io.BytesIO(base64.b64decode(b64 or "")))
    shown.load()
    return shown


def sizes(made: ImagesResponse) -> list[tuple[int, int]]:
    return [opened(each.b64_json).size for each in made.data or []]


async def ended(api: Service) -> list[str]:
    """How every generation there is ended."""
    page = (await api.http.get("/api/generations")).json()["items"]
    return [(await api.finished(each["id"]))["status"] for each in page]


def hole(size: int = 64) -> bytes:
    """A mask as that API has it: opaque, and transparent where it is to be painted, here on the left."""
    mask = Image.new("RGBA", (size, size), (90, 90, 90, 255))
    mask.paste((90, 90, 90, 0), (0, 0, size // 2, size))
    return _png(mask)


def stencil(size: int = 64) -> bytes:
    """The same in black and white, without any transparency."""
    mask = Image.new("RGB", (size, size), "black")
    mask.paste((255, 255, 255), (0, 0, size // 2, size))
    return _png(mask)


def _png(picture: Image.Image) -> bytes:
    encoded = io.BytesIO()
    picture.save(encoded, "PNG")
    return encoded.getvalue()
