"""What happens to every request before its route: keys, and a limit on bodies. Plain ASGI, for speed."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.errors import problem_response
from app.api.links import Links
from app.errors import BodyTooLarge, Unauthorized

_GUARDED: Final = ("/api", "/v1")
_PROGRESS: Final = "/api/generate/progress"
_NAME: Final = re.compile(rb"(?:^|(?<=&))[a-z_]+(?==)")
_SNAKE: Final = re.compile(rb"_([a-z])")
_GENERATION: Final = re.compile(
    # Not who is told of it: a URL with a token goes further than to those.
    r"/api/(?:(?:generations|uploads|batches|progress)/|events/file\.)([0-9a-f-]{36})(?:/(?!deliveries)|$)"
)


class RequireKey:
    """With keys set, every /api and /v1 route needs one, or a signed URL for the generation in its path."""

    def __init__(self, app: ASGIApp, *, keys: Sequence[str], links: Links) -> None:
        self._app, self._links = app, links
        self._keys = [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._keys or scope["type"] != "http" or not self._is_guarded(scope["path"]) or self._is_allowed(scope):
            await self._app(scope, receive, send)
        else:
            await problem_response(Unauthorized(_wrong(scope)))(scope, receive, send)

    def _is_guarded(self, path: str) -> bool:
        return any(path == root or path.startswith(f"{root}/") for root in _GUARDED)

    def _is_allowed(self, scope: Scope) -> bool:
        if any(hmac.compare_digest(given, key) for given in _given_keys(scope) for key in self._keys):
            return True
        query = _query(scope)
        token = _token(query)
        return scope["method"] in {"GET", "HEAD"} and bool(token) and self._links.allows(token, _asked(scope, query))


def _wrong(scope: Scope) -> str:
    """What a caller sent who is not let in, if he sent anything."""
    if _given_keys(scope):
        return "The key that was sent is not one of this service."
    return "This URL's token is wrong or has expired." if _token(_query(scope)) else ""


def _query(scope: Scope) -> dict[str, list[str]]:
    return parse_qs(scope["query_string"].decode("latin-1"))


def _token(query: dict[str, list[str]]) -> str:
    return next(iter(query.get("token", ())), "")


def _given_keys(scope: Scope) -> list[bytes]:
    """As the bytes that were sent: what a key means in some encoding is no business of ours."""
    headers = Headers(scope=scope)
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = [headers.get("x-api-key", ""), bearer.strip() if scheme.lower() == "bearer" else ""]
    return [key.encode("latin-1") for key in given if key]


def _asked(scope: Scope, query: dict[str, list[str]]) -> str:
    """The one generation, upload or batch the request is about. A token opens nothing else, above all no list."""
    if scope["path"] == _PROGRESS:
        return next(iter(query.get("generationId", ())), "")
    of_path = _GENERATION.match(scope["path"])
    return of_path[1] if of_path else ""


class CamelQuery:
    """Lets callers write query names in snake_case, as they may in bodies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and b"_" in scope["query_string"]:
            scope["query_string"] = _NAME.sub(_camel, scope["query_string"])
        await self._app(scope, receive, send)


def _camel(name: re.Match[bytes]) -> bytes:
    return _SNAKE.sub(lambda letter: letter[1].upper(), name[0])


class LimitBody:
    """Refuses bodies over `max_bytes`: by their announced length, or when that many have come.

    `exceptions` are paths with a limit of their own.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, exceptions: Mapping[str, int]) -> None:
        self._app, self._max_bytes, self._exceptions = app, max_bytes, exceptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in {"GET", "HEAD"}:
            await self._app(scope, receive, send)
            return
        max_bytes = self._exceptions.get(scope["path"], self._max_bytes)
        announced = Headers(scope=scope).get("content-length", "0")
        if announced.isdigit() and int(announced) > max_bytes:
            await problem_response(BodyTooLarge(max_bytes))(scope, receive, send)
            return
        await self._app(scope, _counted(receive, max_bytes), send)


def _counted(receive: Receive, max_bytes: int) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > max_bytes:
            raise BodyTooLarge(max_bytes)
        return message

    return counted
