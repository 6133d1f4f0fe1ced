"""What callers hand over, looked at before anything is sent. Owns what is said of an argument that is wrong: TypeError
or ValueError, which name the parameter. What a template takes is the service's to know.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Final

_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")

_NO_IDS: Final = frozenset({"", ".", ".."})
_NAMES: Final = (str, int, float, type(None))
"""What Python makes the names in a JSON object of."""


def text(parameter: str, given: object) -> str:
    """A text. Raises TypeError."""
    if not isinstance(given, str):
        raise TypeError(f"{parameter} is text, and not {type(given).__name__}")
    return given


def header_text(parameter: str, given: object) -> str:
    """What is sent as the value of a header. Raises TypeError, and ValueError for what none can hold."""
    given = text(parameter, given)
    if _CONTROL.search(given):
        raise ValueError(f"{parameter} has characters that no header can hold, such as a line break")
    if given != given.strip(" \t"):
        raise ValueError(f"{parameter} begins or ends with a space, which no header can hold; leave it out")
    return given


def header_fields(parameter: str, given: Mapping[Any, Any]) -> dict[str, str]:
    """Headers to be sent. Raises as `header_text`."""
    for name in given:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ValueError(f"{parameter}: {name!r} is no name of a header")
    return {name: header_text(f"{parameter}[{name!r}]", value) for name, value in given.items()}


def identity(parameter: str, given: object, record: type[Any]) -> str:
    """The id in `given`, which is one, or a record that has one. Raises TypeError, and ValueError for a text that would
    lead to another route.
    """
    name = given.id if isinstance(given, record) else given
    if not isinstance(name, str):
        raise TypeError(f"{parameter} is an id or a record, and not {type(given).__name__}")
    if name.strip() in _NO_IDS:
        raise ValueError(f"{parameter} is no id: {name!r}")
    return name


def at_most(parameter: str, given: int | None) -> int | None:
    """How many of something are asked for. Raises TypeError and ValueError."""
    if given is None or (type(given) is int and given >= 0):
        return given
    kind = ValueError if type(given) is int else TypeError
    raise kind(f"{parameter} is a whole number from 0 on, and not {given!r}")


def as_json(body: object) -> bytes:
    """A body as it is sent. Raises TypeError and ValueError, which say where in it is what JSON does not have."""
    try:
        # Escaped, so that the service is the one to say what is wrong with half a surrogate pair.
        return json.dumps(body, allow_nan=False, default=_plain).encode()
    except (TypeError, ValueError, RecursionError):
        raise _wrong_part(body) from None


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _wrong_part(body: object) -> TypeError | ValueError:
    """What is wrong with the first part of a body that JSON cannot hold."""
    parts: list[tuple[str, object]] = [("", body)]
    seen: set[int] = set()
    while parts:
        place, part = parts.pop()
        match part:
            case None | str() | int():
                continue
            case float():
                if not math.isfinite(part):
                    return ValueError(f"{place}: {part} is a number that JSON does not have")
            case Mapping() if not all(isinstance(name, _NAMES) for name in part):
                odd = next(name for name in part if not isinstance(name, _NAMES))
                return TypeError(f"{place}: the names in a JSON object are texts, and not {type(odd).__name__}")
            case Mapping() | list() | tuple():
                if id(part) not in seen:
                    seen.add(id(part))
                    parts += reversed(_inner(place, part))
            case _:
                return TypeError(f"{place}: JSON has nothing for a value of type {type(part).__name__}")
    return ValueError("what was given holds itself, or is nested too deeply for JSON")


def _inner(place: str, part: Any) -> list[tuple[str, object]]:
    if isinstance(part, Mapping):
        return [(f"{place}.{name}" if place else str(name), value) for name, value in part.items()]
    return [(f"{place}[{number}]", value) for number, value in enumerate(part)]
