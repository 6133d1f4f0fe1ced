"""What generations draw on: uploads, templates of callers' own, projects, and how long runs took.

Revision: 20261122_library, after 20261121_generations. Created: 2026-11-21.
"""

import sqlalchemy as sa
from alembic import op

revision = "20261122_library"
down_revision = "20261121_generations"
branch_labels = None
depends_on = None

INSTANT = sa.TIMESTAMP(timezone=True).with_variant(sa.BigInteger(), "sqlite")
JSON = sa.JSON().with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("mime_type", sa.Text(), nullable=False),
        sa.Column("filename", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.BigInteger()),
        sa.Column("height", sa.BigInteger()),
        sa.Column("location", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.UniqueConstraint("sha256", name="uq_uploads_sha256"),
    )
    op.create_table(
        "templates",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("removed_at", INSTANT),
        sa.Column("definition", JSON, nullable=False),
        sa.Column("workflow", JSON, nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name="pk_templates"),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("title", sa.Text()),
        sa.Column("metadata", JSON, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.create_table(
        "timings",
        sa.Column("profile", sa.Text(), nullable=False),
        sa.Column("samples", JSON, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("profile", name="pk_timings"),
    )


def downgrade() -> None:
    for table in ("timings", "projects", "templates", "uploads"):
        op.drop_table(table)
