"""What a person writes as text, as the JSON value that is meant. Pure; a parameter is known by its JSON Schema.

Owns reading NAME=VALUE and NAME=VALUES. Judges no value: what is wrong with one, the service says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from app.commands.errors import Misuse

Schemas = Mapping[str, Mapping[str, Any]]
"""JSON Schemas by the name of the parameter or field, in camelCase."""

MAX_VALUES: Final = 100_000
"""Values of one range: as many as a batch can have items."""

FIELDS: Final[Schemas] = {
    "template": {"type": "string"},
    "workflow": {"type": "object"},
    "params": {"type": "object"},
    "references": {"type": "array"},
    "projectId": {"type": "string"},
    "metadata": {"type": "object"},
    "priority": {"type": "integer"},
    "force": {"type": "boolean"},
    "keepTemporary": {"type": "boolean"},
    "deadlineSeconds": {"type": "number"},
    "key": {"type": "string"},
}
"""What a request has besides the parameters of its template."""

_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RANGE: Final = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*(?::\s*({_NUMBER})\s*)?")
_TRUTHS: Final = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}
_JOINT: Final = re.compile(r"[\s_-]+([A-Za-z0-9])")


def camel(name: str) -> str:
    """`negative_prompt`, `negative-prompt` and `Negative Prompt` as `negativePrompt`; `CFG` as `cfg`."""
    joined = _JOINT.sub(lambda found: found[1].upper(), name.strip())
    return joined.lower() if joined.isupper() else joined[:1].lower() + joined[1:]


def assigned(option: str, text: str) -> tuple[str, str]:
    """The name, in camelCase, and the text of NAME=VALUE. Raises Misuse."""
    name, separator, value = text.partition("=")
    if not separator or not name.strip():
        raise Misuse(f"{option} {text}: write NAME=VALUE, such as {option} steps=30")
    return camel(name), value


def meant(text: str, schema: Mapping[str, Any] | None) -> Any:
    """The value of what was written for a parameter; without a schema, what it looks like.

    What cannot be a value of the type stays text, so that the service says what is wrong with it.
    """
    match schema.get("type") if schema else None:
        case None:
            return _guessed(text)
        case "string":
            return text
        case "boolean":
            return _TRUTHS.get(text.strip().lower(), text)
        case "integer" | "number":
            return _number(text)
        case _:
            return _json(text)


def listed(option: str, text: str, schema: Mapping[str, Any] | None) -> list[Any]:
    """The values of `4,7`, `1..100`, `0.5..2:0.25`, several of these, or a JSON list. Raises Misuse.

    A range includes both ends and has steps of 1 unless it names others; texts have no ranges.
    """
    if text.lstrip().startswith("["):
        return _json_list(option, text)
    values: list[Any] = []
    for part in text.split(","):
        found = None if schema and schema.get("type") == "string" else _RANGE.fullmatch(part)
        values += _counted(option, part, found.groups()) if found else [meant(part.strip(), schema)]
        if len(values) > MAX_VALUES:
            raise Misuse(f"{option}: has more than {MAX_VALUES} values; take fewer")
    if values == [""]:
        raise Misuse(f"{option}: has no values; write NAME=4,7 or NAME=1..100")
    return values


def _counted(option: str, part: str, groups: Sequence[str | None]) -> list[int | float]:
    first, last = Decimal(groups[0] or 0), Decimal(groups[1] or 0)
    step = abs(Decimal(groups[2])) if groups[2] else Decimal(1)
    if not step:
        raise Misuse(f"{option}: the range {part.strip()} has no step; write it as 1..10:2")
    try:
        count = abs(last - first) // step + 1
    except ArithmeticError:  # More values than such a number has digits.
        count = Decimal("Infinity")
    if count > MAX_VALUES:
        raise Misuse(f"{option}: the range {part.strip()} is too long; at most {MAX_VALUES} values are taken")
    sign = 1 if last >= first else -1
    return [_plain(first + sign * step * place) for place in range(int(count))]


def _plain(number: Decimal) -> int | float:
    is_whole = number == number.to_integral_value()
    return int(number) if is_whole else float(number)


def _number(text: str) -> int | float | str:
    try:
        number = Decimal(text.strip())
    except InvalidOperation:
        return text
    # An exponent of a million is a text like any other.
    return _plain(number) if number.is_finite() and abs(number.adjusted()) < 400 else text


def _guessed(text: str) -> Any:
    word = text.strip()
    if re.fullmatch(_NUMBER, word):
        return _number(word)
    if word in {"true", "false", "null"} or word[:1] in {"{", "[", '"'}:
        return _json(text)
    return text


def _json(text: str) -> Any:
    try:
        return msgspec.json.decode(text.encode())
    except (ValueError, RecursionError):
        return text


def _json_list(option: str, text: str) -> list[Any]:
    try:
        values: list[Any] = msgspec.json.decode(text.encode(), type=list[Any])
    except (ValueError, RecursionError) as error:
        raise Misuse(f'{option}: is no JSON list ({error}); write it as \'["a, b", "c"]\'') from error
    if not values:
        raise Misuse(f"{option}: has no values; write NAME=4,7 or NAME=1..100")
    return values
