"""Request bodies: bytes to checked values. Owns what is said of a bad one; never knows what a generation is for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import msgspec
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from app.api.phrases import phrase
from app.api.request_schemas import GenerationCreate
from app.api.schemas import Wire
from app.errors import InvalidRequest, MalformedBody, Problem, pointer

WireT = TypeVar("WireT", bound=Wire)

MAX_NESTING: Final = 100
"""Far above any real metadata; the writers of JSON give up somewhere near 250."""

MAX_PROBLEMS: Final = 20
"""A person repairs a handful of mistakes at a time."""

FORM: Final = "The body is a form; send JSON here, with Content-Type: application/json."
MORE: Final = "{} more places are wrong; they are named once these are repaired"

_OBJECT: Final = "must be a JSON object"
_UUID: Final = "must be an id out of an answer: a lowercase UUID"


def generation_body(raw: bytes) -> GenerationCreate:
    """The body of a new generation. Raises MalformedBody, or InvalidRequest naming every wrong place."""
    body = _decoded(raw)
    if not isinstance(body, dict):
        raise InvalidRequest(Problem("", "send a JSON object with a prompt, or with a workflow"))
    return generation_part(body)


def generation_part(body: dict[str, Any]) -> GenerationCreate:
    """A generation that stands inside another body. Raises InvalidRequest, with pointers into this part."""
    problems = [*_contradictions(body), *_too_deep(body)]
    if problems:
        raise InvalidRequest(*most(problems))
    return _validated(GenerationCreate, body)


def written_body(raw: bytes, model: type[WireT], hint: str) -> WireT:
    """The body of something a caller makes, as `model` has it; `hint` says what to send. Raises like the other."""
    return _written(_decoded(raw), model, f"send a JSON object with {hint}")


def options_body(raw: bytes, model: type[WireT], hint: str) -> WireT:
    """The options of something that can be asked for without any; no body has none. Raises like the others."""
    return _written(_decoded(raw) if raw.strip() else {}, model, f"send a JSON object with {hint}, or nothing")


def overrides_body(raw: bytes) -> dict[str, Any]:
    """The parameters to change for another try; no body changes none."""
    body = _decoded(raw) if raw.strip() else {}
    if not isinstance(body, dict):
        raise InvalidRequest(Problem("", 'send a JSON object of parameters, such as {"seed": -1}, or nothing'))
    if problems := list(_too_deep(body)):
        raise InvalidRequest(*most(problems))
    return body


def is_form_like(raw: bytes) -> bool:
    """Whether a body that is no JSON is a multipart form: those begin with their boundary."""
    return raw.lstrip().startswith(b"--")


def most(problems: Sequence[Problem]) -> list[Problem]:
    """As many as are told at once, and how many more there are."""
    more = len(problems) - MAX_PROBLEMS
    told = list(problems[:MAX_PROBLEMS])
    return told if more <= 0 else [*told, Problem("", MORE.format(more))]


def top(problem: Problem) -> str:
    """The field of the body in which it lies; "" for the body itself."""
    return problem.pointer.split("/")[1].replace("~1", "/").replace("~0", "~") if problem.pointer else ""


def worded(found: ErrorDetails) -> str:
    """A finding of pydantic's in the words of JSON."""
    match found["type"]:
        case "dict_type":
            return _OBJECT
        case "model_type" | "model_attributes_type" if found["loc"] and found["loc"][-1] == "webhook":
            return 'must be an object like {"url": "https://..."}'
        case "model_type" | "model_attributes_type":
            return "must be the source of a file as text, or an object with it"
        case "missing":
            return "is missing; send it"
        case "string_pattern_mismatch" if found["loc"] and found["loc"][-1] == "name":
            return "must be made of lower-case letters, digits, `-` and `_`, and begin with a letter or digit"
        case "string_pattern_mismatch" if found["loc"] and found["loc"][-1] == "size":
            return "must be WIDTHxHEIGHT in pixels, such as 1024x1024, or auto"
        case "string_pattern_mismatch" if found["loc"] and found["loc"][-1] == "delivery_id":
            return "must be a delivery's id: msg_ and 32 digits, 0 to 9 and a to f"
        case "string_pattern_mismatch":
            return _UUID
        case "value_error":
            return found["msg"].removeprefix("Value error, ")
        case "extra_forbidden":
            return "is no field of this; leave it out"
        case _:
            return phrase(found)


def _written(body: object, model: type[WireT], hint: str) -> WireT:
    if not isinstance(body, dict):
        raise InvalidRequest(Problem("", hint))
    if problems := list(_too_deep(body)):
        raise InvalidRequest(*most(problems))
    return _validated(model, body)


def _validated(model: type[WireT], body: Mapping[str, Any]) -> WireT:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        found = error.errors(include_url=False)
        raise InvalidRequest(*most([Problem(pointer(*each["loc"]), worded(each)) for each in found])) from error


def _decoded(raw: bytes) -> Any:
    """Whatever the content type says, it is read as JSON: curl's default is wrong."""
    if not raw:
        raise MalformedBody("The body is empty; send JSON.")
    try:
        return msgspec.json.decode(raw)
    except UnicodeDecodeError as error:
        raise MalformedBody("The body is not JSON: its text is not UTF-8.") from error
    except RecursionError as error:
        raise MalformedBody("The body is not JSON we read: it nests too deeply.") from error
    except msgspec.DecodeError as error:
        raise MalformedBody(FORM if is_form_like(raw) else f"The body is not JSON: {error}.") from error


def _contradictions(body: Mapping[str, Any]) -> Iterator[Problem]:
    if body.get("workflow") is not None and body.get("template") is not None:
        yield Problem("/template", "stands beside a workflow; send one of them")
    params = body.get("params")
    for name in params if isinstance(params, dict) else ():
        if name in body:
            yield Problem(pointer("params", name), f"is given twice, also as {pointer(name)}; send one of them")


def _too_deep(body: Mapping[str, Any]) -> Iterator[Problem]:
    """Parts that could be read but not written again. The workflow has a check of its own."""
    for name, part in body.items():
        if name != "workflow" and _is_deep(part):
            yield Problem(pointer(name), f"is nested more than {MAX_NESTING} levels deep; flatten it")


def _is_deep(part: object) -> bool:
    level = [part]
    for _ in range(MAX_NESTING):
        level = [each for container in level for each in _containers(container)]
        if not level:
            return False
    return True


def _containers(value: object) -> list[object]:
    match value:
        case dict():
            parts: list[object] = list(value.values())
        case list():
            parts = value
        case _:
            return []
    return [part for part in parts if isinstance(part, dict | list)]
