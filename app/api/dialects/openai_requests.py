"""What a request of OpenAI's Images API asks of a template. Owns the meaning of `size`, `n` and `quality` here.

Values only: nothing is submitted, and what a template thinks of its parameters is told by whoever renders it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from app.api.dialects.openai_schemas import ImageCreate
from app.catalogue import Template
from app.errors import InvalidRequest, Problem, pointer
from app.requests import Request

EFFORTS: Final[Mapping[str, float]] = {
    "low": 0.5,
    "medium": 1.0,
    "standard": 1.0,
    "high": 1.5,
    "hd": 1.5,
    "xhigh": 2.0,
    "max": 3.0,
}
"""Steps of a quality, as a multiple of the template's own."""

_TYPED: Final = frozenset({"integer", "number", "boolean"})
_SCALAR: Final = re.compile(r"true|false|-?(?:0|[1-9][0-9]{0,30})(?:\.[0-9]{1,30})?(?:e[+-]?[0-9]{1,2})?", re.ASCII)


def requests_of(
    body: ImageCreate,
    template: Template,
    *,
    name: str,
    references: Sequence[Mapping[str, str]] = (),
    deadline_s: float,
    idempotency_key: str | None = None,
    own_host: str | None = None,
) -> tuple[Request, ...]:
    """The generations that make the pictures: one, or `n` for a template that draws one at a time.

    `references` are sources as in `Request`. Raises InvalidRequest where the template has no place for something.
    """
    if references and not any(each.kind.is_media for each in template.parameters.values()):
        raise InvalidRequest(Problem("/image", "is of no use to this model; take one with a picture as a parameter"))
    params = _parameters(body, template)
    metadata = dict(body.kept)
    if template.parameter("prompt") is None:
        metadata["prompt"] = params.pop("prompt")
    request = Request(
        template=name,
        params=params,
        references=tuple(references),
        nested=frozenset(pointer(each) for each in body.params or {}),
        metadata=metadata,
        deadline_s=deadline_s,
        idempotency_key=idempotency_key,
        own_host=own_host,
        webhook=None if body.webhook is None else body.webhook.to_target(),
    )
    if body.n is None or body.n == 1 or template.parameter("batchSize") is not None:
        return (request,)
    return tuple(_numbered(request, number) for number in range(body.n))


def _parameters(body: ImageCreate, template: Template) -> dict[str, Any]:
    params = {name: _typed(value, name, template) for name, value in body.extras.items()}
    params["prompt"] = body.prompt
    named = {each.name for each in map(template.parameter, params) if each is not None}
    wanted = {**_sized(body, template), **_counted(body, template), **_tried(body, template)}
    params |= {name: value for name, value in wanted.items() if name not in named}
    if body.background is not None and template.parameter("background") is not None:
        params["background"] = body.background
    elif body.background == "transparent":
        raise InvalidRequest(Problem("/background", "cannot be transparent with this model; leave it out"))
    return params


def _sized(body: ImageCreate, template: Template) -> dict[str, Any]:
    if body.size in (None, "auto"):
        return {}
    if template.parameter("width") is None or template.parameter("height") is None:
        raise InvalidRequest(Problem("/size", "is decided by this model alone; send auto, or leave it out"))
    width, _, height = str(body.size).partition("x")
    return {"width": int(width), "height": int(height)}


def _counted(body: ImageCreate, template: Template) -> dict[str, Any]:
    is_many = body.n is not None and body.n > 1
    return {"batchSize": body.n} if is_many and template.parameter("batchSize") is not None else {}


def _tried(body: ImageCreate, template: Template) -> dict[str, Any]:
    """A quality is a parameter of its own where the template has one, and steps where it has those."""
    if body.quality in (None, "auto"):
        return {}
    if template.parameter("quality") is not None:
        return {"quality": body.quality}
    steps = template.parameter("steps")
    if steps is None or not isinstance(steps.default, int):
        return {}
    wanted = max(1, round(steps.default * EFFORTS[str(body.quality)]))
    return {"steps": wanted if steps.maximum is None else min(wanted, int(steps.maximum))}


def _typed(value: Any, name: str, template: Template) -> Any:
    """A form has only text; a number in it is one where the template wants one."""
    parameter = template.parameter(name)
    if not isinstance(value, str) or parameter is None or parameter.kind.value not in _TYPED:
        return value
    return msgspec.json.decode(value.lower()) if _SCALAR.fullmatch(value.lower()) else value


def _numbered(request: Request, number: int) -> Request:
    """The same again, with a seed and a key of its own."""
    params, key = dict(request.params), request.idempotency_key
    seed = params.get("seed")
    if isinstance(seed, int) and seed >= 0:
        params["seed"] = seed + number
    return replace(request, params=params, idempotency_key=None if key is None else f"{key}#{number}")
