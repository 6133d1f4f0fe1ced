"""Webhooks: receivers, the outbox of deliveries, and who is told of one generation or batch.

Revision: 20261124_webhooks, after 20261123_batches. Created: 2026-11-21.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261124_webhooks"
down_revision = "20261123_batches"
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")

WAITING_COLUMNS: list[str | sa.TextClause] = ["status", sa.text("priority DESC"), "created_at", "id"]


def upgrade() -> None:
    op.create_table(
        "webhooks",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", JSON, nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("previous_secret", sa.Text()),
        sa.Column("previous_until", INSTANT),
        sa.Column("is_enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text()),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
    )
    _create_index("webhooks", "created_at", ["created_at", "id"])
    op.create_table(
        "webhook_secrets",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_webhook_secrets"),
    )
    _create_deliveries()
    op.create_table(
        "webhook_lanes",
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("failing_since", INSTANT, nullable=False),
        sa.Column("blocked_until", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("lane", name="pk_webhook_lanes"),
    )
    op.add_column("batches", sa.Column("webhook", JSON))
    if op.get_bind().dialect.name == "sqlite":
        # Before the large columns: SQLite reads what is behind them only by walking overflow pages.
        op.drop_index("ix_generations_waiting", "generations")
        with op.batch_alter_table("generations", recreate="always") as table:
            table.add_column(sa.Column("webhook", sa.Text()), insert_after="completed_at")
        _create_index("generations", "waiting", WAITING_COLUMNS, where="backend IS NULL AND held_at IS NULL")
    else:
        op.add_column("generations", sa.Column("webhook", JSON))


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("lane", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("webhook_id", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("generation_id", sa.Text()),
        sa.Column("batch_id", sa.Text()),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("news", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_attempt_at", INSTANT, nullable=False),
        sa.Column("leased_until", INSTANT),
        sa.Column("give_up_at", INSTANT, nullable=False),
        sa.Column("log", JSON, nullable=False),
        sa.Column("occurred_at", INSTANT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("ended_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
    )
    pending = "status = 'pending'"
    _create_index("webhook_deliveries", "due", ["lane", "next_attempt_at", "sequence"], where=pending)
    _create_index("webhook_deliveries", "order", ["target", "subject", "sequence"], where=pending)
    for owner in ("webhook_id", "batch_id", "generation_id"):
        _create_index("webhook_deliveries", owner, [owner, "created_at", "id"], where=f"{owner} IS NOT NULL")
    _create_index("webhook_deliveries", "ended_at", ["ended_at"], where="ended_at IS NOT NULL")


def _create_index(table: str, name: str, columns: list[str | sa.TextClause], where: str | None = None) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(f"ix_{table}_{name}", table, columns, sqlite_where=condition, postgresql_where=condition)


def downgrade() -> None:
    op.drop_index("ix_generations_waiting", "generations")
    with op.batch_alter_table("generations") as table:
        table.drop_column("webhook")
    _create_index("generations", "waiting", WAITING_COLUMNS, where="backend IS NULL AND held_at IS NULL")
    with op.batch_alter_table("batches") as table:
        table.drop_column("webhook")
    for table_name in ("webhook_lanes", "webhook_deliveries", "webhook_secrets", "webhooks"):
        op.drop_table(table_name)
