"""Assets: callers' names for files of theirs, and the ids by which outputs are assets as well. Pure.

Owns the record of an asset, how a hash is written, and how an output's id is made; opens no file and asks nobody.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import msgspec

KEY_TTL_S: Final = 86_400.0
"""How long a single-use key stays spent: a day, as the Comfy API v2 has it."""

HASH: Final = re.compile(r"blake3:[0-9a-f]{64}")
"""How the hash of a content is written."""

_DIGITS: Final = 5
_UUID: Final = "[0-9a-f]{8}-[0-9a-f]{4}-([48])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_ID: Final = re.compile(_UUID)
_VERSION_AT: Final = 14


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A caller's name for an uploaded file. Several may name one upload; `hash` is the BLAKE3 of its content.

    `file_path` is what the caller calls it. `idempotency_key` names the one request that made it.
    """

    id: str
    upload_id: str
    hash: str
    file_path: str
    idempotency_key: str | None = None
    created_at: float


class OutputPlace(NamedTuple):
    """An output: the ids between which its generation's lies, both included, and the output's `number`, its index."""

    first_id: str
    last_id: str
    number: int


def output_asset_id(generation_id: str, index: int) -> str:
    """The id by which an output is an asset: a UUID of version 8 (RFC 9562 5.8), made of its generation's of version 4.

    The last five hexadecimal digits are the index. The other 102 random bits still tell generations apart, so that
    nothing has to be stored for an output to have an id.
    """
    return f"{generation_id[:_VERSION_AT]}8{generation_id[_VERSION_AT + 1 : -_DIGITS]}{index:0{_DIGITS}x}"


def output_place(asset_id: str) -> OutputPlace | None:
    """Which output has this id; None for the ids of other things, and for what is no id."""
    found = _ID.fullmatch(asset_id)
    if found is None or found[1] != "8":
        return None
    stem = f"{asset_id[:_VERSION_AT]}4{asset_id[_VERSION_AT + 1 : -_DIGITS]}"
    return OutputPlace(stem + "0" * _DIGITS, stem + "f" * _DIGITS, int(asset_id[-_DIGITS:], 16))


def is_asset_id(text: str) -> bool:
    """Whether an asset could have this id."""
    return _ID.fullmatch(text) is not None
