"""JSON that others wrote, made safe to look at.

Pure. Owns the reading of not quite strict JSON and the narrowing of single foreign values; never knows what a message
or an answer means. The `as_...` functions answer None for a value of the wrong kind instead of raising.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
StructT = TypeVar("StructT", bound=msgspec.Struct)

_ANY: Final[msgspec.json.Decoder[Any]] = msgspec.json.Decoder()


def decode_json(raw: bytes | str) -> Any:
    """The value in `raw`; what strict JSON forbids is read as ComfyUI's own Python would (see `strict_json`).

    Raises ValueError for what is no JSON at all, RecursionError for what is nested too deeply.
    """
    return decode_as(_ANY, raw)


def decode_as(decoder: msgspec.json.Decoder[T], raw: bytes | str) -> T:
    """As `decode_json`, for a decoder of a certain type; ValueError also for what is not of that type."""
    try:
        return decoder.decode(raw)
    except ValueError:
        return decoder.decode(strict_json(raw))


def strict_json(raw: bytes | str) -> bytes:
    """`raw` as strict JSON in valid UTF-8, so that nothing built from it fails later when it is written again.

    NaN, Infinity (bare words in ComfyUI's frames and history, COMFYUI_PROTOCOL section 9) and numbers beyond a float
    become null; broken UTF-8 and lone surrogates become replacement characters. Raises as `decode_json`.
    """
    text = raw.decode(errors="replace") if isinstance(raw, bytes) else raw
    value = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="replace")


def as_id(value: object) -> str | None:
    """An id as text: ComfyUI turns ids into strings itself, third-party nodes send numbers."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return None


def as_number(value: object) -> float | None:
    """A finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_whole(value: object) -> int | None:
    number = as_number(value)
    return None if number is None else int(number)


def as_object(value: object) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def required_object(value: object) -> dict[str, Any]:
    """The object; anything else is a ValueError, as wrong JSON is."""
    if not isinstance(value, dict):
        raise ValueError("no object")  # noqa: TRY004
    return value


def as_list(value: object) -> list[Any]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def as_ids(value: object) -> tuple[str, ...]:
    """The ids in a list, without what is no id."""
    return tuple(text for item in as_list(value) if (text := as_id(item)) is not None)


def reader_of(struct: type[StructT]) -> Callable[[dict[str, Any]], StructT]:
    """A function that fills `struct` from a foreign object, each field under its wire name and narrowed to its type.

    Wrong values count as missing ones. The function raises ValueError when a field without an empty value (plain
    `str`) is missing. Cheaper to fail on than a typed decoder: one odd field does not lose the whole message.
    """
    fields = tuple((field.encode_name, _NARROWING[field.type]) for field in msgspec.structs.fields(struct))

    def read(foreign: dict[str, Any]) -> StructT:
        values = []
        for name, narrow in fields:
            value = narrow(foreign.get(name))
            if value is _MISSING:
                raise ValueError(f"no {name}")
            values.append(value)
        return struct(*values)

    return read


_MISSING: Final = object()


def _required_id(value: object) -> object:
    text = as_id(value)
    return _MISSING if text is None else text


def _object_or_none(value: object) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None


_NARROWING: Final[dict[object, Callable[[object], object]]] = {
    str: _required_id,
    str | None: as_id,
    int | None: as_whole,
    tuple[str, ...]: as_ids,
    dict[str, Any] | None: _object_or_none,
}


def _no_number(_word: str) -> None:
    return None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if math.isfinite(number) else None
