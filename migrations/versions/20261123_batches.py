"""Batches, and where each generation of one stands in it.

Revision: 20261123_batches, after 20261122_library. Created: 2026-11-21.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "20261123_batches"
down_revision = "20261122_library"
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")

WAITING_COLUMNS: list[str | sa.TextClause] = ["status", sa.text("priority DESC"), "created_at", "id"]


def upgrade() -> None:
    op.create_table(
        "batches",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Text()),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("max_in_flight", sa.BigInteger()),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("touched_at", INSTANT, nullable=False),
        sa.Column("accepted_at", INSTANT),
        sa.Column("cancel_requested_at", INSTANT),
        sa.Column("completed_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name="pk_batches"),
    )
    _create_index("batches", "created_at", ["created_at", "id"])
    _create_index("batches", "unfinished", ["created_at", "id"], where="completed_at IS NULL")
    _create_index("batches", "idempotency_key", ["idempotency_key"], where="idempotency_key IS NOT NULL", unique=True)
    op.drop_index("ix_generations_waiting", "generations")
    _add_columns(
        batch_index=(sa.BigInteger(), "batch_id"),
        item_key=(sa.Text(), "batch_index"),
        held_at=(INSTANT, "owner_seen_at"),
    )
    for column in ("batch_index", "item_key"):
        _create_index("generations", column, ["batch_id", column], where=f"{column} IS NOT NULL", unique=True)
    _create_index("generations", "held", ["batch_id", "created_at", "id"], where="held_at IS NOT NULL")
    _create_index("generations", "batch_status", ["batch_id", "status"], where="batch_id IS NOT NULL")
    ended = "batch_id IS NOT NULL AND completed_at IS NOT NULL"
    _create_index("generations", "batch_ended", ["batch_id", "completed_at", "id"], where=ended)
    late = "deadline_at IS NOT NULL AND completed_at IS NULL"
    _create_index("generations", "deadline_at", ["deadline_at"], where=late)
    _create_index("generations", "waiting", WAITING_COLUMNS, where="backend IS NULL AND held_at IS NULL")


def _add_columns(**columns: tuple[sa.types.TypeEngine[Any], str]) -> None:
    """Add columns, each behind another: SQLite reads those behind the large ones only by walking overflow pages."""
    if op.get_bind().dialect.name == "sqlite":
        with op.batch_alter_table("generations", recreate="always") as table:
            for name, (kind, after) in columns.items():
                table.add_column(sa.Column(name, kind), insert_after=after)
    else:
        for name, (kind, _) in columns.items():
            op.add_column("generations", sa.Column(name, kind))


def _create_index(
    table: str, name: str, columns: list[str | sa.TextClause], where: str | None = None, *, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        f"ix_{table}_{name}", table, columns, unique=unique, sqlite_where=condition, postgresql_where=condition
    )


def downgrade() -> None:
    for name in ("waiting", "deadline_at", "batch_ended", "batch_status", "held", "item_key", "batch_index"):
        op.drop_index(f"ix_generations_{name}", "generations")
    with op.batch_alter_table("generations") as table:
        for name in ("held_at", "item_key", "batch_index"):
            table.drop_column(name)
    _create_index("generations", "waiting", WAITING_COLUMNS, where="backend IS NULL")
    op.drop_table("batches")
