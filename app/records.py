"""The values the whole service passes around: a generation's record, its outputs, its failure.

Immutable and free of I/O. The database stores them, the core changes them by making new ones, the API shows them.
Times are seconds since the epoch (float, UTC); they become RFC 3339 at the edge.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

import msgspec


class Status(StrEnum):
    """Where a generation stands. Only ever moves forward; the last three are final."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL: Final = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})


class ErrorCode(StrEnum):
    """Why a generation failed. A closed list; every member is documented in README.md."""

    REJECTED = "rejected"
    EXECUTION_ERROR = "execution_error"
    OUT_OF_MEMORY = "out_of_memory"
    LOST_BY_BACKEND = "lost_by_backend"
    STALLED = "stalled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    OUTPUTS_UNAVAILABLE = "outputs_unavailable"


class Failure(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """The cause of a failure, fit for a caller's eyes: no server path, no traceback, no address."""

    code: ErrorCode
    message: str
    node_id: str | None = None
    node_type: str | None = None
    exception_type: str | None = None
    node_errors: dict[str, Any] | None = None


class OutputKind(StrEnum):
    """What an output is, decided by its content and never by the key ComfyUI listed it under."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    MODEL_3D = "3d"
    TEXT = "text"
    LATENT = "latent"
    FILE = "file"


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """A file we keep. `index` is its place in the record for ever; `location` is the storage's own key.

    `filename`, `subfolder` and `folder` are ComfyUI's address of it. Texts without a file have `text` and no location.
    `duration_s` is that of videos, sounds and animated pictures, `frames` is for the latter. `poster` is the storage's
    key of a video's poster frame, a JPEG.
    """

    index: int
    node_id: str
    kind: OutputKind
    filename: str
    subfolder: str = ""
    folder: str = "output"
    mime_type: str
    size_bytes: int
    sha256: str
    location: str | None = None
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    frames: int | None = None
    poster: str | None = None
    text: str | None = None


class InputFile(msgspec.Struct, frozen=True):
    """A file that the workflow takes in. `name` is what the graph calls it, the same at every server: it is made of
    the content. `location` is the storage's own key.
    """

    name: str
    location: str
    mime_type: str
    size_bytes: int


class WebhookTarget(msgspec.Struct, frozen=True):
    """Where the caller of one generation or batch wants to be told of it, and of which events."""

    url: str
    events: tuple[str, ...]


class Generation(msgspec.Struct, frozen=True, kw_only=True):
    """Our record of one requested run, without the workflow itself (that is read by its own call).

    `version` grows by one with every durable change and guards against two writers. `step`, `total_steps` and
    `percentage` are those of the last durable change; live ones are on the event bus. `idempotency_key` is the
    caller's name for the request, and `fingerprint` tells whether a second request of that name asks for the same.
    `able` names the servers that could run it, between commas (",gpu-0,gpu-2,"); None: any. `template_version` is that
    of a caller's own template; built-in ones have the service's. `keep_temporary`: also what the workflow saves only
    to be looked at. `batch_index` is its place in its batch from 0 on, `item_key` the caller's name for it there.
    `webhook`: who is told of it, besides the registered endpoints.
    """

    id: str
    prompt_id: str
    status: Status = Status.PENDING
    version: int = 0
    attempt: int = 1
    template: str | None = None
    template_version: int | None = None
    params: dict[str, Any] = {}
    prompt_text: str | None = None
    seed: int | None = None
    priority: int = 0
    force: bool = False
    keep_temporary: bool = False
    project_id: str | None = None
    batch_id: str | None = None
    batch_index: int | None = None
    item_key: str | None = None
    metadata: dict[str, Any] = {}
    inputs: tuple[InputFile, ...] = ()
    able: str | None = None
    deadline_at: float | None = None
    idempotency_key: str | None = None
    fingerprint: str | None = None
    backend: str | None = None
    client_id: str | None = None
    owner: str | None = None
    step: int = 0
    total_steps: int = 0
    percentage: float = 0.0
    outputs: tuple[Output, ...] = ()
    outputs_reused: bool = False
    error: Failure | None = None
    node_errors: dict[str, Any] | None = None
    created_at: float
    queued_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    webhook: WebhookTarget | None = None

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def is_background(self) -> bool:
        """Nobody waits for it: whatever has a priority of 0 or more goes first."""
        return self.priority < 0

    @property
    def images(self) -> tuple[Output, ...]:
        return tuple(output for output in self.outputs if output.kind is OutputKind.IMAGE)
