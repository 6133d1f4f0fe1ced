"""Webhooks as values: endpoints, deliveries, and each attempt at one. Pure; times are seconds since the epoch."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

MAX_ATTEMPTS_KEPT: Final = 20
"""Of the attempts at one delivery, so many are remembered: the newest."""

BROKEN_AFTER: Final = 5
"""Failures in a row, whichever deliveries they are of, that make a lane broken: it is tried with one at a time then."""

ROTATION_S: Final = 24 * 3600.0
"""How long deliveries are also signed with the secret before, after a new one was made."""


class DeliveryStatus(StrEnum):
    """Where a delivery stands: to be sent (again), taken by the receiver, or given up."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Attempt(msgspec.Struct, frozen=True, omit_defaults=True):
    """One try. `status` is the HTTP status that came; None: none did. `error` is one sentence without addresses.

    `url` is where it went, without its query. `answer` is the beginning of what was answered to a failure, as text.
    """

    at: float
    duration_s: float
    status: int | None = None
    error: str | None = None
    url: str | None = None
    answer: str | None = None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A registered receiver. `disabled_reason` is there where nobody but the service itself disabled it.

    `previous_secret` still signs beside `secret` until `previous_until`.
    """

    id: str
    url: str
    events: tuple[str, ...]
    description: str | None = None
    secret: str
    previous_secret: str | None = None
    previous_until: float | None = None
    is_enabled: bool = True
    disabled_reason: str | None = None
    created_at: float
    updated_at: float

    def secrets_at(self, now: float) -> tuple[str, ...]:
        """What a delivery is signed with then, the newest first."""
        return _valid(self.secret, self.previous_secret, self.previous_until, now)


class ServiceSecret(msgspec.Struct, frozen=True):
    """What signs for receivers that only a request named, as an `Endpoint` has its own."""

    secret: str
    previous_secret: str | None = None
    previous_until: float | None = None

    def secrets_at(self, now: float) -> tuple[str, ...]:
        """What a delivery is signed with then, the newest first."""
        return _valid(self.secret, self.previous_secret, self.previous_until, now)


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """An event on its way to one receiver. `id` is the `webhook-id`, the same in every attempt.

    `lane` is what is slow or down together: a registered endpoint, or a URL without its query. `target` is what order
    is kept for, together with `subject`, the generation or batch. `news` is what is told, as JSON of `webhook_news`.
    `attempts` counts from the last time somebody asked for it; `log` has the newest attempts of all, oldest first.
    """

    id: str
    lane: str
    target: str
    webhook_id: str | None = None
    url: str | None = None
    generation_id: str | None = None
    batch_id: str | None = None
    subject: str
    sequence: int
    event: str
    news: str
    status: DeliveryStatus = DeliveryStatus.PENDING
    attempts: int = 0
    next_attempt_at: float
    leased_until: float | None = None
    give_up_at: float
    log: tuple[Attempt, ...] = ()
    occurred_at: float
    created_at: float
    ended_at: float | None = None

    def noted(self, attempt: Attempt) -> tuple[Attempt, ...]:
        """The log with another attempt in it."""
        return (*self.log, attempt)[-MAX_ATTEMPTS_KEPT:]


class Standing(msgspec.Struct, frozen=True):
    """How it goes with a registered receiver: deliveries still to be made, and since when they fail, if they do."""

    pending: int = 0
    failing_since: float | None = None


class Lane(msgspec.Struct, frozen=True):
    """How it goes with a lane whose last attempts failed. `blocked_until`: nothing is sent there before then."""

    lane: str
    failures: int
    failing_since: float
    blocked_until: float

    @property
    def is_broken(self) -> bool:
        return self.failures >= BROKEN_AFTER


def _valid(secret: str, previous: str | None, until: float | None, now: float) -> tuple[str, ...]:
    return (secret,) if previous is None or (until or 0.0) <= now else (secret, previous)
