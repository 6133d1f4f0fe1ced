"""Answers a caller may hold already. Owns the comparison of ETags for answers made in memory; files have their own."""

from __future__ import annotations

import re
from typing import Final

from starlette.responses import Response

_ETAGS: Final = re.compile(r'(?:W/)?("[^"]*")')


def unless_known(answer: Response, if_none_match: str | None) -> Response:
    """`answer`, or 304 if the caller holds this very content: weak comparison (RFC 9110 13.1.2)."""
    held = if_none_match or ""
    if held.strip() != "*" and answer.headers["ETag"] not in _ETAGS.findall(held):
        return answer
    kept = {name: answer.headers[name] for name in ("ETag", "Cache-Control") if name in answer.headers}
    return Response(status_code=304, headers=kept)
