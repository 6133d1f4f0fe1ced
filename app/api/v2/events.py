"""A job's live events: the progress stream in the words of the Comfy API v2.

Owns that stream's shape: named events without ids, `status`, `progress`, `preview` and `output`, the last one a
terminal `status`. What is known of a generation and when it ends is `app.api.events`' business.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import msgspec

from app.api.v2.schemas import JobStatus
from app.api.v2.shapes import STATUSES, Shapes, progress
from app.bus import Entry
from app.events import Canceled, Completed, Connected, Event, Failed, Moment, OutputReady, PreviewReady
from app.records import TERMINAL, Output

_encode = msgspec.json.Encoder().encode


class JobFrames:
    """The entries of one watcher as this API's frames, by calling it with each in turn.

    `preview` is the newest there is when he comes, `nodes` how many the graph of a job has that is over by then.
    """

    def __init__(self, shapes: Shapes, preview: PreviewReady | None, nodes: int = 0) -> None:
        self._shapes, self._preview, self._nodes = shapes, preview, nodes
        self._standing: tuple[JobStatus, int | None] | None = None
        self._shown: set[int] = set()

    def __call__(self, entry: Entry) -> bytes:
        told = self._told(entry.event)
        return b"".join(b"event: %b\ndata: %b\n\n" % (name.encode(), _encode(shape)) for name, shape in told)

    def _told(self, event: Event) -> Iterator[tuple[str, dict[str, Any]]]:
        match event:
            case Completed(record=record) | Failed(record=record) | Canceled(record=record):
                for output in record.outputs:
                    yield from self._output(record.id, output)
                yield from self._moment(event)
                yield from self._status(event)
            case OutputReady(generation_id=job_id, output=output):
                yield from self._output(job_id, output)
            case PreviewReady():
                yield "preview", _preview(event)
            case Connected():
                # Of a job that is over the end comes next, and brings its status.
                if event.status not in TERMINAL:
                    yield from self._status(event)
                    yield from self._moment(event)
                    if self._preview is not None:
                        yield "preview", _preview(self._preview)
            case Moment():
                yield from self._status(event)
                yield from self._moment(event)

    def _status(self, moment: Moment) -> Iterator[tuple[str, dict[str, Any]]]:
        """Only what is news: a status, or another place in the queue."""
        standing = (STATUSES[moment.status], moment.queue_position)
        if standing != self._standing:
            self._standing = standing
            yield "status", {"status": standing[0], "queue_position": standing[1]}

    def _moment(self, moment: Moment) -> Iterator[tuple[str, dict[str, Any]]]:
        if (told := progress(moment, self._nodes)) is not None:
            yield "progress", told

    def _output(self, job_id: str, output: Output) -> Iterator[tuple[str, dict[str, Any]]]:
        if output.index not in self._shown:
            self._shown.add(output.index)
            yield "output", self._shapes.output(job_id, output).model_dump(mode="json")


def _preview(preview: PreviewReady) -> dict[str, Any]:
    return {
        "node_id": preview.node_id or "",
        "content_type": preview.mime_type,
        "data_base64": base64.b64encode(preview.image).decode(),
    }
