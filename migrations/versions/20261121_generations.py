"""Generations, with what was asked for and what came of it.

Revision: 20261121_generations, the first. Created: 2026-11-21.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261121_generations"
down_revision = None
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "generations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("prompt_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), nullable=False),
        sa.Column("template", sa.Text()),
        sa.Column("template_version", sa.BigInteger()),
        sa.Column("params", JSON, nullable=False),
        sa.Column("prompt_text", sa.Text()),
        sa.Column("seed", sa.Text()),
        sa.Column("priority", sa.BigInteger(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("keep_temporary", sa.Boolean(), nullable=False),
        sa.Column("project_id", sa.Text()),
        sa.Column("batch_id", sa.Text()),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("inputs", JSON, nullable=False),
        sa.Column("able", sa.Text()),
        sa.Column("deadline_at", INSTANT),
        sa.Column("idempotency_key", sa.Text()),
        sa.Column("fingerprint", sa.Text()),
        sa.Column("backend", sa.Text()),
        sa.Column("client_id", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("total_steps", sa.BigInteger(), nullable=False),
        sa.Column("percentage", sa.Double(), nullable=False),
        sa.Column("outputs", JSON, nullable=False),
        sa.Column("outputs_reused", sa.Boolean(), nullable=False),
        sa.Column("error", JSON),
        sa.Column("node_errors", JSON),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("queued_at", INSTANT),
        sa.Column("started_at", INSTANT),
        sa.Column("completed_at", INSTANT),
        sa.Column("owner_seen_at", INSTANT),
        sa.Column("workflow", JSON, nullable=False),
        sa.Column("request", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_generations"),
        sa.UniqueConstraint("prompt_id", name="uq_generations_prompt_id"),
    )
    _create_indexes()


def _create_indexes() -> None:
    _create_index("waiting", ["status", sa.text("priority DESC"), "created_at", "id"], where="backend IS NULL")
    _create_index("status", ["status", "created_at", "id"])
    _create_index("created_at", ["created_at", "id"])
    for column in ("project_id", "batch_id", "template"):
        _create_index(column, [column, "created_at", "id"], where=f"{column} IS NOT NULL")
    _create_index("idempotency_key", ["idempotency_key"], where="idempotency_key IS NOT NULL", unique=True)


def _create_index(
    name: str, columns: list[str | sa.TextClause], where: str | None = None, *, unique: bool = False
) -> None:
    condition = None if where is None else sa.text(where)
    op.create_index(
        f"ix_generations_{name}",
        "generations",
        columns,
        unique=unique,
        sqlite_where=condition,
        postgresql_where=condition,
    )


def downgrade() -> None:
    op.drop_table("generations")
