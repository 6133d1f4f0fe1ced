"""What the service answers about batches, as immutable values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from comfy_relay.records import TERMINAL, Failure, Output, Record, Status


class Batch(Record, frozen=True, kw_only=True):
    """How a batch stands. `counts` are its items by status, `removed` how many were deleted.

    `status` is final only when every item's is.
    """

    id: str
    status: Status
    total: int = 0
    counts: dict[str, int] = msgspec.field(default_factory=dict)
    removed: int = 0
    percentage: float = 0.0
    eta_seconds: float | None = None
    priority: int = 0
    max_in_flight: int | None = None
    project_id: str | None = None
    metadata: dict[str, Any] = msgspec.field(default_factory=dict)
    created_at: datetime | None = None
    completed_at: datetime | None = None

    @property
    def is_over(self) -> bool:
        """Whether no item is unfinished."""
        return self.completed_at is not None or self.status in TERMINAL

    def count(self, status: str) -> int:
        """How many of its items have this status."""
        return self.counts.get(status, 0)

    @property
    def ended(self) -> int:
        """How many of its items have an end, whichever."""
        return sum(map(self.count, TERMINAL))


class BatchResult(Record, frozen=True, kw_only=True):
    """An item of a batch and what came of it. `index` is its place from 0 on, `key` the caller's name for it."""

    index: int
    generation_id: str
    status: Status
    key: str | None = None
    template: str | None = None
    prompt: str | None = None
    seed: int | None = None
    params: dict[str, Any] = msgspec.field(default_factory=dict)
    outputs: tuple[Output, ...] = ()
    error: Failure | None = None
