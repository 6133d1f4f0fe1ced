"""Column types that keep the values of `app.records` alike in SQLite and PostgreSQL.

Owns how one value is stored; never looks at a whole record, and asks the database nothing.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from app.records import Status

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect
    from sqlalchemy.types import TypeEngine

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# PostgreSQL text takes no NUL, UTF-8 no lone surrogate. SUBSTITUTE is the control character made for such a place.
_UNSTORABLE: Final = re.compile("[\x00\x1a\ud800-\udfff]")
_SUBSTITUTE: Final = re.compile("\x1a([0-9a-f]{4})")


class Instant(sa.types.TypeDecorator[float]):
    """Seconds since the epoch, kept to the microsecond.

    `timestamptz` on PostgreSQL; whole microseconds as an integer on SQLite, which has no type for times.
    """

    impl = sa.BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            sa.TIMESTAMP(timezone=True) if dialect.name == "postgresql" else sa.BigInteger(),
        )

    def process_bind_param(self, value: float | None, dialect: Dialect) -> datetime | int | None:
        if value is None:
            return None
        microseconds = round(value * 1_000_000)
        return _EPOCH + timedelta(microseconds=microseconds) if dialect.name == "postgresql" else microseconds

    def process_result_value(self, value: Any, dialect: Dialect) -> float | None:
        if value is None:
            return None
        microseconds = (value - _EPOCH) // _MICROSECOND if dialect.name == "postgresql" else value
        return float(microseconds / 1_000_000)


class SafeText(sa.types.TypeDecorator[str]):
    """Any Python string, NUL characters and lone surrogates included, without loss.

    The few characters a database refuses are stored as U+001A and four hex digits (U+001A itself as well), so
    equality and substring search go on working.
    """

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or not _UNSTORABLE.search(value):
            return value
        return _UNSTORABLE.sub(lambda match: f"\x1a{ord(match[0]):04x}", value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        if value is None or "\x1a" not in value:
            return value
        return _SUBSTITUTE.sub(lambda match: chr(int(match[1], 16)), value)


class WideInteger(sa.types.TypeDecorator[int]):
    """An integer of any size as decimal text: seeds reach 2**64 - 1, and a bigint ends at 2**63 - 1."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


class StatusText(sa.types.TypeDecorator[Status]):
    """A status by its name; plain text, so that a new status needs no migration of the column."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Status | None, dialect: Dialect) -> str | None:
        return None if value is None else value.value

    def process_result_value(self, value: str | None, dialect: Dialect) -> Status | None:
        return None if value is None else Status(value)


class Json(sa.types.TypeDecorator[Any]):
    """A value of `shape` as JSON text; NaN and Infinity become null, since JSON has no word for them.

    `json` and not `jsonb` on PostgreSQL: it keeps what it is given. `jsonb` refuses U+0000, sorts the keys of a
    workflow, turns 1e300 into 301 digits and costs a parse per write, and nothing here searches inside.
    """

    impl = sa.Text
    cache_ok = True

    def __init__(self, shape: Any) -> None:
        super().__init__()
        self.shape = shape

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(
            postgresql.JSON(none_as_null=True) if dialect.name == "postgresql" else sa.Text()
        )

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else encode_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        return None if value is None else decode_json(value, self.shape)


def encode_json(value: Any) -> str:
    """JSON of a record's part or of foreign JSON. The slow way is for lone surrogates, which UTF-8 cannot carry."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value))
        return json.dumps(json.loads(text, parse_constant=lambda _name: None))


def decode_json(text: str, shape: Any) -> Any:
    """What `encode_json` was given, as `shape`."""
    try:
        return _decoder(shape).decode(text)
    except msgspec.DecodeError:
        return msgspec.convert(json.loads(text), shape)


@lru_cache(maxsize=64)
def _decoder(shape: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(shape)
