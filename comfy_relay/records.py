"""What the service answers about generations and files, as immutable values.

Unknown fields are ignored and missing ones have defaults, so that client and service may be of different versions;
`raw` has the answer as it came. Times are aware datetimes, durations seconds, sizes bytes.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

import msgspec

RecordT = TypeVar("RecordT", bound="Record")


class OpenEnum(StrEnum):
    """Words of the service's; one that a newer service says and this client does not know is a member, too."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value.upper()
        member._value_ = value
        return member


class Status(OpenEnum):
    """Where a generation stands. Only ever moves forward; the last three are final."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


TERMINAL: Final = frozenset({Status.SUCCEEDED, Status.FAILED, Status.CANCELED})
"""The statuses that are final."""


class Kind(OpenEnum):
    """What a file is, by its content."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    MODEL_3D = "3d"
    TEXT = "text"
    LATENT = "latent"
    FILE = "file"


class FailureCode(OpenEnum):
    """Why a generation failed."""

    REJECTED = "rejected"
    EXECUTION_ERROR = "execution_error"
    OUT_OF_MEMORY = "out_of_memory"
    LOST_BY_BACKEND = "lost_by_backend"
    STALLED = "stalled"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    OUTPUTS_UNAVAILABLE = "outputs_unavailable"


class Record(msgspec.Struct, frozen=True, kw_only=True, rename="camel", dict=True):
    """A value out of an answer."""

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Self:
        """From a decoded answer. Raises msgspec.ValidationError where it is none."""
        record = msgspec.convert(raw, cls)
        msgspec.structs.force_setattr(record, "_raw", raw)
        return record

    @property
    def raw(self) -> dict[str, Any]:
        """The answer as it came, camelCase and with the fields this client does not know."""
        kept: dict[str, Any] | None = self.__dict__.get("_raw")
        built: dict[str, Any] = msgspec.to_builtins(self) if kept is None else kept
        return built


class Output(Record, frozen=True, kw_only=True):
    """A file that a generation made, or a text. `url` is the service's own; `Client.download` and `read` fetch it.

    `filename` is ComfyUI's name for it. `text` is the text itself, for texts that are no file. `frames` counts those
    of animated pictures.
    """

    url: str
    index: int = 0
    kind: Kind = Kind.FILE
    filename: str = ""
    mime_type: str = "application/octet-stream"
    size_bytes: int | None = None
    sha256: str | None = None
    width: int | None = None
    height: int | None = None
    duration_seconds: float | None = None
    frames: int | None = None
    node_id: str | None = None
    thumbnail_url: str | None = None
    text: str | None = None


class Failure(Record, frozen=True, kw_only=True):
    """Why a generation failed. `node_errors` is ComfyUI's map from node id to what is wrong there."""

    code: FailureCode
    message: str = ""
    node_id: str | None = None
    node_type: str | None = None
    exception_type: str | None = None
    node_errors: dict[str, Any] | None = None


class Generation(Record, frozen=True, kw_only=True):
    """The authoritative record of a generation, with its live progress at the moment it was asked for.

    `percentage` is 0..100 and 100 only when it succeeded; `queue_position` 1 is next. `images` are those of `outputs`
    that are pictures. `node_errors` is what ComfyUI dropped from the workflow and why, `error` why it failed.
    """

    id: str
    status: Status
    comfyui_prompt_id: str = ""
    template: str | None = None
    template_version: int | None = None
    prompt: str | None = None
    params: dict[str, Any] = {}
    seed: int | None = None
    step: int = 0
    total_steps: int = 0
    percentage: float = 0.0
    queue_position: int | None = None
    eta_seconds: float | None = None
    message: str = ""
    images: tuple[Output, ...] = ()
    image_urls: tuple[str, ...] = ()
    outputs: tuple[Output, ...] = ()
    error: Failure | None = None
    node_errors: dict[str, Any] | None = None
    backend: str | None = None
    attempt: int = 1
    outputs_reused: bool = False
    project_id: str | None = None
    batch_id: str | None = None
    batch_index: int | None = None
    item_key: str | None = None
    metadata: dict[str, Any] = {}
    priority: int = 0
    deadline_at: datetime | None = None
    created_at: datetime | None = None
    queued_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    duration_seconds: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether its status is final."""
        return self.status in TERMINAL

    @property
    def has_succeeded(self) -> bool:
        return self.status == Status.SUCCEEDED


class Upload(Record, frozen=True, kw_only=True):
    """A file the service has taken in. The same content is the same upload."""

    id: str
    url: str
    kind: Kind = Kind.FILE
    filename: str = ""
    mime_type: str = "application/octet-stream"
    width: int | None = None
    height: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    thumbnail_url: str | None = None
    created_at: datetime | None = None
