"""A batch as a value: what was asked for, how its items stand, and what is told of them. Pure.

Owns the arithmetic of a batch's status and percentage; knows no database and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.records import TERMINAL, Status, WebhookTarget

BATCH_PRIORITY: Final = -100
"""Of items that name none: everything a person waits for goes first."""

UNFINISHED: Final = tuple(status for status in Status if status not in TERMINAL)


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """Generations submitted together. `max_in_flight`: how many of them may wait for or be at a server at a time.

    `accepted_at` None: items are still being written. `completed_at`: none was left unfinished then.
    `webhook`: who is told of its end, besides the registered endpoints.
    """

    id: str
    idempotency_key: str | None = None
    fingerprint: str = ""
    project_id: str | None = None
    metadata: dict[str, Any] = {}
    priority: int = BATCH_PRIORITY
    max_in_flight: int | None = None
    total: int
    created_at: float
    touched_at: float = 0.0
    accepted_at: float | None = None
    cancel_requested_at: float | None = None
    completed_at: float | None = None
    webhook: WebhookTarget | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How a batch stands: its items by status, the share done in percent, the seconds it will still take."""

    batch: Batch
    counts: Mapping[Status, int] = field(default_factory=dict)
    percentage: float = 0.0
    eta_s: float | None = None

    @property
    def unfinished(self) -> int:
        return unfinished(self.counts)

    @property
    def removed(self) -> int:
        """Items that were deleted: those that `total` counts and no status does."""
        return 0 if self.batch.accepted_at is None else max(0, self.batch.total - sum(self.counts.values()))

    @property
    def is_over(self) -> bool:
        return self.batch.accepted_at is not None and self.unfinished == 0

    @property
    def status(self) -> Status:
        """The batch's own: that of its items where they agree; over only when every item is."""
        counts = self.counts
        if not self.is_over:
            if self.batch.cancel_requested_at is not None:
                return Status.CANCELING
            begun = sum(count for status, count in counts.items() if status is not Status.PENDING)
            return Status.RUNNING if begun else Status.PENDING
        if counts.get(Status.CANCELED):
            return Status.CANCELED
        return Status.FAILED if counts.get(Status.FAILED) else Status.SUCCEEDED


def unfinished(counts: Mapping[Status, int]) -> int:
    return sum(counts.get(status, 0) for status in UNFINISHED)


def percentage(total: int, counts: Mapping[Status, int], begun: float) -> float:
    """Of a batch with these items; `begun` is the sum of the shares (0..1) of those at work. 100 only when over."""
    left = unfinished(counts)
    if left == 0:
        return 100.0
    done = max(0.0, total - left + min(begun, left))
    return min(99.9, round(100 * done / total, 1)) if total else 0.0


def eta_s(left: int, ended: tuple[float, ...], now: float) -> float | None:
    """Seconds `left` items take at the pace of those that ended lately (times in seconds, latest first)."""
    if left == 0 or len(ended) < 2 or ended[0] <= ended[-1]:
        return None
    pace_s = (ended[0] - ended[-1]) / (len(ended) - 1)
    since_s = min(pace_s, max(0.0, now - ended[0]))
    return round(max(0.0, left * pace_s - since_s), 1)
