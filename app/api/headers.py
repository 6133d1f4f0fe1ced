"""Request headers that change what a generation is or how it is answered."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Header

from app.errors import InvalidRequest, Problem

MAX_DEADLINE_S: Final = 30 * 86_400
MAX_KEY_LENGTH: Final = 255

_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6}(?:\.\d{1,3})?)\"?(?:$|[,;\s])", re.IGNORECASE)
_STRICT: Final = re.compile(r"(?:^|[,;\s])handling\s*=\s*\"?strict\"?(?:$|[,;\s])", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)\s*(s|m|h|)", re.ASCII)
_UNITS_S: Final = {"": 1, "s": 1, "m": 60, "h": 3600}

Prefer = Annotated[
    str,
    Header(
        description="`wait=N`: hold the answer until the end, N seconds at most; `handling=strict`: refuse what would "
        "only be kept beside the generation, such as files or parameters there is no place for"
    ),
]
CancelAfter = Annotated[
    str | None, Header(description="end it, as `timed_out`, when it is not done by then: `90s`, `2m`, `1h`")
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=MAX_KEY_LENGTH,
        description="your name for this request: the same key and body get the first answer again and run only once",
    ),
]


def wait_s(prefer: str) -> float | None:
    """The seconds of `wait=N`, or None; what else stands in the header is somebody else's."""
    found = _WAIT.search(prefer)
    return None if found is None else float(found[1])


def is_strict(prefer: str) -> bool:
    """Whether `handling=strict` (RFC 7240) is among the preferences."""
    return _STRICT.search(prefer) is not None


def deadline_s(cancel_after: str | None) -> float | None:
    """The seconds of `Cancel-After`. Raises InvalidRequest."""
    if cancel_after is None:
        return None
    found = _DURATION.fullmatch(cancel_after.strip().lower())
    seconds = float(found[1]) * _UNITS_S[found[2]] if found is not None else 0.0
    if not 0 < seconds <= MAX_DEADLINE_S:
        raise InvalidRequest(Problem("Cancel-After", "send a duration such as 90s, 2m or 1h, at most 30 days"))
    return seconds


def key(idempotency_key: str | None) -> str | None:
    """The caller's key. Raises InvalidRequest for one that names nothing."""
    if idempotency_key is not None and not idempotency_key.strip():
        raise InvalidRequest(Problem("Idempotency-Key", "is empty; send a key of your own, such as a UUID"))
    return idempotency_key
