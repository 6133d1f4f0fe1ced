"""Batches over the wire."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from app.api.links import Links
from app.api.schemas import UUID, GenerationRead, OutputRead, Wire
from app.api.webhook_schemas import BatchWebhookIn
from app.batches import Standing
from app.records import Status

MAX_RUNS = 100_000

Values = Annotated[list[Any], Field(max_length=100_000)]


class BatchCreate(Wire):
    """Generations to start together: `items`, or `base` with what varies, or both; always checked as a whole.

    Every item is what `POST /api/generate` takes, and may have a `key`, your name for it. `base` is what all of them
    have. Each list of `matrix` and each group of `zip` is an axis; every item is made with every combination, `runs`
    times.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"items": [{"key": "a", "prompt": "a lighthouse"}, {"key": "b", "prompt": "a harbour"}]},
                {"base": {"prompt": "a lighthouse", "steps": 4}, "matrix": {"cfg": [4, 7]}, "runs": 2},
            ]
        },
    )

    items: list[dict[str, Any]] | None = Field(
        default=None, description="bodies of generations, each with a `key` or not"
    )
    base: dict[str, Any] | None = Field(default=None, description="what every item has that does not say otherwise")
    matrix: dict[str, Values] | None = Field(default=None, description="fields and their values: every combination")
    zip: list[dict[str, Values]] | None = Field(
        default=None, max_length=100, description="groups of lists of equal length, whose values go together"
    )
    runs: int | None = Field(
        default=None, ge=1, le=MAX_RUNS, strict=True, description="how often each, with another seed every time"
    )
    max_in_flight: int | None = Field(
        default=None, ge=1, le=100_000, strict=True, description="items that may wait for or be at a server at a time"
    )
    priority: int | None = Field(
        default=None, ge=-1_000_000, le=1_000_000, strict=True, description="of items that name none; default -100"
    )
    project_id: str | None = Field(
        default=None, max_length=200, description="of the batch, and of items that name none"
    )
    metadata: dict[str, Any] | None = Field(default=None, description="of the batch itself; returned as it is")
    webhook: BatchWebhookIn | None = Field(
        default=None,
        description="who is told when the batch is over; of events of generations, too, if it names any, for items"
        " that have no webhook of their own",
    )


class BatchRetry(Wire):
    """Which items to try again, beside those that failed."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"includeCanceled": True}]})

    include_canceled: bool | None = Field(default=None, strict=True, description="canceled items, too")


class BatchUrls(Wire):
    """Where to go from here."""

    itself: str = Field(alias="self")
    events: str
    generations: str
    results: str
    archive: str
    cancel: str
    retry: str


class BatchRead(Wire):
    """How a batch stands."""

    id: str = Field(pattern=UUID)
    status: Status = Field(description="over only when every item is: then what became of the worst of them")
    total: int
    counts: dict[Status, int] = Field(description="items by status")
    removed: int = Field(description="items that were deleted; with `counts` they make `total`")
    percentage: float = Field(ge=0, le=100)
    eta_seconds: float | None
    priority: int
    max_in_flight: int | None
    project_id: str | None
    metadata: dict[str, Any]
    created_at: datetime
    completed_at: datetime | None
    urls: BatchUrls

    @classmethod
    def of(cls, standing: Standing, links: Links) -> BatchRead:
        batch = standing.batch
        ended = batch.completed_at
        return cls.model_construct(
            id=batch.id,
            status=standing.status,
            total=batch.total,
            counts={status: standing.counts.get(status, 0) for status in Status},
            removed=standing.removed,
            percentage=standing.percentage,
            eta_seconds=standing.eta_s,
            priority=batch.priority,
            max_in_flight=batch.max_in_flight,
            project_id=batch.project_id,
            metadata=batch.metadata,
            created_at=datetime.fromtimestamp(batch.created_at, UTC),
            completed_at=None if ended is None else datetime.fromtimestamp(ended, UTC),
            urls=_urls(batch.id, links),
        )


class BatchPage(Wire):
    """A page of batches, newest first; `nextCursor` is null on the last one."""

    items: list[BatchRead]
    next_cursor: str | None


class BatchResult(Wire):
    """One line of the results: an item, and what came of it."""

    index: int
    key: str | None
    generation_id: str
    status: Status
    template: str | None
    prompt: str | None
    seed: int | None
    params: dict[str, Any]
    outputs: list[OutputRead]
    error: dict[str, Any] | None

    @classmethod
    def of(cls, read: GenerationRead) -> BatchResult:
        return cls.model_construct(
            index=read.batch_index or 0,
            key=read.item_key,
            generation_id=read.id,
            status=read.status,
            template=read.template,
            prompt=read.prompt,
            seed=read.seed,
            params=read.params,
            outputs=read.outputs,
            error=read.error.model_dump(mode="json", by_alias=True) if read.error else None,
        )


class BatchEventRead(Wire):
    """The `data` of one event of a batch, by its `type`.

    `connected`, `progress` and `complete` carry how the batch stands, and `complete` ends the stream; `item` carries an
    item that has ended, as a line of the results does.
    """

    type: Literal["connected", "progress", "item", "complete"]
    batch_id: str = Field(pattern=UUID)
    item: BatchResult | None = None
    id: str | None = None
    status: Status | None = None
    total: int | None = None
    counts: dict[Status, int] | None = None
    removed: int | None = None
    percentage: float | None = Field(default=None, ge=0, le=100)
    eta_seconds: float | None = None
    priority: int | None = None
    max_in_flight: int | None = None
    project_id: str | None = None
    metadata: dict[str, Any] | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    urls: BatchUrls | None = None


def _urls(batch_id: str, links: Links) -> BatchUrls:
    signed = {name: links.to_batch(batch_id, f"/{name}") for name in ("events", "generations", "results", "archive")}
    plain = {name: f"/api/batches/{batch_id}/{name}" for name in ("cancel", "retry")}
    return BatchUrls(itself=links.to_batch(batch_id, ""), **signed, **plain)
