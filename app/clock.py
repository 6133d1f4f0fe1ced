"""The wall clock, as precise as what is stored."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds since the epoch, to the microsecond: both databases keep that much, so what is told is what is kept."""
    return round(time.time(), 6)
