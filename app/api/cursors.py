"""Where a page of a list ended, as text a caller hands back unchanged."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from app.errors import InvalidRequest, Problem

LATEST_S: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""The latest time every database can hold, in seconds since the epoch."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=LATEST_S)]
Id = Annotated[str, msgspec.Meta(max_length=200)]


def cursor_of(created_at: float, last_id: str) -> str:
    """The place after what was created then, in seconds since the epoch, and has this id."""
    raw = msgspec.json.encode([created_at, last_id])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def place_of(cursor: str | None) -> tuple[float, str] | None:
    """Time and id out of a cursor. Raises InvalidRequest."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        return msgspec.json.decode(raw, type=tuple[Seconds, Id])
    except (binascii.Error, ValueError) as error:
        raise InvalidRequest(Problem("?cursor", "take `nextCursor` of the page before, unchanged")) from error
