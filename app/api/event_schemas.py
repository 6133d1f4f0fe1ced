"""The shape of events on a stream, as OpenAPI shows it. They are written elsewhere; a test compares the two."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from app.api.schemas import UUID, FailureRead, GenerationRead, OutputRead, Wire
from app.events import ProgressType
from app.records import Status


class NodeProgressRead(Wire):
    """The node at work. `value` of `max` in the node's own unit."""

    node_id: str
    node_name: str
    node_type: str
    value: float
    max: float


class AggregateProgressRead(Wire):
    """Nodes finished (cached ones included) of the nodes that will run."""

    finished: int
    total: int


class ImageCountRead(Wire):
    """Images delivered so far of the images expected."""

    current: int
    total: int


class EventRead(Wire):
    """The `data` of one event, by its `type`.

    `connected`, `status`, `progress`, `complete`, `error` and `canceled` carry the whole state; the last three end the
    stream and carry the record. `preview` has a picture of the unfinished image, `output` a file that is kept already.
    """

    type: Literal["connected", "status", "progress", "preview", "output", "complete", "error", "canceled"]
    generation_id: str = Field(pattern=UUID)
    comfyui_prompt_id: str | None = None
    status: Status | None = None
    step: int | None = None
    total_steps: int | None = None
    percentage: float | None = Field(default=None, ge=0, le=100)
    queue_position: int | None = None
    eta_seconds: float | None = None
    message: str | None = None
    node_progress: NodeProgressRead | None = None
    aggregate_progress: AggregateProgressRead | None = None
    image: ImageCountRead | None = None
    attempt: int | None = None
    progress_type: ProgressType | None = None
    url: str | None = Field(default=None, description="of a preview's picture")
    mime_type: str | None = None
    node_id: str | None = None
    data_url: str | None = Field(default=None, description="the picture itself, with `?previews=inline`")
    output: OutputRead | None = None
    images: list[OutputRead] | None = None
    image_urls: list[str] | None = None
    outputs: list[OutputRead] | None = None
    error: FailureRead | None = None
    generation: GenerationRead | None = None
