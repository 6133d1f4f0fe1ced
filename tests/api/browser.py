"""A browser's `EventSource` as old front ends lean on it: it comes back by itself, until refused or told 204."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing

import httpx
from httpx_sse import EventSource as Parser

from tests.service import Json
from tests.waiting import WITHIN_S


class EventSource:
    """`cut_after`: the network drops the first connection after so many messages. `statuses`: the answers to it."""

    def __init__(self, http: httpx.AsyncClient, url: str, cut_after: int | None = None) -> None:
        self._http, self._url, self._cut_after = http, url, cut_after
        self.last_event_id = ""
        self.statuses: list[int] = []

    async def messages(self) -> AsyncGenerator[Json, None]:
        """Everything `onmessage` gets, over all connections. Ends where a browser stops to come back."""
        while True:
            headers = {"Last-Event-ID": self.last_event_id} if self.last_event_id else {}
            async with self._http.stream("GET", self._url, headers=headers) as response:
                self.statuses.append(response.status_code)
                if response.status_code != 200:
                    return
                async with aclosing(self._of(response)) as messages:
                    async for message in messages:
                        yield message

    async def until(self, *ends: str) -> list[Json]:
        """The messages up to the first of one of these types, where the page calls `close()`; all, if none comes."""
        seen: list[Json] = []
        async with asyncio.timeout(WITHIN_S), aclosing(self.messages()) as messages:
            async for message in messages:
                seen.append(message)
                if message["type"] in ends:
                    break
        return seen

    async def _of(self, response: httpx.Response) -> AsyncGenerator[Json, None]:
        count = 0
        async for event in Parser(response).aiter_sse():
            self.last_event_id = event.id or self.last_event_id
            yield json.loads(event.data)
            count += 1
            if count == self._cut_after:
                self._cut_after = None
                return
