"""What webhooks can tell of, and what is remembered of each for the telling. Pure.

Owns the closed list of events, and the step from a change of a record to the events it makes. What is kept is thin:
ids, status, outputs without their content; URLs are made when it is sent, for signed ones expire.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from app.batch_records import Batch, Standing
from app.records import ErrorCode, Generation, Output, OutputKind, Status

ENDS: Final = ("generation.succeeded", "generation.failed", "generation.canceled")
OUTPUT: Final = "generation.output"
GENERATION_EVENTS: Final = (*ENDS, "generation.queued", "generation.running", OUTPUT)
BATCH_COMPLETED: Final = "batch.completed"
EVENTS: Final = (*GENERATION_EVENTS, BATCH_COMPLETED)
DEFAULT_EVENTS: Final = (*ENDS, BATCH_COMPLETED)
"""Of an endpoint that names none: the ends."""

TEST: Final = "webhook.test"
"""What an endpoint is sent when somebody asks for a test; never because of anything else."""

MAX_METADATA_CHARS: Final = 4096
"""The caller's metadata goes along as JSON of at most so many characters, or not at all: bodies are thin."""

OUTPUTS_APART: Final = 1_000
"""Numbers between two versions of a record: events of one change keep their order."""

_OF_STATUS: Final = {
    Status.QUEUED: "generation.queued",
    Status.RUNNING: "generation.running",
    Status.SUCCEEDED: "generation.succeeded",
    Status.FAILED: "generation.failed",
    Status.CANCELED: "generation.canceled",
}


class OutputNews(msgspec.Struct, frozen=True, omit_defaults=True):
    """A kept file, or a text, without its content."""

    index: int
    kind: OutputKind
    filename: str
    mime_type: str
    size_bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None


class FailureNews(msgspec.Struct, frozen=True):
    """Why a generation failed."""

    code: ErrorCode
    message: str


class GenerationNews(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A generation at the moment of an event. Of `generation.output`, `outputs` has the one file it is about."""

    id: str
    prompt_id: str
    status: Status
    template: str | None = None
    seed: int | None = None
    attempt: int = 1
    project_id: str | None = None
    batch_id: str | None = None
    batch_index: int | None = None
    item_key: str | None = None
    metadata: dict[str, Any] | None = None
    created_at: float
    started_at: float | None = None
    completed_at: float | None = None
    error: FailureNews | None = None
    outputs: tuple[OutputNews, ...] = ()


class BatchNews(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """A batch at its end."""

    id: str
    status: Status
    total: int
    counts: dict[Status, int]
    project_id: str | None = None
    metadata: dict[str, Any] | None = None
    created_at: float
    completed_at: float


class Milestone(msgspec.Struct, frozen=True):
    """An event and what is remembered of it. `sequence` orders those of one generation."""

    event: str
    sequence: int
    news: GenerationNews | BatchNews


def may_matter(before: Generation, after: Generation) -> bool:
    """Whether a change can be an event at all. Cheap: it is asked of every change."""
    return before.status is not after.status or len(after.outputs) > len(before.outputs)


def events_of(before: Generation, after: Generation) -> tuple[str, ...]:
    """The names of the events a change makes, in their order: the status, then the files that came under it."""
    fresh = 0 if after.is_terminal else max(0, len(after.outputs) - len(before.outputs))
    turned = _OF_STATUS.get(after.status) if before.status is not after.status else None
    return (*([] if turned is None else [turned]), *[OUTPUT] * fresh)


def milestones(before: Generation, after: Generation) -> tuple[Milestone, ...]:
    """The events a change makes. A status that was passed between two writes is not among them."""
    first = after.version * OUTPUTS_APART
    found, fresh = [], iter(after.outputs[len(before.outputs) :])
    for number, event in enumerate(events_of(before, after)):
        outputs = (next(fresh),) if event == OUTPUT else after.outputs
        sequence = first + min(number, OUTPUTS_APART - 1)
        found.append(Milestone(event, sequence, _generation_news(after, outputs)))
    return tuple(found)


def batch_completed(batch: Batch, counts: Mapping[Status, int], at: float) -> Milestone:
    """The end of a batch, at that time (seconds since the epoch)."""
    done = msgspec.structs.replace(batch, completed_at=at)
    news = BatchNews(
        id=batch.id,
        status=Standing(done, counts).status,
        total=batch.total,
        counts=dict(counts),
        project_id=batch.project_id,
        metadata=_thin(batch.metadata),
        created_at=batch.created_at,
        completed_at=at,
    )
    return Milestone(BATCH_COMPLETED, round(at * 1_000_000), news)


def _generation_news(record: Generation, outputs: tuple[Output, ...]) -> GenerationNews:
    error = record.error
    return GenerationNews(
        id=record.id,
        prompt_id=record.prompt_id,
        status=record.status,
        template=record.template,
        seed=record.seed,
        attempt=record.attempt,
        project_id=record.project_id,
        batch_id=record.batch_id,
        batch_index=record.batch_index,
        item_key=record.item_key,
        metadata=_thin(record.metadata),
        created_at=record.created_at,
        started_at=record.started_at,
        completed_at=record.completed_at,
        error=None if error is None else FailureNews(error.code, error.message),
        outputs=tuple(map(_output_news, outputs)),
    )


def _output_news(output: Output) -> OutputNews:
    return OutputNews(
        index=output.index,
        kind=output.kind,
        filename=output.filename,
        mime_type=output.mime_type,
        size_bytes=output.size_bytes,
        sha256=output.sha256,
        width=output.width,
        height=output.height,
    )


def _thin(metadata: dict[str, Any]) -> dict[str, Any] | None:
    try:
        length = len(msgspec.json.encode(metadata))
    except (UnicodeEncodeError, OverflowError, RecursionError):  # Half characters: no receiver could read them.
        return None
    return metadata if length <= MAX_METADATA_CHARS else None
