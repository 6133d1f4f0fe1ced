"""The tables of webhooks: who is told, what is to be told, and who does not listen at present."""

from __future__ import annotations

from typing import ClassVar, Final

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.db.columns import Instant, Json, SafeText
from app.db.models import JsonObject, partial
from app.webhook_records import Attempt

#: Deliveries that are still to be made.
UNDELIVERED: Final = "status = 'pending'"


class WebhookRow(SQLModel, table=True):
    """A registered receiver of events."""

    __tablename__: ClassVar[str] = "webhooks"
    __table_args__: ClassVar[tuple[sa.schema.SchemaItem, ...]] = (
        sa.Index("ix_webhooks_created_at", "created_at", "id"),
    )

    id: str = Field(primary_key=True, sa_type=SafeText)
    url: str = Field(sa_type=SafeText)
    events: list[str] = Field(sa_column=sa.Column("events", Json(tuple[str, ...]), nullable=False))
    description: str | None = Field(sa_type=SafeText)
    secret: str = Field(sa_type=SafeText)
    previous_secret: str | None = Field(sa_type=SafeText)
    previous_until: float | None = Field(sa_type=Instant)
    is_enabled: bool = Field(sa_type=sa.Boolean)
    disabled_reason: str | None = Field(sa_type=SafeText)
    created_at: float = Field(sa_type=Instant)
    updated_at: float = Field(sa_type=Instant)


class WebhookSecretRow(SQLModel, table=True):
    """What signs deliveries to receivers that only a request named: the one, and the one before it."""

    __tablename__: ClassVar[str] = "webhook_secrets"

    name: str = Field(primary_key=True, sa_type=SafeText)
    secret: str = Field(sa_type=SafeText)
    created_at: float = Field(sa_type=Instant)


class DeliveryRow(SQLModel, table=True):
    """An event for one receiver: the outbox while it is pending, the log of deliveries afterwards."""

    __tablename__: ClassVar[str] = "webhook_deliveries"
    __table_args__: ClassVar[tuple[sa.schema.SchemaItem, ...]] = (
        partial("ix_webhook_deliveries_due", "lane", "next_attempt_at", "sequence", where=UNDELIVERED),
        partial("ix_webhook_deliveries_order", "target", "subject", "sequence", where=UNDELIVERED),
        partial("ix_webhook_deliveries_webhook_id", "webhook_id", "created_at", "id", where="webhook_id IS NOT NULL"),
        partial("ix_webhook_deliveries_batch_id", "batch_id", "created_at", "id", where="batch_id IS NOT NULL"),
        partial(
            "ix_webhook_deliveries_generation_id",
            "generation_id",
            "created_at",
            "id",
            where="generation_id IS NOT NULL",
        ),
        partial("ix_webhook_deliveries_ended_at", "ended_at", where="ended_at IS NOT NULL"),
    )

    id: str = Field(primary_key=True, sa_type=SafeText)
    lane: str = Field(sa_type=SafeText)
    target: str = Field(sa_type=SafeText)
    webhook_id: str | None = Field(sa_type=SafeText)
    url: str | None = Field(sa_type=SafeText)
    generation_id: str | None = Field(sa_type=SafeText)
    batch_id: str | None = Field(sa_type=SafeText)
    subject: str = Field(sa_type=SafeText)
    sequence: int = Field(sa_type=sa.BigInteger)
    event: str = Field(sa_type=SafeText)
    news: str = Field(sa_type=SafeText)
    status: str = Field(sa_type=SafeText)
    attempts: int = Field(sa_type=sa.BigInteger)
    next_attempt_at: float = Field(sa_type=Instant)
    leased_until: float | None = Field(sa_type=Instant)
    give_up_at: float = Field(sa_type=Instant)
    log: list[JsonObject] = Field(sa_column=sa.Column("log", Json(tuple[Attempt, ...]), nullable=False))
    occurred_at: float = Field(sa_type=Instant)
    created_at: float = Field(sa_type=Instant)
    ended_at: float | None = Field(sa_type=Instant)


class LaneRow(SQLModel, table=True):
    """A lane of deliveries whose last attempts failed. One that works has no row."""

    __tablename__: ClassVar[str] = "webhook_lanes"

    lane: str = Field(primary_key=True, sa_type=SafeText)
    failures: int = Field(sa_type=sa.BigInteger)
    failing_since: float = Field(sa_type=Instant)
    blocked_until: float = Field(sa_type=Instant)


WEBHOOKS: Final = SQLModel.metadata.tables["webhooks"]
WEBHOOK_SECRETS: Final = SQLModel.metadata.tables["webhook_secrets"]
DELIVERIES: Final = SQLModel.metadata.tables["webhook_deliveries"]
LANES: Final = SQLModel.metadata.tables["webhook_lanes"]
