"""Every error as RFC 9457 problem+json, in one place. Unexpected ones are logged here and say nothing of the inside."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, cast

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Match

from app.api.bodies import MAX_PROBLEMS, worded
from app.errors import AppError, InvalidRequest, Problem, Unavailable, pointer

log = logging.getLogger(__name__)

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
"""Those that a route may have, in the order in which they are named."""


def problem_response(error: AppError) -> Response:
    """The problem document of an error a caller is told."""
    return _response(error.status, error.code, error.title, error.detail, error.extra, error.headers)


def install(app: FastAPI, unavailable: Mapping[type[Exception], str]) -> None:
    """Make `app` answer problems. `unavailable` names, per class of error, the part of the service that is away."""
    app.add_exception_handler(AppError, _told)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _unexpected)
    for kind, part in unavailable.items():
        app.add_exception_handler(kind, _away(part))


async def _told(_: Request, error: Exception) -> Response:
    return problem_response(cast("AppError", error))


async def _invalid(_: Request, error: Exception) -> Response:
    """FastAPI's findings: a query parameter becomes "?limit", a header its name, a path parameter "/" and its name."""
    places = []
    for found in cast("RequestValidationError", error).errors()[:MAX_PROBLEMS]:
        where, *steps = found["loc"]
        places.append(Problem(_place(where, steps), worded(found)))
    return problem_response(InvalidRequest(*places))


def _place(where: object, steps: list[object]) -> str:
    match where, steps:
        case "query", [name, *_]:
            return f"?{name}"
        case "header", [name, *_]:
            return str(name).title()
        case _:
            return pointer(*steps)


async def _http(request: Request, refused: Exception) -> Response:
    error = cast("HTTPException", refused)
    phrase = HTTPStatus(error.status_code).phrase
    detail = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        detail = f"There is no route {request.url.path}; see /docs."
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED and (allowed := _allowed(request)):
        headers["Allow"] = ", ".join(allowed)
        detail = f"There is no {request.method} here; there is {_listed([each for each in allowed if each != 'HEAD'])}."
    code = phrase.lower().replace(" ", "_").replace("-", "_")
    return _response(error.status_code, code, phrase, detail, {}, headers)


def _allowed(request: Request) -> list[str]:
    """The methods of all routes of this path; the framework names those of the first alone."""
    scope = {"type": "http", "path": request.scope["path"], "root_path": request.scope.get("root_path", "")}
    routes = request.app.routes
    return [
        method
        for method in METHODS
        if any(each.matches({**scope, "method": method})[0] is Match.FULL for each in routes)
    ]


def _listed(names: list[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _away(part: str) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_: Request, error: Exception) -> Response:
        log.warning("a request met an unavailable part", extra={"action": "request", "part": part, "cause": str(error)})
        return problem_response(Unavailable(part))

    return answer


async def _left(_: Request, __: Exception) -> Response:
    """The caller hung up in the middle of his body: there is nobody to answer, and nothing went wrong here."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


async def _unexpected(request: Request, error: Exception) -> Response:
    facts = {"action": "request", "method": request.method, "route": request.url.path}
    log.error("a request failed unexpectedly", exc_info=error, extra=facts)
    return problem_response(AppError("Something went wrong inside the service; it has been logged."))


def _response(
    status: int, code: str, title: str, detail: str, extra: dict[str, Any], headers: dict[str, str]
) -> Response:
    document = {"type": f"urn:comfy-relay:problem:{code}", "title": title, "status": status, "detail": detail}
    body = msgspec.json.encode(document | {"code": code} | extra)
    return Response(body, status, headers, media_type="application/problem+json")
