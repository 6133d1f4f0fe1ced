"""What the tests of the official `comfy-sdk` ask with."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from comfy_sdk import AsyncComfy, AsyncJob
from comfy_sdk.events import Event
from PIL import Image

from tests.service import Service
from tests.waiting import WITHIN_S

KEY = "a-key-of-ours"


@contextmanager
def pointed_at(url: str) -> Iterator[None]:
    """While the block lasts, new clients speak to this service: the package takes its address from the environment."""
    os.environ["COMFY_BASE_URL"] = url
    try:
        yield
    finally:
        del os.environ["COMFY_BASE_URL"]


def speaking_to(api: Service, key: str | None = KEY) -> AsyncComfy:
    with pointed_at(api.url):
        return AsyncComfy(api_key=key)


async def events_of(job: AsyncJob) -> list[Event]:
    """Everything the stream tells until the job is over; the job knows of its end afterwards."""
    async with asyncio.timeout(WITHIN_S):
        events = [event async for event in job.events()]
        await job.refresh()
    return events


async def script(source: str, url: str, folder: Path) -> str:
    """What a program of a user's prints, with the service's address where the package looks for it."""
    python = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", source),
        cwd=folder,
        env={**os.environ, "COMFY_BASE_URL": url, "COMFY_API_KEY": KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(2 * WITHIN_S):
        said, _ = await python.communicate()
    assert python.returncode == 0, said.decode()
    return said.decode()


def pixels(content: bytes) -> bytes:
    with Image.open(io.BytesIO(content)) as opened:
        return opened.convert("RGB").tobytes()
