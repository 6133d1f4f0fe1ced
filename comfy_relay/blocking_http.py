"""Does what operations ask for, and waits for it: the driver of Client, over httpx."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Generator, Iterator, Mapping
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


def connected(headers: Mapping[str, str], verify: ssl.SSLContext | bool, proxy: str | None) -> httpx.Client:
    """The connections of a client."""
    return httpx.Client(
        headers=wire.encoded(headers),
        verify=wire.certificates(verify),
        proxy=proxy,
        limits=wire.LIMITS,
        trust_env=False,
    )


def run(http: httpx.Client, steps: Steps[T]) -> T:
    """Drive an operation to its result."""
    with contextlib.closing(steps), Hands(http) as hands:
        reply: Any = None
        trouble: Lost | None = None
        while True:
            try:
                effect = steps.send(reply) if trouble is None else steps.throw(trouble)
            except StopIteration as end:
                result: T = end.value
                return result
            reply, trouble = hands.tried(effect)


def iterate(http: httpx.Client, flow: Flow[T]) -> Generator[T, None, None]:
    """Drive an operation that gives items, as they are asked for."""
    with contextlib.closing(flow), Hands(http) as hands:
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
                reply, trouble = hands.tried(effect)


class Hands:
    """Does one thing after another, with one streamed answer open at most."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http
        self._response: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())
        self._events: Iterator[ServerSentEvent] = iter(())

    def __enter__(self) -> Hands:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tried(self, effect: Effect) -> tuple[Any, Lost | None]:
        """What came of it: a reply, or the loss of the connection."""
        try:
            return self._done(effect), None
        except wire.FAILURES as error:
            return None, wire.lost(error)

    def close(self) -> None:
        response, self._response = self._response, None
        if response is not None:
            response.close()

    def _done(self, effect: Effect) -> object:
        match effect:
            case Ask(request):
                return self._ask(request)
            case Open(request):
                return self._open(request)
            case Read():
                return next(self._pieces, b"")
            case ReadAll():
                return b"" if self._response is None else self._response.read()
            case Hear():
                return wire.heard(next(self._events, None))
            case Close():
                self.close()
            case Pause(seconds):
                time.sleep(seconds)
            case Work(function):
                return function()
            case Together(operations):
                return [run(self._http, operation) for operation in operations]
            case _:
                assert_never(effect)
        return None

    def _ask(self, request: Request) -> Answer:
        response = self._sent(request, is_streamed=False)
        return Answer(response.status_code, wire.head_of(response).headers, response.content)

    def _open(self, request: Request) -> Head:
        self.close()
        response = self._response = self._sent(request, is_streamed=True)
        self._pieces = response.iter_bytes()
        self._events = EventSource(response).iter_sse()
        return wire.head_of(response)

    def _sent(self, request: Request, *, is_streamed: bool) -> httpx.Response:
        content = wire.pieces(request.body) if isinstance(request.body, Path) else request.body
        built = self._http.build_request(**wire.arguments(request), content=content)
        return self._http.send(built, stream=is_streamed, follow_redirects=is_streamed)
