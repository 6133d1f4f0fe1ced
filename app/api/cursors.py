"""Where a page of a list ended, as text a caller hands back unchanged."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime
from typing import Annotated, Final

import msgspec

from app.errors import InvalidRequest, Problem

LATEST_S: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
"""The latest time every database can hold, in seconds since the epoch."""

Seconds = Annotated[float, msgspec.Meta(ge=0, le=LATEST_S)]

UUIDS: Final = re.compile(r"[0-9a-f-]{36}")
MESSAGES: Final = re.compile(r"msg_[0-9a-f]{32}")
NAMES: Final = re.compile(r"[^\0]{1,200}", re.DOTALL)
"""What the ids of a list look like: ours, and names of callers' own."""


def cursor_of(created_at: float, last_id: str) -> str:
    """The place after what was created then, in seconds since the epoch, and has this id."""
    raw = msgspec.json.encode([created_at, last_id])
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def place_of(cursor: str | None, ids: re.Pattern[str]) -> tuple[float, str] | None:
    """Time and id out of a cursor of a list with such ids. Raises InvalidRequest."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place = msgspec.json.decode(raw, type=tuple[Seconds, str])
    except (binascii.Error, ValueError):
        place = None
    if place is None or not ids.fullmatch(place[1]):
        raise InvalidRequest(Problem("?cursor", "take `nextCursor` of the page before, unchanged"))
    return place
