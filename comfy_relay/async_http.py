"""Does what operations ask for, on an event loop: the driver of AsyncClient, over httpx. The twin of blocking_http."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, assert_never

import httpx
from httpx_sse import EventSource, ServerSentEvent

from comfy_relay import wire
from comfy_relay.effects import (
    Answer,
    Ask,
    Close,
    Effect,
    Flow,
    Give,
    Head,
    Hear,
    Lost,
    Open,
    Pause,
    Read,
    ReadAll,
    Request,
    Steps,
    Together,
    Work,
)

T = TypeVar("T")


def connected(headers: Mapping[str, str], verify: ssl.SSLContext | bool, proxy: str | None) -> httpx.AsyncClient:
    """The connections of a client."""
    return httpx.AsyncClient(
        headers=wire.encoded(headers),
        verify=wire.certificates(verify),
        proxy=proxy,
        limits=wire.LIMITS,
        trust_env=False,
    )


async def run(http: httpx.AsyncClient, steps: Steps[T]) -> T:
    """Drive an operation to its result."""
    with contextlib.closing(steps):
        async with Hands(http) as hands:
            reply: Any = None
            trouble: Lost | None = None
            while True:
                try:
                    effect = steps.send(reply) if trouble is None else steps.throw(trouble)
                except StopIteration as end:
                    result: T = end.value
                    return result
                reply, trouble = await hands.tried(effect)


async def iterate(http: httpx.AsyncClient, flow: Flow[T]) -> AsyncGenerator[T, None]:
    """Drive an operation that gives items, as they are asked for."""
    with contextlib.closing(flow):
        async with Hands(http) as hands:
            reply: Any = None
            trouble: Lost | None = None
            while True:
                try:
                    effect = flow.send(reply) if trouble is None else flow.throw(trouble)
                except StopIteration:
                    return
                if isinstance(effect, Give):
                    reply, trouble = None, None
                    yield effect.item
                else:
                    reply, trouble = await hands.tried(effect)


class Hands:
    """Does one thing after another, with one streamed answer open at most."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] = _nothing()
        self._events: AsyncIterator[ServerSentEvent] = _nothing()

    async def __aenter__(self) -> Hands:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def tried(self, effect: Effect) -> tuple[Any, Lost | None]:
        """What came of it: a reply, or the loss of the connection."""
        try:
            return await self._done(effect), None
        except wire.FAILURES as error:
            return None, wire.lost(error)

    async def close(self) -> None:
        response, self._response = self._response, None
        for iterator in (self._events, self._pieces):
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()
        if response is not None:
            await response.aclose()

    async def _done(self, effect: Effect) -> object:
        match effect:
            case Ask(request):
                return await self._ask(request)
            case Open(request):
                return await self._open(request)
            case Read():
                return await anext(self._pieces, b"")
            case ReadAll():
                return b"" if self._response is None else await self._response.aread()
            case Hear():
                return wire.heard(await anext(self._events, None))
            case Close():
                await self.close()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Work(function):
                return await asyncio.to_thread(function)
            case Together(operations, at_most):
                return await self._together(operations, at_most)
            case _:
                assert_never(effect)
        return None

    async def _ask(self, request: Request) -> Answer:
        response = await self._sent(request, is_streamed=False)
        return Answer(response.status_code, wire.head_of(response).headers, response.content)

    async def _open(self, request: Request) -> Head:
        await self.close()
        response = self._response = await self._sent(request, is_streamed=True)
        self._pieces = response.aiter_bytes()
        self._events = EventSource(response).aiter_sse()
        return wire.head_of(response)

    async def _together(self, operations: Sequence[Steps[Any]], at_most: int) -> list[Any]:
        results: list[Any] = [None] * len(operations)
        waiting = iter(enumerate(operations))

        async def work_off() -> None:
            for number, operation in waiting:
                results[number] = await run(self._http, operation)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(at_most, len(operations))):
                    group.create_task(work_off())
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from None
        return results

    async def _sent(self, request: Request, *, is_streamed: bool) -> httpx.Response:
        content = _pieces(request.body) if isinstance(request.body, Path) else request.body
        built = self._http.build_request(**wire.arguments(request), content=content)
        return await self._http.send(built, stream=is_streamed, follow_redirects=is_streamed)


async def _pieces(path: Path) -> AsyncIterator[bytes]:
    """A file as it is sent, read beside the loop."""
    pieces = wire.pieces(path)
    while piece := await asyncio.to_thread(next, pieces, b""):
        yield piece


async def _nothing() -> AsyncIterator[Any]:
    return
    yield
