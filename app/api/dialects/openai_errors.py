"""What goes wrong, in the words of OpenAI's API: its status codes and its `error` object beside the problem document.

Owns the translation, for everything under /v1, whoever refused it; never decides what is refused.

    AppError
    ├── UnknownModel         404  no template has this name
    ├── GenerationFailed     500  it ran and made no picture
    └── GenerationTimedOut   504  it was not done in time

The official clients send a request again after 408, 409, 429 and 5xx, unless `x-should-retry` tells them not to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from app.api.dialects.translation import Told
from app.errors import AppError, Problem, pointer
from app.records import ErrorCode, Generation, Status

ROOT: Final = "/v1"

_NO_RETRY: Final = {"X-Should-Retry": "false"}
_STATUSES: Final[Mapping[int, int]] = {415: 400, 422: 400}
"""OpenAI calls every wrong request 400, and its clients' users catch that."""

_PARAMETERS: Final[Mapping[str, str]] = {
    "width": "size",
    "height": "size",
    "batchSize": "n",
    "template": "model",
    "references": "image",
    "images": "image",
}
"""Their names for what a pointer of ours begins with, where they differ."""

_INPUTS: Final = (["references"], ["images"])

_CODES: Final[Mapping[str, str]] = {"unauthorized": "invalid_api_key"}


class UnknownModel(AppError):
    """No template has this name."""

    status, code, title = 404, "model_not_found", "There is no such model"

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(
            f"There is no model {name!r}; models are templates, and built-in ones are: {', '.join(known)}. "
            "A template of your own may have the name that your program asks for."
        )
        self.extra = {"errors": [{"pointer": "/model", "message": "names no template"}]}


class GenerationFailed(AppError):
    """It was accepted, and ended without a picture. `extra` has its id and the cause."""

    status, code, title = 500, "generation_failed", "The generation made no picture"

    def __init__(self, record: Generation) -> None:
        super().__init__(_cause(record))
        cause = record.error.code.value if record.error is not None else record.status.value
        self.extra = {"generationId": record.id, "cause": cause}
        self.headers = {**_NO_RETRY, "X-Request-Id": record.id}


class GenerationTimedOut(AppError):
    """It was not done in the time that a caller is made to wait, and was ended."""

    status, code, title = 504, "generation_timed_out", "The generation took too long"

    def __init__(self, generation_id: str, timeout_s: float) -> None:
        super().__init__(
            f"The pictures were not done within {timeout_s:g} s; ask for fewer or smaller ones, or use POST "
            "/api/generate, which does not make you wait."
        )
        self.extra = {"generationId": generation_id}
        self.headers = {**_NO_RETRY, "X-Request-Id": generation_id}


def failure(record: Generation, timeout_s: float) -> AppError:
    """The error that a generation without pictures is to whoever waited for it."""
    if record.error is not None and record.error.code is ErrorCode.TIMED_OUT:
        return GenerationTimedOut(record.id, timeout_s)
    return GenerationFailed(record)


def error_object(status: int, code: str, message: str, places: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """OpenAI's `error`: `message`, `type`, `param`, `code`."""
    kind = "server_error" if status >= 500 else "invalid_request_error"
    param = _param(str(places[0].get("pointer", ""))) if places else None
    return {"message": message, "type": kind, "param": param, "code": _CODES.get(code, code)}


def located(error: AppError, place: str) -> AppError:
    """What is wrong with a file, told of where it was sent."""
    error.extra = {**error.extra, "errors": [{"pointer": place, "message": error.detail}]}
    error.detail = f"{place}: {error.detail}"
    return error


def as_sent(problem: Problem, field: str, count: int) -> Problem:
    """A place among the inputs by the name that the caller gave it; `field` is where his `count` pictures were."""
    steps = problem.pointer.split("/")[1:]
    if steps[:2] == ["references", str(count)]:  # Behind the pictures comes the mask.
        return replace(problem, pointer="/mask")
    return replace(problem, pointer=pointer(field, *steps[1:])) if steps[:1] in _INPUTS else problem


def tell(document: dict[str, Any]) -> Told:
    """Their `error` beside the problem document."""
    status = _STATUSES.get(document["status"], document["status"])
    told = error_object(status, document["code"], document["detail"], document.get("errors") or ())
    return Told(status, {**document, "status": status, "error": told})


def _param(pointer: str) -> str | None:
    """`/params/width` and `?limit` by the name the caller gave it; None for the body as a whole."""
    steps = [step for step in pointer.lstrip("?").split("/") if step and step != "params"]
    if not steps:
        return None
    if steps[0] == "references" and steps[-1] == "parameter":
        return "mask"
    return _PARAMETERS.get(steps[0], steps[0])


def _cause(record: Generation) -> str:
    if record.error is not None:
        return record.error.message
    if record.status is Status.CANCELED:
        return "The generation was canceled."
    return f"The generation ended without a picture; GET /api/generations/{record.id} lists what it made."
