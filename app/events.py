"""What we tell watchers: a stable contract, whatever ComfyUI said.

Each event is a msgspec struct, so the frequent ones become JSON in one call and can cross a bus. Every state-carrying
event is a complete snapshot: only the newest matters. `is_milestone` tells the events that may never be dropped from
those a newer one replaces. URLs are not in here; the API adds them to the rare events that carry any.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, TypeAlias

import msgspec

from app.records import Failure, Generation, Output, Status


class ProgressType(StrEnum):
    """Which progress moved: a sampler's steps, another node's own, the count of nodes; and the two ends."""

    CONNECTED = "connected"
    INFERENCE = "inference"
    NODE = "node"
    AGGREGATE = "aggregate"
    COMPLETE = "complete"


class NodeProgress(msgspec.Struct, frozen=True, rename="camel"):
    """The node at work. `value` of `max` in the node's own unit."""

    node_id: str
    node_name: str
    node_type: str
    value: float
    max: float


class AggregateProgress(msgspec.Struct, frozen=True, rename="camel"):
    """Nodes finished (cached ones included) of the nodes that will run."""

    finished: int
    total: int


class ImageCount(msgspec.Struct, frozen=True, rename="camel"):
    """Images delivered so far of the images expected."""

    current: int
    total: int


class Moment(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="moment"):
    """The whole progress state at one moment. `percentage` is 0..100 and never falls; times in seconds."""

    is_milestone: ClassVar[bool] = True
    is_terminal: ClassVar[bool] = False

    generation_id: str
    comfyui_prompt_id: str
    status: Status
    step: int = 0
    total_steps: int = 0
    percentage: float = 0.0
    queue_position: int | None = None
    eta_seconds: float | None = None
    message: str = ""
    node_progress: NodeProgress | None = None
    aggregate_progress: AggregateProgress | None = None
    image: ImageCount = ImageCount(0, 0)
    attempt: int = 1


class Connected(Moment, frozen=True, kw_only=True, tag="connected"):
    """Always the first event of a stream: where things stand."""

    progress_type: ProgressType = ProgressType.CONNECTED


class StatusChanged(Moment, frozen=True, kw_only=True, tag="status"):
    """The status or the queue position changed."""


class Progressed(Moment, frozen=True, kw_only=True, tag="progress"):
    """A step, a node or the aggregate moved. A newer one replaces an older one that nobody read yet."""

    is_milestone: ClassVar[bool] = False

    progress_type: ProgressType = ProgressType.AGGREGATE


class PreviewReady(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="preview"):
    """A picture of the unfinished latent. The newest replaces older ones."""

    is_milestone: ClassVar[bool] = False
    is_terminal: ClassVar[bool] = False

    generation_id: str
    image: bytes
    mime_type: str
    node_id: str | None = None


class OutputReady(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag_field="type", tag="output"):
    """A node delivered a file before the end, and it is kept already."""

    is_milestone: ClassVar[bool] = True
    is_terminal: ClassVar[bool] = False

    generation_id: str
    output: Output


class Completed(Moment, frozen=True, kw_only=True, tag="complete"):
    """Succeeded, with the whole record: no second fetch needed."""

    is_terminal: ClassVar[bool] = True

    record: Generation
    progress_type: ProgressType = ProgressType.COMPLETE


class Failed(Moment, frozen=True, kw_only=True, tag="error"):
    """Failed, and why."""

    is_terminal: ClassVar[bool] = True

    error: Failure
    record: Generation


class Canceled(Moment, frozen=True, kw_only=True, tag="canceled"):
    """Canceled: ComfyUI no longer has it."""

    is_terminal: ClassVar[bool] = True

    record: Generation


Event: TypeAlias = Connected | StatusChanged | Progressed | PreviewReady | OutputReady | Completed | Failed | Canceled
