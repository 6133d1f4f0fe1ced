"""What goes over the wire in the Comfy API v2, as OpenAPI shows it. Names are those of its published contract.

Built by `app.api.v2.shapes`; holds no rule about what anything means.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from app.api.schemas import EXAMPLE_ID, Wire


class JobStatus(StrEnum):
    """Where a job stands; the last three are final. The contract's `expired` does not occur: jobs are kept."""

    QUEUED = "queued"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


class OutputType(StrEnum):
    """What an output is, by its content."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    FILE = "file"
    LATENT = "latent"


EXAMPLE_GRAPH: Final[dict[str, Any]] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "job"}},
}


class Shape(BaseModel):
    """Immutable; names stay as they are."""

    model_config = ConfigDict(frozen=True)


class JobCreate(Wire):
    """A workflow to run."""

    model_config = ConfigDict(
        alias_generator=None,
        extra="forbid",
        json_schema_extra={"examples": [{"workflow": EXAMPLE_GRAPH, "metadata": {"client": "acme"}}]},
    )

    workflow: dict[str, Any] = Field(
        description='a graph in API format; `{"__type": "core/ASSET", "info": {"id": ...}}` stands for an asset'
    )
    metadata: dict[str, Any] | None = Field(
        default=None, description="labels: up to 16 texts by name, kept and returned; the list can be filtered by them"
    )
    extra_data: dict[str, Any] | None = Field(
        default=None, description="empty: keys of partner nodes (`api_key_comfy_org`) are not forwarded"
    )


class ProgressShape(Shape):
    """Where a job stands; complete each time."""

    value: float = Field(ge=0, le=1)
    nodes_done: int
    nodes_total: int
    current_node: str | None
    current_node_class: str | None
    step: int | None
    steps: int | None
    message: str | None


class JobOutput(Shape):
    """A file that a job made. It is an asset, by its `id`."""

    id: str
    node_id: str
    name: str
    type: OutputType
    content_type: str
    size_bytes: int
    hash: str | None = Field(description="null: outputs are not hashed with BLAKE3")
    url: str = Field(description="absolute; with API keys set it carries a token")
    url_expires_at: datetime
    job_id: str


class JobError(Shape):
    """Why a job failed."""

    code: str
    message: str
    node_id: str | None
    class_type: str | None
    traceback: str | None = Field(description="always null")


class JobUrls(Shape):
    """Where to go from here; against the origin of the request."""

    itself: str = Field(alias="self")
    events: str
    cancel: str


class JobRead(Shape):
    """A generation, as a job."""

    id: str = Field(examples=[EXAMPLE_ID])
    status: JobStatus
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    expires_at: datetime = Field(description="a hundred years from its creation: jobs are kept until they are deleted")
    queue_position: int | None = Field(description="1 is next")
    progress: ProgressShape | None
    outputs: list[JobOutput]
    error: JobError | None
    metrics: dict[str, int | None]
    metadata: dict[str, str]
    urls: JobUrls


class JobItem(Shape):
    """A job in a list."""

    id: str
    status: JobStatus
    create_time: datetime
    update_time: datetime
    metadata: dict[str, str]
    urls: JobUrls


class JobPage(Shape):
    """Jobs, newest first; `next_cursor` is null on the last page."""

    jobs: list[JobItem]
    next_cursor: str | None


class JobWorkflow(Shape):
    """The graph that ran."""

    workflow: dict[str, Any]
    format: Literal["api"]


class AssetShape(Shape):
    """A file by its id: one that was sent, or one that a job made."""

    id: str
    hash: str | None = Field(description="`blake3:` and 64 hexadecimal digits; null for outputs and plain uploads")
    size_bytes: int
    content_type: str = Field(description="by the content, whatever its sender said")
    file_path: str | None
    created_new: bool = Field(
        default=False, description="whether its content is new here; only where an asset was just made"
    )
    created_at: datetime
    url: str = Field(description="absolute; with API keys set it carries a token")
    url_expires_at: datetime
    expires_at: datetime | None = Field(description="null: assets do not expire")
    job_id: str | None = Field(default=None, description="the job that made it; absent for what was sent")


class AssetFromHash(Wire):
    """A content that is here already."""

    model_config = ConfigDict(
        alias_generator=None, extra="forbid", json_schema_extra={"examples": [{"hash": f"blake3:{'0' * 64}"}]}
    )

    hash: str = Field(max_length=200)
    file_path: str | None = Field(default=None, min_length=1, max_length=500)
    tags: list[str] | None = Field(default=None, description="accepted; nothing here depends on them")
    expires_in: int | None = Field(default=None, ge=60, le=604_800, description="accepted; assets do not expire")


class ErrorBody(Shape):
    """What went wrong."""

    code: str
    message: str
    details: dict[str, Any] | None = None


class ErrorEnvelope(Shape):
    """Every error of this API."""

    error: ErrorBody
