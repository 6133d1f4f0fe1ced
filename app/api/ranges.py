"""Which bytes of a file a Range header asks for. Pure; never opens a file and never answers.

Several ranges at once are answered with the whole file, which RFC 9110 section 14.2 allows: nothing that plays or
resumes a download asks for them, and merging them has been a way to burn a server's time.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

# At most 18 digits: past any file, and never an expensive conversion. `re.ASCII` keeps other scripts' digits out.
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII | re.IGNORECASE)


class Span(NamedTuple):
    """The bytes `start` up to but not including `stop`; `is_part` when a range was asked for."""

    start: int
    stop: int
    is_part: bool

    @property
    def length(self) -> int:
        return self.stop - self.start


class RangeUnsatisfiable(Exception):
    """The range begins behind the end of the file."""


def parse_range(header: str | None, size: int) -> Span:
    """The span asked for. Malformed, foreign-unit and multiple ranges mean the whole file (RFC 9110 14.2)."""
    whole = Span(0, size, is_part=False)
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.group(1) == match.group(2) == "":
        return whole
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return whole
    if start >= size:
        raise RangeUnsatisfiable
    return Span(start, stop, is_part=True)
