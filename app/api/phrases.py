"""What is wrong with a value, in words for a person with an example. Owns the wording of pydantic's kinds of findings;
which place they are about is the caller's business.
"""

from __future__ import annotations

from typing import Any, Final

from pydantic_core import ErrorDetails

_INTEGER: Final = "must be an integer, such as 10"
_NUMBER: Final = "must be a number, such as 2.5"
_BOOLEAN: Final = "must be a boolean: true or false"
_TIME: Final = "must be a date and time, such as 2030-01-31T12:00:00Z"
_PHRASES: Final = {
    **dict.fromkeys(("int_type", "int_parsing", "int_parsing_size", "int_from_float"), _INTEGER),
    **dict.fromkeys(("float_type", "float_parsing"), _NUMBER),
    **dict.fromkeys(("bool_type", "bool_parsing"), _BOOLEAN),
    "string_type": "must be a string: text in quotes",
    "list_type": 'must be a list, such as ["a", "b"]',
}


def phrase(found: ErrorDetails) -> str:
    """The finding in our words; pydantic's own, made to follow the name of a place, where we have none."""
    kind, bounds = found["type"], found.get("ctx") or {}
    if kind in _PHRASES:
        return _PHRASES[kind]
    if kind.startswith(("datetime_", "date_")):
        return _TIME
    if kind == "too_short":
        return _too_short(bounds)
    if kind == "too_long":
        return f"has {bounds.get('actual_length') or 'too many'} entries; send at most {bounds.get('max_length')}"
    text: str = found["msg"].replace("Input should", "must", 1).replace("String should", "must", 1)
    return text[:1].lower() + text[1:]


def _too_short(bounds: dict[str, Any]) -> str:
    least = bounds.get("min_length")
    if least == 1:
        return "is empty; send at least one entry"
    return f"has {bounds.get('actual_length')} entries; send at least {least}"
