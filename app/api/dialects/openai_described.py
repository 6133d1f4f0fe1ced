"""What FastAPI cannot infer of OpenAI's routes for the OpenAPI document: bodies, streams and errors."""

from __future__ import annotations

from typing import Any, Final

from app.api.dialects.openai_schemas import ImagesMade
from app.api.openapi import errors

_REF: Final = "#/components/schemas/{model}"
_OBJECT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "message": {"type": "string"},
        "type": {"type": "string"},
        "param": {"type": ["string", "null"]},
        "code": {"type": "string"},
    },
    "required": ["message", "type", "param", "code"],
}
_PROBLEM: Final[dict[str, Any]] = {
    "allOf": [
        {"$ref": _REF.format(model="ProblemRead")},
        {"type": "object", "properties": {"error": _OBJECT}, "required": ["error"]},
    ]
}
_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"event": {"type": "string"}, "data": {"type": "string", "contentMediaType": "application/json"}},
    "required": ["event", "data"],
}


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Problem answers with OpenAI's `error` in them. Wrong requests are 400 here; "default" is the rest."""
    described = errors(*statuses)
    described["default"] = {"description": "any other error, in the same shape"}
    for answer in described.values():
        answer["content"] = {"application/problem+json": {"schema": _PROBLEM}}
    return described


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The pictures, at once or as a stream, and what may go wrong."""
    made: dict[str, Any] = {"text/event-stream": {"schema": _EVENT}}
    return {200: {"model": ImagesMade, "description": "the pictures", "content": made}, **failures(*statuses)}


def _body(model: str, forms: dict[str, Any] | None = None) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF.format(model=model)}}, **(forms or {})}
    return {"requestBody": {"required": True, "content": content}}


_BINARY: Final[dict[str, Any]] = {"type": "string", "format": "binary"}
_FORM: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "prompt": {"type": "string"},
        "model": {"type": "string"},
        "image": _BINARY,
        "image[]": {"type": "array", "items": _BINARY},
        "mask": _BINARY,
    },
    "required": ["prompt", "image"],
    "description": "further fields as in JSON; several pictures are sent as `image[]`",
}

CREATE: Final = _body("ImageCreate")
EDIT: Final = _body("ImageEdit", {"multipart/form-data": {"schema": _FORM}})
