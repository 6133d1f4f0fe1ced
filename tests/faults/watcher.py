"""A watcher as browsers are: comes back with the last id after every loss, and stops at the end or a 204."""

from __future__ import annotations

import asyncio

import httpx

from tests.service import TERMINAL, Json, Service
from tests.waiting import WITHIN_S


async def watch_like_a_browser(api: Service, generation_id: str) -> list[Json]:
    """Everything seen over all connections, up to the terminal event."""
    seen: list[Json] = []
    last_event_id: str | None = None
    async with asyncio.timeout(3 * WITHIN_S):
        while True:
            try:
                async with api.stream(generation_id, last_event_id) as stream:
                    async for event in stream:
                        seen.append({**event.json(), "id": event.id})
                        last_event_id = event.id
                        if seen[-1]["type"] in TERMINAL:
                            return seen
            except (httpx.TransportError, httpx.StreamError, AssertionError, RuntimeError):
                pass  # The server was away or could not answer yet: a browser tries again.
            await asyncio.sleep(0.05)
