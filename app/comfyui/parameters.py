"""A Template's Parameter: what may be given for it, and where in the graph it goes.

Pure. Owns the checking of one value and the JSON Schema that says the same; never sees a whole request. Parameters are
data: this is also the shape they have in a `.template.json` file.
"""

from __future__ import annotations

import difflib
import math
import re
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

import msgspec

from app.comfyui.problems import shown, text_flaw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Value: TypeAlias = int | float | str | bool

SEED_FROM_US: Final = -1
_MAX_LISTED: Final = 8
# difflib compares character by character; names longer than this are no slip of the finger.
_MAX_COMPARED_CHARACTERS: Final = 200
# Above every seed; keeps integers of a thousand digits away from floats, which cannot hold them.
_LARGEST: Final = 2**64


class ParameterKind(StrEnum):
    """What a value is: a JSON type, or a file that the graph takes in, given as the name it has at the server."""

    INTEGER = "integer"
    NUMBER = "number"
    STRING = "string"
    BOOLEAN = "boolean"
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"

    @property
    def is_media(self) -> bool:
        return self in MEDIA_KINDS


MEDIA_KINDS: Final = frozenset({ParameterKind.IMAGE, ParameterKind.VIDEO, ParameterKind.AUDIO})
"""A mask is an image, too."""


class Binding(NamedTuple):
    """A place a value goes to: one input of one node."""

    node_id: str
    input_name: str


class BadValueError(ValueError):
    """This value cannot be taken; the text says why and what would be."""


class Parameter(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One named input of a Template.

    `default` None means: what the graph itself holds, or something a backend has (see `templates.render`). Bounds are
    inclusive. `is_seed`: when not given, or -1, the caller of `render` chooses.
    """

    name: str
    kind: ParameterKind
    bindings: tuple[Binding, ...]
    description: str = ""
    default: Value | None = None
    minimum: int | float | None = None
    maximum: int | float | None = None
    multiple_of: int | None = None
    enum: tuple[Value, ...] = ()
    max_length: int | None = None
    examples: tuple[Value, ...] = ()
    required: bool = False
    is_seed: bool = False

    def checked(self, value: object, choices: Sequence[Value] = ()) -> Value:
        """`value` in this parameter's own type; `choices`, if any, narrow `enum`. Raises BadValueError."""
        checked: Value
        match self.kind:
            case ParameterKind.INTEGER:
                checked = self._within(self._whole(value))
            case ParameterKind.NUMBER:
                checked = float(self._within(self._number(value)))
            case ParameterKind.STRING | ParameterKind.IMAGE | ParameterKind.VIDEO | ParameterKind.AUDIO:
                checked = self._text(value)
            case ParameterKind.BOOLEAN:
                checked = self._truth(value)
        self._among(checked, choices or self.enum)
        return checked

    def json_schema(self, choices: Sequence[Value] = ()) -> dict[str, Any]:
        """This parameter as JSON Schema 2020-12."""
        enum = list(choices or self.enum)
        schema: dict[str, Any] = {
            "type": "string" if self.kind.is_media else self.kind.value,
            "description": self.description,
            "contentMediaType": f"{self.kind.value}/*" if self.kind.is_media else None,
            "default": SEED_FROM_US if self.is_seed else self.default,
            "minimum": SEED_FROM_US if self.is_seed else self.minimum,
            "maximum": self.maximum,
            "multipleOf": self.multiple_of,
            "maxLength": self.max_length,
            "enum": enum,
            "examples": list(self.examples),
        }
        return {key: value for key, value in schema.items() if value is not None and value != []}

    def _whole(self, value: object) -> int:
        number = self._number(value)
        if number != int(number):
            raise BadValueError(f"must be {self._expected()}, not {shown(value)}; leave out the fraction")
        return int(number)

    def _number(self, value: object) -> int | float:
        if isinstance(value, str):
            remedy = "send it without quotes" if _is_number(value) else "write a number"
            raise BadValueError(f"must be {self._expected()}, not the text {shown(value)}; {remedy}")
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise BadValueError(f"must be {self._expected()}, not {shown(value)}; send a number")
        if isinstance(value, float) and not math.isfinite(value):
            raise BadValueError(f"must be {self._expected()}, not {value}; send a finite number")
        if abs(value) > _LARGEST:
            raise BadValueError(f"must be {self._expected()}; this number is out of every range, send a smaller one")
        return value

    def _within(self, number: int | float) -> int | float:
        low, high = self.minimum, self.maximum
        if (low is not None and number < low) or (high is not None and number > high):
            raise BadValueError(f"must be {self._expected()}, not {shown(number)}; send a value within these bounds")
        if self.multiple_of and number % self.multiple_of:
            nearest = self._nearest_multiple(number)
            raise BadValueError(f"must be {self._expected()}, not {shown(number)}; the nearest is {nearest}")
        return number

    def _nearest_multiple(self, number: int | float) -> int:
        unit = self.multiple_of or 1
        nearest = round(number / unit) * unit
        if self.maximum is not None and nearest > self.maximum:
            return nearest - unit
        return nearest + unit if self.minimum is not None and nearest < self.minimum else nearest

    def _text(self, value: object) -> str:
        if not isinstance(value, str):
            raise BadValueError(
                f"must be {self._expected()}, not {shown(value)}; put it in quotes if it is meant as text"
            )
        if self.max_length is not None and len(value) > self.max_length:
            raise BadValueError(f"has {len(value)} characters; shorten it to at most {self.max_length}")
        if (flaw := text_flaw(value)) is not None:
            raise BadValueError(flaw)
        return value

    def _truth(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise BadValueError(f"must be {self._expected()}, not {shown(value)}; send true or false without quotes")
        return value

    def _among(self, value: Value, choices: Sequence[Value]) -> None:
        if choices and value not in choices:
            texts = [choice for choice in choices if isinstance(choice, str)]
            hint = did_you_mean(value, texts) if isinstance(value, str) else ""
            listed = ", ".join(map(shown, choices[:_MAX_LISTED])) + (", …" if len(choices) > _MAX_LISTED else "")
            raise BadValueError(f"must be one of the known values, not {shown(value)};{hint} choose from: {listed}")

    def _expected(self) -> str:
        match self.kind:
            case ParameterKind.INTEGER:
                return "a whole number" + self._bounds()
            case ParameterKind.NUMBER:
                return "a number" + self._bounds()
            case ParameterKind.STRING:
                return "text"
            case ParameterKind.BOOLEAN:
                return "true or false"
            case ParameterKind.IMAGE | ParameterKind.VIDEO | ParameterKind.AUDIO:
                return f"{self.kind.value}: the id of an upload, a data URL or an http(s) URL"

    def _bounds(self) -> str:
        low = "" if self.minimum is None else f" from {_plain(self.minimum)}"
        high = "" if self.maximum is None else f" up to {_plain(self.maximum)}"
        return low + high + (f" that is a multiple of {self.multiple_of}" if self.multiple_of else "")


def _plain(number: int | float) -> str:
    return str(number) if isinstance(number, int) else f"{number:g}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` did you mean 'euler'?`, or nothing if nothing known resembles `name`."""
    near = difflib.get_close_matches(name, known, n=1) if len(name) <= _MAX_COMPARED_CHARACTERS else []
    return f" did you mean {shown(near[0])}?" if near else ""


@lru_cache(maxsize=4096)
def snake_case(name: str) -> str:
    """`negativePrompt` as `negative_prompt`."""
    return re.sub(r"([A-Z])", r"_\1", name).lower()
