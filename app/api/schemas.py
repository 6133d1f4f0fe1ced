"""What goes over the wire: the shapes of requests and answers, as OpenAPI shows them.

camelCase out; camelCase or snake_case in. Built from records by `of`, never the other way round.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from app.api.links import Links
from app.generations import Shown
from app.records import ErrorCode, Output, OutputKind, Status

UUID: Final = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"

EXAMPLE_ID: Final = "6f1c1f0e-3f0b-4a6e-9d0a-0c8f6f0f7a11"


class Wire(BaseModel):
    """Immutable, camelCase outside, snake_case inside."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)


class OutputRead(Wire):
    """A kept file, or a text."""

    index: int
    kind: OutputKind
    url: str
    thumbnail_url: str | None = Field(
        default=None, description="a small WebP of an image, or of a video's poster frame where there is one"
    )
    filename: str
    mime_type: str
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = Field(default=None, description="of videos, sounds and animated pictures")
    frames: int | None = Field(default=None, description="of animated pictures; null for still ones")
    size_bytes: int
    sha256: str
    node_id: str
    text: str | None = Field(default=None, description="the text itself, for texts that are no file")

    @classmethod
    def of(cls, output: Output, url: str, index: int, thumbnail_url: str | None) -> OutputRead:
        return cls.model_construct(
            index=index,
            kind=output.kind,
            url=url,
            thumbnail_url=thumbnail_url,
            filename=output.filename,
            mime_type=output.mime_type,
            width=output.width,
            height=output.height,
            duration_seconds=output.duration_s,
            frames=output.frames,
            size_bytes=output.size_bytes,
            sha256=output.sha256,
            node_id=output.node_id,
            text=output.text,
        )


class FailureRead(Wire):
    """Why a generation failed."""

    code: ErrorCode
    message: str
    node_id: str | None = None
    node_type: str | None = None
    exception_type: str | None = None
    node_errors: dict[str, Any] | None = None


class Urls(Wire):
    """Where to go from here."""

    itself: str = Field(alias="self")
    events: str
    cancel: str


class GenerationRead(Wire):
    """The authoritative record of a generation, with its live progress."""

    id: str = Field(pattern=UUID, examples=[EXAMPLE_ID])
    comfyui_prompt_id: str = Field(description="ComfyUI's id of it; never null")
    status: Status
    template: str | None
    template_version: int | None = Field(description="of a caller's own template; null for built-in ones")
    prompt: str | None
    params: dict[str, Any]
    seed: int | None
    step: int = Field(ge=0, description="sampling steps done")
    total_steps: int = Field(ge=0)
    percentage: float = Field(ge=0, le=100, description="never falls; 100 only when it succeeded")
    queue_position: int | None = Field(description="1 is next")
    eta_seconds: float | None
    message: str = Field(description="one sentence for a person")
    images: list[OutputRead]
    image_urls: list[str]
    outputs: list[OutputRead]
    error: FailureRead | None
    node_errors: dict[str, Any] | None = Field(description="what ComfyUI dropped from the workflow and why")
    backend: str | None
    attempt: int
    outputs_reused: bool = Field(description="ComfyUI answered wholly from its cache")
    project_id: str | None
    batch_id: str | None
    batch_index: int | None = Field(description="its place in its batch, from 0 on")
    item_key: str | None = Field(description="the caller's name for it in its batch")
    metadata: dict[str, Any]
    priority: int
    deadline_at: datetime | None = Field(description="when it will have failed as `timed_out`")
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    completed_at: datetime | None
    duration_seconds: float | None
    urls: Urls

    @classmethod
    def of(cls, shown: Shown, links: Links) -> GenerationRead:
        record, moment = shown.record, shown.moment
        images = [_image(record.id, number, image, links) for number, image in enumerate(record.images)]
        ended, started = record.completed_at, record.started_at
        return cls.model_construct(
            id=record.id,
            comfyui_prompt_id=record.prompt_id,
            status=moment.status,
            template=record.template,
            template_version=record.template_version,
            prompt=record.prompt_text,
            params=record.params,
            seed=record.seed,
            step=moment.step,
            total_steps=moment.total_steps,
            percentage=moment.percentage,
            queue_position=moment.queue_position,
            eta_seconds=moment.eta_seconds,
            message=moment.message,
            images=images,
            image_urls=[image.url for image in images],
            outputs=[_output(record.id, output, links) for output in record.outputs],
            error=FailureRead.model_validate(record.error, from_attributes=True) if record.error else None,
            node_errors=record.node_errors,
            backend=record.backend,
            attempt=record.attempt,
            outputs_reused=record.outputs_reused,
            project_id=record.project_id,
            batch_id=record.batch_id,
            batch_index=record.batch_index,
            item_key=record.item_key,
            metadata=record.metadata,
            priority=record.priority,
            deadline_at=_time(record.deadline_at),
            created_at=datetime.fromtimestamp(record.created_at, UTC),
            queued_at=_time(record.queued_at),
            started_at=_time(started),
            completed_at=_time(ended),
            duration_seconds=round(ended - started, 3) if ended and started else None,
            urls=_urls(record.id, links),
        )


class GenerationStarted(GenerationRead):
    """The answer that starts a generation: the record, under the older name of its id as well."""

    session_id: str = Field(alias="session_id", pattern=UUID, description="the same as `id`, for older callers")

    @classmethod
    def of(cls, shown: Shown, links: Links) -> GenerationStarted:
        read = GenerationRead.of(shown, links)
        return cls.model_construct(**dict(read), session_id=read.id)


class GenerationPage(Wire):
    """A page of generations, newest first; `nextCursor` is null on the last one."""

    items: list[GenerationRead]
    next_cursor: str | None


class BackendCondition(Wire):
    """How one ComfyUI server is, without its address."""

    healthy: bool
    listening: bool = Field(description="its socket has proved itself alive")
    version: str | None
    in_flight: int
    last_error: str | None


class ReadinessRead(Wire):
    """Whether a job could be finished now, and part by part why."""

    ready: bool
    database: bool
    storage: bool
    bus: bool
    backends: dict[str, BackendCondition]


class ProblemPlace(Wire):
    """One wrong place: a JSON pointer into the body, `?name` of a query parameter, or the name of a header."""

    pointer: str
    message: str


class ProblemRead(Wire):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemPlace] | None = None
    node_errors: dict[str, Any] | None = None
    generation_id: str | None = None


def output_read(generation_id: str, output: Output, links: Links) -> OutputRead:
    """An entry of `outputs[]`."""
    return _output(generation_id, output, links)


def _output(generation_id: str, output: Output, links: Links) -> OutputRead:
    url = links.to(generation_id, f"/outputs/{output.index}")
    has_picture = output.kind is OutputKind.IMAGE or output.poster is not None
    thumbnail = links.to(generation_id, f"/outputs/{output.index}?format=webp&width=320") if has_picture else None
    return OutputRead.of(output, url, output.index, thumbnail)


def _image(generation_id: str, number: int, image: Output, links: Links) -> OutputRead:
    url = links.to(generation_id, f"/images/{number}")
    return OutputRead.of(image, url, number, links.to(generation_id, f"/images/{number}?format=webp&width=320"))


def _urls(generation_id: str, links: Links) -> Urls:
    return Urls(
        itself=links.to(generation_id, ""),
        events=links.to(generation_id, "/events"),
        cancel=f"/api/generations/{generation_id}/cancel",
    )


def _time(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
