"""The tables. Owns their columns and indexes; never queries them, and no row object leaves this package.

Every field of `app.records.Generation` is a column of the same name; `rows.py` and a test rely on that.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

from app.db.columns import Instant, Json, SafeText, StatusText, WideInteger
from app.records import Failure, InputFile, Output, Status, WebhookTarget

JsonObject = dict[str, Any]

# Names that do not depend on the database, so that a later migration can drop what this one made.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

#: The rows nobody has claimed. Literal SQL: a planner uses a partial index only where it can read the condition.
UNCLAIMED: Final = "status = 'pending' AND backend IS NULL"
#: Those whose turn may come. What a batch holds back is not among them.
WAITING: Final = f"{UNCLAIMED} AND held_at IS NULL"
#: Those a deadline may end.
LATE: Final = "deadline_at IS NOT NULL AND completed_at IS NULL"
ENDED_ITEM: Final = "batch_id IS NOT NULL AND completed_at IS NOT NULL"
UNFINISHED_BATCH: Final = "completed_at IS NULL"


def partial(name: str, *columns: Any, where: str, unique: bool = False) -> sa.Index:
    """An index of the rows for which `where` holds, the same on both databases."""
    condition = sa.text(where)
    return sa.Index(name, *columns, unique=unique, sqlite_where=condition, postgresql_where=condition)


class GenerationRow(SQLModel, table=True):
    """A generation with its workflow and its request, which only their own queries read."""

    __tablename__: ClassVar[str] = "generations"
    # Partial wherever a column is usually null: an index that skips a row costs its insert nothing.
    __table_args__: ClassVar[tuple[sa.schema.SchemaItem, ...]] = (
        sa.UniqueConstraint("prompt_id"),
        sa.Index("ix_generations_status", "status", "created_at", "id"),
        sa.Index("ix_generations_created_at", "created_at", "id"),
        partial("ix_generations_project_id", "project_id", "created_at", "id", where="project_id IS NOT NULL"),
        partial("ix_generations_batch_id", "batch_id", "created_at", "id", where="batch_id IS NOT NULL"),
        partial("ix_generations_idempotency_key", "idempotency_key", where="idempotency_key IS NOT NULL", unique=True),
        partial("ix_generations_template", "template", "created_at", "id", where="template IS NOT NULL"),
        partial("ix_generations_deadline_at", "deadline_at", where=LATE),
        partial("ix_generations_batch_index", "batch_id", "batch_index", where="batch_index IS NOT NULL", unique=True),
        partial("ix_generations_item_key", "batch_id", "item_key", where="item_key IS NOT NULL", unique=True),
        partial("ix_generations_held", "batch_id", "created_at", "id", where="held_at IS NOT NULL"),
        partial("ix_generations_batch_status", "batch_id", "status", where="batch_id IS NOT NULL"),
        partial("ix_generations_batch_ended", "batch_id", "completed_at", "id", where=ENDED_ITEM),
    )

    id: str = Field(primary_key=True, sa_type=SafeText)
    prompt_id: str = Field(sa_type=SafeText)
    status: Status = Field(sa_type=StatusText)
    version: int = Field(sa_type=sa.BigInteger)
    attempt: int = Field(sa_type=sa.BigInteger)
    template: str | None = Field(sa_type=SafeText)
    template_version: int | None = Field(sa_type=sa.BigInteger)
    params: JsonObject = Field(sa_column=sa.Column("params", Json(JsonObject), nullable=False))
    prompt_text: str | None = Field(sa_type=SafeText)
    seed: int | None = Field(sa_type=WideInteger)
    priority: int = Field(sa_type=sa.BigInteger)
    force: bool = Field(sa_type=sa.Boolean)
    keep_temporary: bool = Field(sa_type=sa.Boolean)
    project_id: str | None = Field(sa_type=SafeText)
    batch_id: str | None = Field(sa_type=SafeText)
    batch_index: int | None = Field(sa_type=sa.BigInteger)
    item_key: str | None = Field(sa_type=SafeText)
    # The attribute `metadata` of a table class is SQLAlchemy's own.
    caller_metadata: JsonObject = Field(sa_column=sa.Column("metadata", Json(JsonObject), nullable=False))
    inputs: list[JsonObject] = Field(sa_column=sa.Column("inputs", Json(tuple[InputFile, ...]), nullable=False))
    able: str | None = Field(sa_type=SafeText)
    deadline_at: float | None = Field(sa_type=Instant)
    idempotency_key: str | None = Field(sa_type=SafeText)
    fingerprint: str | None = Field(sa_type=SafeText)
    backend: str | None = Field(sa_type=SafeText)
    client_id: str | None = Field(sa_type=SafeText)
    owner: str | None = Field(sa_type=SafeText)
    step: int = Field(sa_type=sa.BigInteger)
    total_steps: int = Field(sa_type=sa.BigInteger)
    percentage: float = Field(sa_type=sa.Double)
    outputs: list[JsonObject] = Field(sa_column=sa.Column("outputs", Json(tuple[Output, ...]), nullable=False))
    outputs_reused: bool = Field(sa_type=sa.Boolean)
    error: JsonObject | None = Field(sa_column=sa.Column("error", Json(Failure)))
    node_errors: JsonObject | None = Field(sa_column=sa.Column("node_errors", Json(JsonObject)))
    created_at: float = Field(sa_type=Instant)
    queued_at: float | None = Field(sa_type=Instant)
    started_at: float | None = Field(sa_type=Instant)
    completed_at: float | None = Field(sa_type=Instant)
    webhook: JsonObject | None = Field(sa_column=sa.Column("webhook", Json(WebhookTarget)))
    #: When the owning replica last said it is alive; an old stamp lets another replica adopt the row.
    owner_seen_at: float | None = Field(sa_type=Instant)
    #: Since when its batch holds it back: it is on record, and its turn does not come yet.
    held_at: float | None = Field(sa_type=Instant)
    # Large, so last: SQLite then reads the columns above without walking their overflow pages.
    workflow: JsonObject = Field(sa_column=sa.Column("workflow", Json(JsonObject), nullable=False))
    request: JsonObject = Field(sa_column=sa.Column("request", Json(JsonObject), nullable=False))


class UploadRow(SQLModel, table=True):
    """A file somebody gave us to take in. One row per content: the same bytes again are the same upload."""

    __tablename__: ClassVar[str] = "uploads"
    __table_args__: ClassVar[tuple[sa.schema.SchemaItem, ...]] = (sa.UniqueConstraint("sha256"),)

    id: str = Field(primary_key=True, sa_type=SafeText)
    sha256: str = Field(sa_type=SafeText)
    kind: str = Field(sa_type=SafeText)
    mime_type: str = Field(sa_type=SafeText)
    filename: str = Field(sa_type=SafeText)
    size_bytes: int = Field(sa_type=sa.BigInteger)
    width: int | None = Field(sa_type=sa.BigInteger)
    height: int | None = Field(sa_type=sa.BigInteger)
    location: str = Field(sa_type=SafeText)
    created_at: float = Field(sa_type=Instant)


class AssetRow(SQLModel, table=True):
    """A caller's name for an upload. Several may name one; the upload stays when they are gone."""

    __tablename__: ClassVar[str] = "assets"
    __table_args__: ClassVar[tuple[sa.schema.SchemaItem, ...]] = (
        sa.Index("ix_assets_hash", "hash"),
        partial("ix_assets_idempotency_key", "idempotency_key", where="idempotency_key IS NOT NULL", unique=True),
    )

    id: str = Field(primary_key=True, sa_type=SafeText)
    upload_id: str = Field(sa_type=SafeText)
    hash: str = Field(sa_type=SafeText)
    file_path: str = Field(sa_type=SafeText)
    idempotency_key: str | None = Field(sa_type=SafeText)
    created_at: float = Field(sa_type=Instant)


class TemplateRow(SQLModel, table=True):
    """A version of a caller's own template. What ran stays readable: a removed template keeps its rows."""

    __tablename__: ClassVar[str] = "templates"

    name: str = Field(primary_key=True, sa_type=SafeText)
    version: int = Field(primary_key=True, sa_type=sa.BigInteger)
    created_at: float = Field(sa_type=Instant)
    removed_at: float | None = Field(sa_type=Instant)
    definition: JsonObject = Field(sa_column=sa.Column("definition", Json(JsonObject), nullable=False))
    workflow: JsonObject = Field(sa_column=sa.Column("workflow", Json(JsonObject), nullable=False))


class ProjectRow(SQLModel, table=True):
    """A caller's name for generations that belong together."""

    __tablename__: ClassVar[str] = "projects"

    id: str = Field(primary_key=True, sa_type=SafeText)
    title: str | None = Field(sa_type=SafeText)
    # The attribute `metadata` of a table class is SQLAlchemy's own.
    caller_metadata: JsonObject = Field(sa_column=sa.Column("metadata", Json(JsonObject), nullable=False))
    created_at: float = Field(sa_type=Instant)


class BatchRow(SQLModel, table=True):
    """Generations submitted together. They name it; how many stand where is counted, not stored."""

    __tablename__: ClassVar[str] = "batches"
    __table_args__: ClassVar[tuple[sa.schema.SchemaItem, ...]] = (
        sa.Index("ix_batches_created_at", "created_at", "id"),
        partial("ix_batches_unfinished", "created_at", "id", where=UNFINISHED_BATCH),
        partial("ix_batches_idempotency_key", "idempotency_key", where="idempotency_key IS NOT NULL", unique=True),
    )

    id: str = Field(primary_key=True, sa_type=SafeText)
    idempotency_key: str | None = Field(sa_type=SafeText)
    fingerprint: str = Field(sa_type=SafeText)
    project_id: str | None = Field(sa_type=SafeText)
    # The attribute `metadata` of a table class is SQLAlchemy's own.
    caller_metadata: JsonObject = Field(sa_column=sa.Column("metadata", Json(JsonObject), nullable=False))
    priority: int = Field(sa_type=sa.BigInteger)
    max_in_flight: int | None = Field(sa_type=sa.BigInteger)
    total: int = Field(sa_type=sa.BigInteger)
    created_at: float = Field(sa_type=Instant)
    #: When somebody last added to it: one that was never accepted and that nobody adds to is removed.
    touched_at: float = Field(sa_type=Instant)
    accepted_at: float | None = Field(sa_type=Instant)
    cancel_requested_at: float | None = Field(sa_type=Instant)
    completed_at: float | None = Field(sa_type=Instant)
    webhook: JsonObject | None = Field(sa_column=sa.Column("webhook", Json(WebhookTarget)))


class TimingRow(SQLModel, table=True):
    """How long the nodes of a kind of run took lately. `profile` names what is alike enough to be compared."""

    __tablename__: ClassVar[str] = "timings"

    profile: str = Field(primary_key=True, sa_type=SafeText)
    samples: JsonObject = Field(sa_column=sa.Column("samples", Json(JsonObject), nullable=False))
    updated_at: float = Field(sa_type=Instant)


GENERATIONS: Final = SQLModel.metadata.tables["generations"]
UPLOADS: Final = SQLModel.metadata.tables["uploads"]
ASSETS: Final = SQLModel.metadata.tables["assets"]
TEMPLATES: Final = SQLModel.metadata.tables["templates"]
PROJECTS: Final = SQLModel.metadata.tables["projects"]
TIMINGS: Final = SQLModel.metadata.tables["timings"]
BATCHES: Final = SQLModel.metadata.tables["batches"]
_C: Final = GENERATIONS.c
_FREE: Final = "backend IS NULL AND held_at IS NULL"
# By status first although that is always the same: without it SQLite takes the index by status, and sorts.
partial("ix_generations_waiting", _C.status, _C.priority.desc(), _C.created_at, _C.id, where=_FREE)
