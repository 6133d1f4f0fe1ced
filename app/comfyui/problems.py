"""What is wrong with something a caller sent: where, what, and what to do about it.

Pure. Owns the shape of such findings; never decides what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

# A person repairs a handful of mistakes at a time; a graph of the wrong kind has one per node.
MAX_PROBLEMS: Final = 20
_MAX_SHOWN_CHARACTERS: Final = 60
# Python refuses to write integers of several thousand digits.
_LARGEST_SHOWN: Final = 10**40


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding. `pointer` is a JSON pointer (RFC 6901) into what was sent; `message` names fault and remedy."""

    pointer: str
    message: str


class InvalidInputError(Exception):
    """What was sent cannot be used; `problems` has everything found, up to `MAX_PROBLEMS`, and is never empty."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("; ".join(f"{problem.pointer or '/'}: {problem.message}" for problem in problems))
        self.problems = problems


def first_problems(found: Iterable[Problem]) -> tuple[Problem, ...]:
    """The first `MAX_PROBLEMS`; what comes after them is not even looked for."""
    return tuple(islice(found, MAX_PROBLEMS))


def pointer(*steps: object) -> str:
    """The JSON pointer that takes these steps from the root, as text that can be written as UTF-8."""
    text = "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    return text if text.isascii() else text.encode(errors="replace").decode()


def shown(value: object) -> str:
    """A short quotation of a foreign value, fit for a message."""
    match value:
        case str():
            return _shortened(repr(value[: _MAX_SHOWN_CHARACTERS + 1]))
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return repr(value)
        case int() if abs(value) < _LARGEST_SHOWN:
            return repr(value)
        case _:
            return json_kind(value)


def json_kind(value: object) -> str:
    """What JSON calls a value of this type, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
        case _:
            return f"a {type(value).__name__}"


def text_flaw(text: str) -> str | None:
    """Why this text cannot be stored or sent, or None. Neither UTF-8 nor PostgreSQL can hold every Python string."""
    if "\0" in text:
        return "holds a NUL character; remove it"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half a surrogate pair, which is no character; remove it"
    return None


def _shortened(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARACTERS else text[: _MAX_SHOWN_CHARACTERS - 1] + "…"
