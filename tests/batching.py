"""Batches as tests use them: posted, awaited, and their archives read by an independent reader."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from typing import Any

import httpx
from httpx_sse import EventSource

from tests.service import Json, Service
from tests.waiting import WITHIN_S

TINY: Json = {"steps": 1, "width": 64, "height": 64}
"""What makes a generation of the default template end at once."""


def numbered(count: int, **fields: Any) -> list[Json]:
    """Items that differ in prompt and seed, with keys."""
    return [{"key": f"k{n}", "prompt": f"number {n}", "seed": n, **TINY, **fields} for n in range(count)]


async def post_batch(api: Service, body: Json, key: str | None = None) -> httpx.Response:
    return await api.http.post("/api/batches", json=body, headers={"Idempotency-Key": key} if key else {})


async def batch(api: Service, body: Json, key: str | None = None) -> Json:
    """A batch that is accepted."""
    answer = await post_batch(api, body, key)
    assert answer.status_code == 202, answer.text
    started: Json = answer.json()
    return started


async def standing(api: Service, batch_id: str) -> Json:
    answer = await api.http.get(f"/api/batches/{batch_id}")
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def completed(api: Service, batch_id: str, within_s: float = WITHIN_S) -> Json:
    """The batch once none of its items is unfinished."""
    async with asyncio.timeout(within_s):
        while (found := await standing(api, batch_id))["completedAt"] is None:  # noqa: ASYNC110 - it is in a process
            await asyncio.sleep(0.05)
    return found


async def results(api: Service, batch_id: str, **query: str) -> list[Json]:
    answer = await api.http.get(f"/api/batches/{batch_id}/results", params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


async def archived(api: Service, url: str) -> tuple[dict[str, bytes], Json]:
    """Every file of an archive, and its manifest; Python's own reader finds the whole of it sound."""
    raw = await api.bytes_of(url)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        assert archive.testzip() is None
        files = {name: archive.read(name) for name in archive.namelist()}
    return files, json.loads(files.pop("manifest.json"))


async def batch_events(api: Service, url: str, last_event_id: str | None = None) -> list[Json]:
    """All events until the server closes the stream."""
    headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
    async with asyncio.timeout(WITHIN_S), api.http.stream("GET", url, headers=headers) as response:
        assert response.status_code == 200, await response.aread()
        return [{**event.json(), "cursor": event.id} async for event in EventSource(response).aiter_sse()]
