"""What somebody who follows a generation or a batch is told, as immutable values.

Every event with progress in it is a complete snapshot: only the newest matters.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self, TypeAlias

import msgspec

from comfy_relay.batch_records import Batch, BatchResult
from comfy_relay.records import Failure, Generation, Output, Record, Status


class NodeProgress(Record, frozen=True, kw_only=True):
    """The node at work. `value` of `max` in the node's own unit."""

    node_id: str = ""
    node_name: str = ""
    node_type: str = ""
    value: float = 0.0
    max: float = 0.0


class AggregateProgress(Record, frozen=True, kw_only=True):
    """Nodes finished (cached ones included) of the nodes that will run."""

    finished: int = 0
    total: int = 0


class ImageCount(Record, frozen=True, kw_only=True):
    """Images delivered so far of the images expected."""

    current: int = 0
    total: int = 0


class Told(Record, frozen=True, kw_only=True):
    """Any event. `cursor` is its place in the stream: `follow(..., after=cursor)` goes on behind it."""

    is_terminal: ClassVar[bool] = False

    cursor: str = ""


class Moment(Told, frozen=True, kw_only=True):
    """The whole progress state. `percentage` is 0..100; `message` is one sentence for a person."""

    generation_id: str
    status: Status
    comfyui_prompt_id: str | None = None
    step: int = 0
    total_steps: int = 0
    percentage: float = 0.0
    queue_position: int | None = None
    eta_seconds: float | None = None
    message: str = ""
    node_progress: NodeProgress | None = None
    aggregate_progress: AggregateProgress | None = None
    image: ImageCount = ImageCount()
    attempt: int = 1
    progress_type: str | None = None

    def not_below(self, percentage: float) -> Self:
        """The same with a percentage at least that high: a service that has restarted begins to count anew.

        `raw` stays as it came.
        """
        if self.percentage >= percentage:
            return self
        lifted = msgspec.structs.replace(self, percentage=percentage)
        msgspec.structs.force_setattr(lifted, "_raw", self.raw)
        return lifted


class Connected(Moment, frozen=True, kw_only=True):
    """First, and again after every drop of the connection: where things stand."""

    type: Literal["connected"] = "connected"


class StatusChanged(Moment, frozen=True, kw_only=True):
    """The status or the queue position changed."""

    type: Literal["status"] = "status"


class Progressed(Moment, frozen=True, kw_only=True):
    """A step, a node or the count of nodes moved."""

    type: Literal["progress"] = "progress"


class PreviewReady(Told, frozen=True, kw_only=True):
    """A picture of the unfinished image; only for those who ask for previews."""

    generation_id: str
    url: str = ""
    mime_type: str = ""
    node_id: str | None = None
    data_url: str | None = None
    type: Literal["preview"] = "preview"

    @property
    def picture(self) -> bytes:
        """The picture itself, of type `mime_type`; empty if none came with the event."""
        try:
            return base64.b64decode((self.data_url or "").partition(",")[2])
        except binascii.Error:
            return b""


class OutputReady(Told, frozen=True, kw_only=True):
    """A node delivered a file before the end, and it is kept already."""

    generation_id: str
    output: Output
    type: Literal["output"] = "output"


class Ended(Moment, frozen=True, kw_only=True):
    """The end, with the whole record; always last, and only once."""

    is_terminal: ClassVar[bool] = True

    generation: Generation


class Completed(Ended, frozen=True, kw_only=True):
    """It succeeded."""

    type: Literal["complete"] = "complete"


class Failed(Ended, frozen=True, kw_only=True):
    """It failed, and why."""

    error: Failure | None = None
    type: Literal["error"] = "error"


class Canceled(Ended, frozen=True, kw_only=True):
    """It was canceled."""

    type: Literal["canceled"] = "canceled"


class BatchTold(Told, frozen=True, kw_only=True):
    """Any event of a batch that says how the batch stands."""

    batch: Batch


class BatchConnected(BatchTold, frozen=True, kw_only=True):
    """First, and again after every drop of the connection: how the batch stands."""

    type: Literal["connected"] = "connected"


class BatchProgressed(BatchTold, frozen=True, kw_only=True):
    """The batch stands differently; at most twice a second."""

    type: Literal["progress"] = "progress"


class ItemEnded(Told, frozen=True, kw_only=True):
    """An item of the batch has its end."""

    batch_id: str
    item: BatchResult
    type: Literal["item"] = "item"


class BatchCompleted(BatchTold, frozen=True, kw_only=True):
    """No item is left unfinished; always last, and only once."""

    is_terminal: ClassVar[bool] = True

    type: Literal["complete"] = "complete"


Event: TypeAlias = Connected | StatusChanged | Progressed | PreviewReady | OutputReady | Completed | Failed | Canceled
"""What `follow` gives."""

BatchEvent: TypeAlias = BatchConnected | BatchProgressed | ItemEnded | BatchCompleted
"""What `follow_batch` gives."""

_EVENTS: Final[Mapping[object, type[Event]]] = {
    "connected": Connected,
    "status": StatusChanged,
    "progress": Progressed,
    "preview": PreviewReady,
    "output": OutputReady,
    "complete": Completed,
    "error": Failed,
    "canceled": Canceled,
}
_BATCH_EVENTS: Final[Mapping[object, type[BatchEvent]]] = {
    "connected": BatchConnected,
    "progress": BatchProgressed,
    "item": ItemEnded,
    "complete": BatchCompleted,
}


def event_of(text: str, cursor: str) -> Event | None:
    """The event of a generation's stream; None for one of a kind that this client does not know.

    Raises msgspec.DecodeError where the text is none.
    """
    raw = msgspec.json.decode(text, type=dict[str, Any])
    kind = _EVENTS.get(raw.get("type"))
    if kind is None:
        return None
    # Absent or null says the same of a state; only the first has a default.
    known: dict[str, Any] = {name: value for name, value in raw.items() if value is not None}
    event: Event = _of(kind, known | {"cursor": cursor}, raw)
    return event


def batch_event_of(text: str, cursor: str) -> BatchEvent | None:
    """The same for the stream of a batch."""
    raw = msgspec.json.decode(text, type=dict[str, Any])
    kind = _BATCH_EVENTS.get(raw.get("type"))
    if kind is None:
        return None
    event: BatchEvent = _of(kind, raw | {"cursor": cursor, "batch": raw}, raw)
    return event


def _of(kind: type[Any], shape: dict[str, Any], raw: dict[str, Any]) -> Any:
    event = msgspec.convert(shape, kind)
    msgspec.structs.force_setattr(event, "_raw", raw)
    for name, record in (("generation", raw.get("generation")), ("batch", raw), ("item", raw.get("item"))):
        if (nested := getattr(event, name, None)) is not None:
            msgspec.structs.force_setattr(nested, "_raw", record)
    return event
