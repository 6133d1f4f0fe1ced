"""Generations and files in the shapes of the Comfy API v2. Owns what each of its words means here; asks nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Request

from app.api.dependencies import Services
from app.api.links import Links
from app.api.v2.envelopes import ROOT
from app.api.v2.schemas import (
    AssetShape,
    JobError,
    JobItem,
    JobOutput,
    JobRead,
    JobStatus,
    JobUrls,
    OutputType,
    ProgressShape,
)
from app.asset_records import output_asset_id
from app.assets import Made, Sent
from app.events import AggregateProgress, Moment
from app.generations import Shown
from app.records import ErrorCode, Failure, Generation, Output, OutputKind, Status

STATUSES: Final[Mapping[Status, JobStatus]] = {
    status: JobStatus.QUEUED if status is Status.PENDING else JobStatus(status.value) for status in Status
}
"""A job that waits here and one that waits at ComfyUI are both queued."""

_TYPES: Final[Mapping[OutputKind, OutputType]] = {
    kind: OutputType.FILE if kind is OutputKind.MODEL_3D else OutputType(kind.value) for kind in OutputKind
}
_CODES: Final[Mapping[ErrorCode, str]] = {
    ErrorCode.EXECUTION_ERROR: "node_execution_error",
    ErrorCode.REJECTED: "invalid_workflow",
}
_KEPT_S: Final = 36_525 * 86_400
"""A hundred years: the contract wants a date, and jobs are kept until somebody deletes them."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """`origin` is how the caller reached this service, `http://host:port`: URLs of files are absolute."""

    links: Links
    origin: str

    @classmethod
    def of(cls, services: Services, http: Request) -> Shapes:
        return cls(services.links, f"{http.url.scheme}://{http.url.netloc}")

    def job(self, shown: Shown, nodes: int = 0) -> JobRead:
        """`nodes`: how many its graph has, for a job whose run nobody watches any more."""
        record, moment = shown.record, shown.moment
        return JobRead.model_construct(
            id=record.id,
            status=STATUSES[moment.status],
            created_at=_time(record.created_at),
            started_at=_maybe(record.started_at),
            completed_at=_maybe(record.completed_at),
            expires_at=_time(record.created_at + _KEPT_S),
            queue_position=moment.queue_position,
            progress=None if (told := progress(moment, nodes)) is None else ProgressShape.model_construct(**told),
            outputs=[self.output(record.id, each) for each in record.outputs],
            error=None if record.error is None else _error(record.error),
            metrics=_metrics(record),
            metadata=labels(record),
            urls=_urls(record.id),
        )

    def item(self, shown: Shown) -> JobItem:
        record = shown.record
        moved = record.completed_at or record.started_at or record.queued_at or record.created_at
        return JobItem.model_construct(
            id=record.id,
            status=STATUSES[shown.moment.status],
            create_time=_time(record.created_at),
            update_time=_time(moved),
            metadata=labels(record),
            urls=_urls(record.id),
        )

    def output(self, job_id: str, output: Output) -> JobOutput:
        return JobOutput.model_construct(
            id=output_asset_id(job_id, output.index),
            node_id=output.node_id,
            name=output.filename,
            type=_TYPES[output.kind],
            content_type=output.mime_type,
            size_bytes=output.size_bytes,
            hash=None,
            url=self._output_url(job_id, output),
            url_expires_at=_time(self.links.expires_at()),
            job_id=job_id,
        )

    def asset(self, found: Sent | Made) -> AssetShape:
        match found:
            case Made(record=record, output=output):
                return AssetShape.model_construct(
                    id=output_asset_id(record.id, output.index),
                    hash=None,
                    size_bytes=output.size_bytes,
                    content_type=output.mime_type,
                    file_path=output.filename,
                    created_at=_time(record.completed_at or record.created_at),
                    url=self._output_url(record.id, output),
                    url_expires_at=_time(self.links.expires_at()),
                    expires_at=None,
                    job_id=record.id,
                )
            case Sent(upload=upload, asset=asset):
                return AssetShape.model_construct(
                    id=upload.id if asset is None else asset.id,
                    hash=None if asset is None else asset.hash,
                    size_bytes=upload.size_bytes,
                    content_type=upload.mime_type,
                    file_path=upload.filename if asset is None else asset.file_path,
                    created_at=_time(upload.created_at if asset is None else asset.created_at),
                    url=self.origin + self.links.to_upload(upload.id, "/content"),
                    url_expires_at=_time(self.links.expires_at()),
                    expires_at=None,
                )

    def _output_url(self, job_id: str, output: Output) -> str:
        return self.origin + self.links.to(job_id, f"/outputs/{output.index}")


def progress(moment: Moment, planned: int = 0) -> dict[str, Any] | None:
    """The contract's progress; None while there is none to tell.

    Without a count of its nodes, as after its end, those of the graph count: all of them for a job that succeeded, for
    others as many as its share of the work makes.
    """
    node = moment.node_progress
    nodes = moment.aggregate_progress or AggregateProgress(int(planned * moment.percentage / 100), planned)
    if moment.status in {Status.PENDING, Status.QUEUED} and not moment.percentage:
        return None
    return {
        "value": round(moment.percentage / 100, 4),
        "nodes_done": nodes.finished,
        "nodes_total": nodes.total,
        "current_node": node.node_id if node else None,
        "current_node_class": node.node_type if node else None,
        "step": moment.step if moment.total_steps else None,
        "steps": moment.total_steps or None,
        "message": moment.message or None,
    }


def labels(record: Generation) -> dict[str, str]:
    """The texts in a generation's metadata; other callers keep other things there, too."""
    return {name: value for name, value in record.metadata.items() if isinstance(value, str)}


def _error(failure: Failure) -> JobError:
    return JobError.model_construct(
        code=_CODES.get(failure.code, failure.code.value),
        message=failure.message,
        node_id=failure.node_id,
        class_type=failure.node_type,
        traceback=None,
    )


def _metrics(record: Generation) -> dict[str, int | None]:
    began, ended = record.started_at, record.completed_at
    return {
        "queue_ms": None if began is None else round(1000 * (began - record.created_at)),
        "execution_ms": None if began is None or ended is None else round(1000 * (ended - began)),
    }


def _urls(job_id: str) -> JobUrls:
    url = f"{ROOT}/jobs/{job_id}"
    return JobUrls.model_construct(itself=url, events=f"{url}/events", cancel=f"{url}/cancel")


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _maybe(seconds: float | None) -> datetime | None:
    return None if seconds is None else _time(seconds)
