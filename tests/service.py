"""The service as its callers meet it: a real uvicorn on a real socket, and a client that speaks its HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx
from httpx_sse import EventSource, ServerSentEvent

from app.main import create_app
from app.serving import Server
from app.settings import Settings
from tests.waiting import WITHIN_S, until

TERMINAL = frozenset({"complete", "error", "canceled"})

Json = dict[str, Any]


def client(url: str, headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """A connection for each request, as if from as many callers.

    httpx's pool weighs every request that waits against every connection it has, and may send a request on a
    connection that the server is just closing: with two hundred requests at once the first costs seconds.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=url, timeout=WITHIN_S, trust_env=False, headers=headers, limits=limits)


class Service:
    """A running service. `stop` and `start` restart it on the same database and folder, for the same `http`.

    The client outlives a restart as callers do: a pool closed under a request that is just connecting would leave
    that connection to the garbage collector.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.http = client("", self._headers())

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
        await self.http.aclose()

    async def start(self) -> None:
        """Serve until `stop`; returns when requests are answered."""
        self.app = create_app(self.settings)
        self.server = Server(self.app, self.settings)
        self._task = asyncio.create_task(self.server.serve(), name="service under test")
        await until(lambda: self.server.started or self._task.done())
        if self._task.done():
            self._task.result()
            raise RuntimeError("the service did not start")
        self.url = self.server.url
        self.http.base_url = self.url

    async def stop(self) -> None:
        self.server.should_exit = True
        async with asyncio.timeout(WITHIN_S):
            await self._task

    async def generate(self, expect: int = 202, headers: dict[str, str] | None = None, **body: object) -> Json:
        """POST /api/generate; the answer, which must have the expected status."""
        answer = await self.http.post("/api/generate", json=body, headers=headers)
        assert answer.status_code == expect, answer.text
        record: Json = answer.json()
        return record

    async def record(self, generation_id: str, **query: str) -> Json:
        answer = await self.http.get(f"/api/generations/{generation_id}", params=query)
        assert answer.status_code == 200, answer.text
        record: Json = answer.json()
        return record

    async def finished(self, generation_id: str) -> Json:
        """The record once it has ended."""
        return await self.record(generation_id, wait=str(WITHIN_S))

    @asynccontextmanager
    async def stream(
        self, generation_id: str, last_event_id: str | None = None, **query: str
    ) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
        """The open event stream, read by an independent parser."""
        headers = {"Last-Event-ID": last_event_id} if last_event_id is not None else {}
        path = f"/api/generations/{generation_id}/events"
        async with self.http.stream("GET", path, params=query, headers=headers) as response:
            assert response.status_code == 200, await response.aread()
            yield EventSource(response).aiter_sse()

    async def events(self, generation_id: str, last_event_id: str | None = None, **query: str) -> list[Json]:
        """All events until the server closes the stream."""
        async with asyncio.timeout(WITHIN_S), self.stream(generation_id, last_event_id, **query) as stream:
            return [{**event.json(), "id": event.id} async for event in stream]

    async def bytes_of(self, url: str) -> bytes:
        answer = await self.http.get(url)
        assert answer.status_code == 200, answer.text
        return answer.content

    def _headers(self) -> dict[str, str]:
        keys = self.settings.api_keys
        return {"X-API-Key": keys[0].get_secret_value()} if keys else {}


def milestones(events: list[Json]) -> list[str]:
    """The types of the events that are never dropped, in order."""
    return [event["type"] for event in events if event["type"] not in {"progress", "preview"}]
