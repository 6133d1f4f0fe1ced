"""What follows from an attempt at a delivery: when it is tried again, when it is given up, when a receiver is disabled.

Pure: the time and the dice are handed in. Every answer but 2xx is a failure, a redirect too; 410 says that the receiver
is gone for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from app.webhook_records import Attempt, Delivery, Lane

MAX_RETRY_AFTER_S: Final = 24 * 3600.0
"""A receiver that asks for more time gets that much at most."""

GONE: Final = 410
JITTER: Final = 0.25
"""Pauses are longer or shorter by up to that share: what failed together is not tried together."""

_DAY_S: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: an HTTP `status`, or none; `error` is one sentence for anything but a success.

    `url` and `answer` are as an `Attempt` has them.
    """

    at: float
    duration_s: float
    status: int | None = None
    error: str | None = None
    retry_after_s: float | None = None
    url: str | None = None
    answer: str | None = None

    @property
    def attempt(self) -> Attempt:
        return Attempt(self.at, round(self.duration_s, 3), self.status, self.error, self.url, self.answer)


@dataclass(frozen=True, slots=True)
class Again:
    """Try it again then; the lane is that bad."""

    at: float
    lane: Lane


@dataclass(frozen=True, slots=True)
class GivenUp:
    """Do not try it again. `disable_for`: why its registered receiver gets nothing more from now on.

    `is_gone`: nor does anything else go to this URL that is still to be sent.
    """

    lane: Lane
    disable_for: str | None = None
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds. A delivery is tried after `retry_s`, then after twice as long each time, up to `retry_max_s`.

    A broken lane is looked at again after as long as it has been broken, at most `check_s`. A registered receiver to
    which nothing could be delivered for `disable_s` is disabled.
    """

    retry_s: float
    retry_max_s: float
    check_s: float
    disable_s: float

    def verdict(self, outcome: Outcome, delivery: Delivery, trouble: Lane | None, dice: float) -> Again | GivenUp:
        """What follows from a failure. `trouble` is how it went in this lane before, `dice` from 0 to 1."""
        now = outcome.at + outcome.duration_s
        asked_s = min(max(outcome.retry_after_s or 0.0, 0.0), MAX_RETRY_AFTER_S)
        lane = self._worse(delivery.lane, trouble, now, asked_s, dice)
        if outcome.status == GONE:
            return GivenUp(lane, "it answered 410 Gone", is_gone=True)
        if delivery.webhook_id is not None and now - lane.failing_since >= self.disable_s:
            days = self.disable_s / _DAY_S
            return GivenUp(lane, f"nothing could be delivered for {days:g} days; at last: {outcome.error}")
        if now >= delivery.give_up_at:
            return GivenUp(lane)
        pause_s = min(self.retry_max_s, self.retry_s * 2.0 ** min(delivery.attempts - 1, 60))
        at = min(now + _jittered(pause_s, dice), delivery.give_up_at)
        return Again(max(at, now + asked_s), lane)

    def _worse(self, name: str, trouble: Lane | None, now: float, asked_s: float, dice: float) -> Lane:
        failures, since = (1, now) if trouble is None else (trouble.failures + 1, trouble.failing_since)
        lane = Lane(name, failures, since, now + asked_s)
        if not lane.is_broken:
            return lane
        pause_s = _jittered(min(self.check_s, max(self.retry_s, now - since)), dice)
        return Lane(name, failures, since, now + max(pause_s, asked_s))


def _jittered(pause_s: float, dice: float) -> float:
    return pause_s * (1.0 - JITTER + 2.0 * JITTER * dice)
