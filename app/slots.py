"""How much one server may have in hand, and how much of that is taken.

Owns the numbers; knows no server. Work nobody waits for (of a priority below 0) is background: some slots are never
its, so that what somebody waits for is handed over at once and comes next there, whatever a batch has put in before.
"""

from __future__ import annotations

import math
from typing import Final

MIN_DEPTH: Final = 4
MAX_DEPTH: Final = 32
AHEAD_S: Final = 0.1
"""How much work a backend has in hand when depth is ours to choose. Four prompts are more than that unless they take
milliseconds; what is not handed out yet can still go to another backend, or wait behind something more urgent."""

SLOW_S: Final = 1.0
"""Pauses between two ends that are longer say nothing about the pace."""

KEPT_FREE: Final = 2
"""Slots that background work leaves alone: while one urgent prompt runs, the next one is there already. With a single
one, the server would turn to background work between the two."""


class Slots:
    """`in_flight` holds the ids of our generations that occupy the server, `background` those nobody waits for."""

    def __init__(self, max_in_flight: int | None) -> None:
        self.in_flight: set[str] = set()
        self.background: set[str] = set()
        self._max_in_flight = max_in_flight
        self._pace_s, self._freed_at = SLOW_S, 0.0

    @property
    def depth(self) -> int:
        """How many prompts it may have at a time: as set, or as many as keep it busy while we fetch the next ones."""
        if self._max_in_flight is not None:
            return self._max_in_flight
        return min(MAX_DEPTH, max(MIN_DEPTH, math.ceil(AHEAD_S / self._pace_s)))

    def room(self, *, is_background: bool) -> int:
        """How many more it may have, of that urgency."""
        left = max(0, self.depth - len(self.in_flight))
        if not is_background:
            return left
        self.background &= self.in_flight
        return max(0, min(left, max(1, self.depth - KEPT_FREE) - len(self.background)))

    def take(self, generation_id: str, *, is_background: bool) -> None:
        """A slot is that generation's from now on."""
        self.in_flight.add(generation_id)
        if is_background:
            self.background.add(generation_id)

    def free(self, generation_id: str, now: float) -> bool:
        """One of its slots is free again, at `now` in monotonic seconds; False if it was already."""
        if generation_id not in self.in_flight:
            return False
        self.in_flight.discard(generation_id)
        self._pace_s += (min(SLOW_S, now - self._freed_at) - self._pace_s) / 8
        self._freed_at = now
        return True
