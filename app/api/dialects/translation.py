"""Refusals in another API's words: the layer that rewrites problem documents under that API's paths.

Owns holding an answer back until it is whole; what becomes of it is the business of the API it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PROBLEM: Final = b"application/problem+json"


@dataclass(frozen=True, slots=True)
class Told:
    """What a caller gets instead of a problem document."""

    status: int
    body: dict[str, Any]
    media_type: str = PROBLEM.decode()


Tell: TypeAlias = Callable[[dict[str, Any]], Told]


class Translation:
    """The layer for everything under `root`, whoever refused it."""

    def __init__(self, app: ASGIApp, *, root: str, tell: Tell) -> None:
        self._app, self._root, self._tell = app, root, tell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_theirs = scope["type"] == "http" and (scope["path"] + "/").startswith(f"{self._root}/")
        await self._app(scope, receive, _Translating(send, self._tell) if is_theirs else send)


class _Translating:
    """Holds a problem document back until it is whole; everything else passes."""

    def __init__(self, send: Send, tell: Tell) -> None:
        self._send, self._tell = send, tell
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_problem(message):
            self._start = message
        elif self._start is None or message["type"] != "http.response.body":
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        told = self._tell(msgspec.json.decode(self._body))
        body = msgspec.json.encode(told.body)
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-length"] = str(len(body))
        headers["content-type"] = told.media_type
        await self._send({**start, "status": told.status, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": body})


def _is_problem(start: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(PROBLEM) for name, value in start["headers"])
