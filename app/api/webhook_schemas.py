"""Webhooks over the wire: who is to be told, and what was delivered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, field_validator

from app import clock
from app.api.schemas import UUID, Wire
from app.records import WebhookTarget
from app.webhook_news import BATCH_COMPLETED, DEFAULT_EVENTS, ENDS
from app.webhook_records import Attempt, Delivery, DeliveryStatus, Endpoint, ServiceSecret, Standing
from app.webhook_urls import MAX_URL_CHARS, parsed

GenerationEvent = Literal[
    "generation.succeeded",
    "generation.failed",
    "generation.canceled",
    "generation.queued",
    "generation.running",
    "generation.output",
]
AnyEvent = Literal[GenerationEvent, "batch.completed"]

MESSAGE_ID = r"^msg_[0-9a-f]{32}$"

_URL_HELP = (
    "`https://host/path`; only public hosts on port 80, 443, 8080 or 8443, and those in COMFY_RELAY_WEBHOOK_ALLOW"
)
Url = Annotated[str, Field(max_length=MAX_URL_CHARS, description=_URL_HELP, examples=["https://example.com/hooks"])]


def _checked(url: str | None) -> str | None:
    return None if url is None else str(parsed(url))


class WebhookIn(Wire):
    """Who is told of one generation."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: list[GenerationEvent] | None = Field(
        default=None, min_length=1, max_length=20, description="of which events; default: its end, whichever that is"
    )

    _check_url = field_validator("url")(_checked)

    def to_target(self) -> WebhookTarget:
        return WebhookTarget(self.url, tuple(dict.fromkeys(self.events or ENDS)))


class BatchWebhookIn(Wire):
    """Who is told of a batch."""

    model_config = ConfigDict(extra="forbid")

    url: Url
    events: list[AnyEvent] | None = Field(
        default=None, min_length=1, max_length=20, description="of which events; default: `batch.completed`"
    )

    _check_url = field_validator("url")(_checked)

    def to_target(self) -> WebhookTarget:
        return WebhookTarget(self.url, tuple(dict.fromkeys(self.events or [BATCH_COMPLETED])))

    def of_items(self) -> dict[str, Any] | None:
        """The same for each item that has none of its own; None: nobody wants to be told of items."""
        events = [event for event in self.events or () if event != BATCH_COMPLETED]
        return {"url": self.url, "events": events} if events else None


class WebhookWrite(Wire):
    """A receiver to register."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"url": "https://example.com/hooks", "description": "shop"}]}
    )

    url: Url
    events: list[AnyEvent] | None = Field(
        default=None, min_length=1, max_length=20, description="of which events; default: every end"
    )
    description: str | None = Field(default=None, max_length=500)
    enabled: bool = Field(default=True, strict=True)

    _check_url = field_validator("url")(_checked)

    @property
    def wanted(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.events or DEFAULT_EVENTS))


class WebhookChange(Wire):
    """What to change of a receiver; what is not sent stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"enabled": False}]})

    url: Url | None = None
    events: list[AnyEvent] | None = Field(default=None, min_length=1, max_length=20)
    description: str | None = Field(default=None, max_length=500)
    enabled: bool | None = Field(default=None, strict=True)

    _check_url = field_validator("url")(_checked)

    @property
    def changes(self) -> dict[str, Any]:
        """The fields that were sent, by the names of an `Endpoint`."""
        given: dict[str, Any] = {"url": self.url, "description": self.description, "is_enabled": self.enabled}
        if self.events is not None:
            given["events"] = tuple(dict.fromkeys(self.events))
        return {name: value for name, value in given.items() if value is not None}


class WebhookRead(Wire):
    """A registered receiver, without its secret."""

    id: str = Field(pattern=UUID)
    url: str
    events: list[AnyEvent]
    description: str | None
    enabled: bool
    disabled_reason: str | None = Field(description="why the service itself disabled it")
    created_at: datetime
    updated_at: datetime
    pending: int = Field(description="deliveries still to be made")
    failing_since: datetime | None = Field(description="since when none succeeds; null: it works")

    @classmethod
    def of(cls, endpoint: Endpoint, standing: Standing) -> WebhookRead:
        return cls(**_read(endpoint, standing))


class WebhookMade(WebhookRead):
    """A receiver with its secret, which is shown this one time."""

    secret: str = Field(description="verifies what it gets: keep it, it is not shown again", examples=["whsec_..."])

    @classmethod
    def of(cls, endpoint: Endpoint, standing: Standing) -> WebhookMade:
        return cls(**_read(endpoint, standing), secret=endpoint.secret)


class WebhookPage(Wire):
    """A page of receivers, newest first; `nextCursor` is null on the last one."""

    items: list[WebhookRead]
    next_cursor: str | None


class SecretRead(Wire):
    """A secret. `previousUntil`: until then deliveries are also signed with the one before."""

    secret: str
    previous_until: datetime | None = None

    @classmethod
    def of(cls, known: ServiceSecret | Endpoint) -> SecretRead:
        until = known.previous_until
        signs = len(known.secrets_at(clock.now())) > 1
        return cls(secret=known.secret, previous_until=_time(until) if signs and until is not None else None)


class AttemptRead(Wire):
    """One try. `status` is the HTTP status that came, null if none did.

    `url` is where it went, without its query; `answer` is the beginning of what was answered to a failure.
    """

    at: datetime
    duration_seconds: float
    status: int | None
    error: str | None
    url: str | None
    answer: str | None

    @classmethod
    def of(cls, attempt: Attempt) -> AttemptRead:
        return cls(
            at=_time(attempt.at),
            duration_seconds=attempt.duration_s,
            status=attempt.status,
            error=attempt.error,
            url=attempt.url,
            answer=attempt.answer,
        )


class DeliveryRead(Wire):
    """An event for one receiver, and how often that was tried: the newest attempts, oldest first."""

    id: str = Field(pattern=MESSAGE_ID, description="the `webhook-id`, the same in every attempt")
    webhook_id: str | None = Field(description="the registered receiver; null for one that a request named")
    url: str | None = Field(description="of a receiver that a request named, without its query")
    event: str
    status: DeliveryStatus
    generation_id: str | None
    batch_id: str | None
    attempts: list[AttemptRead]
    occurred_at: datetime
    next_attempt_at: datetime | None = Field(
        description="while it is pending; later where an earlier one has to go first"
    )
    ended_at: datetime | None

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryRead:
        is_pending = delivery.status is DeliveryStatus.PENDING
        return cls(
            id=delivery.id,
            webhook_id=delivery.webhook_id,
            url=None if delivery.url is None else delivery.lane,
            event=delivery.event,
            status=delivery.status,
            generation_id=delivery.generation_id,
            batch_id=delivery.batch_id,
            attempts=[AttemptRead.of(each) for each in delivery.log],
            occurred_at=_time(delivery.occurred_at),
            next_attempt_at=_time(delivery.next_attempt_at) if is_pending else None,
            ended_at=None if delivery.ended_at is None else _time(delivery.ended_at),
        )


class DeliveryPage(Wire):
    """A page of deliveries, newest first; `nextCursor` is null on the last one."""

    items: list[DeliveryRead]
    next_cursor: str | None


class RedeliveryWrite(Wire):
    """Which failed deliveries to make again."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"since": "2027-01-31T00:00:00Z"}]})

    since: datetime | None = Field(default=None, description="only those of events since then; default: all in the log")


class RedeliveryRead(Wire):
    """How many deliveries will be made again."""

    count: int


def _read(endpoint: Endpoint, standing: Standing) -> dict[str, Any]:
    return {
        "id": endpoint.id,
        "url": endpoint.url,
        "events": list(endpoint.events),
        "description": endpoint.description,
        "enabled": endpoint.is_enabled,
        "disabled_reason": endpoint.disabled_reason,
        "created_at": _time(endpoint.created_at),
        "updated_at": _time(endpoint.updated_at),
        "pending": standing.pending,
        "failing_since": None if standing.failing_since is None else _time(standing.failing_since),
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
