"""What a caller asks for when he posts a batch. Values only: the API reads the body, `batch_preparing` makes rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.batch_records import BATCH_PRIORITY
from app.errors import Problem
from app.records import WebhookTarget
from app.requests import Request


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One item as it was asked for. `at` turns a pointer into its body into one into the batch's.

    `request` is None where `problems` tell what is wrong already. `wants_seed`: it differs from others by its seed.
    """

    index: int
    key: str | None
    at: Callable[[str], str]
    request: Request | None
    problems: tuple[Problem, ...] = ()
    wants_seed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchRequest:
    """A batch to start. `items` can be gone through once; there are `total`. `is_keyed`: each has a key of its own.

    `fingerprint` is equal for batches of the same items. `idempotency_key` is the caller's name for the batch.
    `webhook`: who is told of the end of the batch; of its items the items say. `problems`: what is wrong with the batch
    itself, to be told with what is wrong with its items.
    """

    items: Iterable[BatchItem]
    total: int
    fingerprint: str
    is_keyed: bool = False
    idempotency_key: str | None = None
    priority: int = BATCH_PRIORITY
    max_in_flight: int | None = None
    project_id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    webhook: WebhookTarget | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str | None:
        """What the batch is found by when it is posted again; without a key, items with keys are known by themselves.

        No header holds a line break, so no caller's key is one of these.
        """
        if self.idempotency_key is None and self.is_keyed:
            return f"items\n{self.fingerprint}"
        return self.idempotency_key
