"""HTTP as aiohttp does it: route tables by hand, every route twice, odd answers and all (COMFYUI_PROTOCOL section 2).

Owns the way from an ASGI scope to a handler and back: counting, faults, the origin check, 404, 405, 413 and 500.
"""

from __future__ import annotations

import ipaddress
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import unquote, urlsplit

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from app.comfyui.simulator.failing import NODE_ERRORS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from app.comfyui.simulator.server import Server

log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[["Call"], Awaitable[Response]]
Routes: TypeAlias = dict[str, dict[str, Handler]]
"""Handlers by path pattern and method. A pattern may end in one `{parameter}`, which is one path segment."""


class TooLarge(Exception):
    """The body is over the limit."""


@dataclass(slots=True)
class Call:
    """One request, the server it is for, and the value of the pattern's parameter."""

    server: Server
    request: Request
    parameter: str

    async def body(self) -> bytes:
        """The body. Raises TooLarge."""
        limit = self.server.options.max_upload_bytes
        if int(self.request.headers.get("content-length", 0)) > limit:
            raise TooLarge
        body = await self.request.body()
        if len(body) > limit:
            raise TooLarge
        return body

    async def json(self) -> Any:
        """The body as Python's `json` reads it, whatever its content type. Raises ValueError."""
        return json.loads(await self.body())


def answer(value: object, status: int = 200) -> Response:
    """JSON, with NaN and Infinity as bare words."""
    return Response(json.dumps(value), status, media_type="application/json; charset=utf-8")


def empty(status: int = 200) -> Response:
    """No body and no content type."""
    return Response(status_code=status)


def text(body: str, status: int) -> Response:
    """aiohttp's plain text."""
    return Response(body, status, media_type="text/plain; charset=utf-8")


def trouble(status: int = 500) -> Response:
    """What aiohttp says for an unhandled error."""
    response = text("500 Internal Server Error\n\nServer got itself in trouble", status)
    response.headers["Connection"] = "close"
    return response


class Web:
    """The ASGI application of one server."""

    def __init__(self, server: Server, routes: Routes) -> None:
        self._server = server
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._server.serve_socket(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._respond(request)
        except ClientDisconnect:
            return
        if request.method == "HEAD":
            response.body = b""
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        path = request.scope["raw_path"].decode("latin-1")
        pattern, parameter = self._match(path.removeprefix("/api") if path.startswith("/api/") else path, path)
        self._server.requests[f"{request.method} {pattern}"] += 1
        status = self._failing_status(request.method, pattern)
        if status is not None:
            return trouble(status) if status >= 500 else empty(status)
        if is_foreign(request.headers):
            return empty(403)
        if request.method == "OPTIONS":
            return empty()
        handlers = self._routes.get(pattern)
        handler = handlers.get("GET" if request.method == "HEAD" else request.method) if handlers else None
        if handler is None:
            return _no_route(request.method, handlers)
        return await self._handle(handler, Call(self._server, request, parameter))

    async def _handle(self, handler: Handler, call: Call) -> Response:
        try:
            return await handler(call)
        except TooLarge:
            return text(f"Maximum request body size {call.server.options.max_upload_bytes} exceeded.", 413)
        except NODE_ERRORS as failure:
            log.debug(
                "request failed as a real one would", extra={"path": call.request.url.path, "reason": str(failure)}
            )
            return trouble()

    def _match(self, path: str, given: str) -> tuple[str, str]:
        if path in self._routes and not (given != path and path.startswith("/internal/")):
            return path, ""
        head, _, last = path.rpartition("/")
        for pattern in self._routes:
            if pattern.endswith("}") and pattern.rpartition("/")[0] == head and last:
                return pattern, unquote(last)
        return given, ""

    def _failing_status(self, method: str, pattern: str) -> int | None:
        statuses = self._server.faults.http_status
        return statuses.get(f"{method} {pattern}", statuses.get(pattern)) if statuses else None


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Is this a browser's cross-site request to a server on loopback? ComfyUI answers those with 403 (section 2.8)."""
    if "host" not in headers or "origin" not in headers:
        return False
    host, origin = urlsplit(f"//{headers['host'].lower()}"), urlsplit(headers["origin"].lower())
    if not origin.netloc or not _is_loopback(host.hostname):
        return False
    if origin.port is None or host.port is None:
        return origin.hostname != host.hostname
    return origin.netloc != host.netloc


def _is_loopback(name: str | None) -> bool:
    try:
        return ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return name == "localhost"


def _no_route(method: str, handlers: Mapping[str, Handler] | None) -> Response:
    """Unknown paths are looked for among static files: 404 for GET, 405 for the rest."""
    if handlers is None and method in ("GET", "HEAD"):
        return Response(status_code=404, media_type="application/octet-stream")
    allowed = sorted({*handlers, "HEAD"} if handlers and "GET" in handlers else handlers or {"GET", "HEAD"})
    response = text("405: Method Not Allowed", 405)
    response.headers["Allow"] = ",".join(allowed)
    return response
