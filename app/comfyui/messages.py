"""What ComfyUI says on its WebSocket, one type per message, under ComfyUI's own names.

Pure: bytes or text in, one `Message` out. `decode` never raises and never returns None; what it cannot read becomes
`Unknown` with the reason, which callers count and drop. The shapes are those of COMFYUI_PROTOCOL section 3, recorded
from a real server; unknown keys are ignored, missing ones are None wherever a server was seen to leave them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from app.comfyui import frames
from app.comfyui.foreign import as_id, as_object, as_whole, decode_json, reader_of
from app.comfyui.progress_state import (
    NodeState,
    ProgressState,
    decode_progress_state,
    read_progress_state,
    steps_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Executed",
    "Executing",
    "ExecutionCached",
    "ExecutionError",
    "ExecutionInterrupted",
    "ExecutionStart",
    "ExecutionSuccess",
    "FeatureFlags",
    "Message",
    "NodeState",
    "NodeText",
    "Preview",
    "Progress",
    "ProgressState",
    "Status",
    "Unknown",
    "decode",
    "decode_binary",
    "decode_text",
    "read_message",
]


class Status(msgspec.Struct, frozen=True):
    """Sent to every socket when the queue changed, and as the first frame (with `sid`) after connecting."""

    queue_remaining: int | None = None
    sid: str | None = None


class ExecutionStart(msgspec.Struct, frozen=True, rename={"timestamp_ms": "timestamp"}):
    """The worker took this prompt off the queue. `timestamp_ms` is the server's clock."""

    prompt_id: str
    timestamp_ms: int | None = None


class ExecutionCached(msgspec.Struct, frozen=True):
    """Nodes whose results will be reused. Sent once per prompt, also with no nodes at all."""

    prompt_id: str
    nodes: tuple[str, ...] = ()


class Executing(msgspec.Struct, frozen=True):
    """A node starts; `node=None` ends the prompt, after its history was written.

    The greeting after a reconnect has a node and no prompt_id.
    """

    prompt_id: str | None = None
    node: str | None = None
    display_node: str | None = None


class Progress(msgspec.Struct, frozen=True):
    """One node's own progress. The foreign `execution_progress` is this without a node."""

    value: float
    maximum: float
    prompt_id: str | None = None
    node: str | None = None


class Executed(msgspec.Struct, frozen=True):
    """An output node delivered. `output` maps ui keys to lists; None for cached nodes without ui values."""

    prompt_id: str
    node: str
    display_node: str | None = None
    output: dict[str, Any] | None = None


class ExecutionSuccess(msgspec.Struct, frozen=True, rename={"timestamp_ms": "timestamp"}):
    """All nodes ran. The history entry is written only after this message."""

    prompt_id: str
    timestamp_ms: int | None = None


class ExecutionError(msgspec.Struct, frozen=True):
    """A node failed, or (`exception_type` "ExecutionBlocked") one branch was blocked and the prompt goes on.

    `traceback` holds paths of the server: log it, never show it.
    """

    prompt_id: str
    node_id: str | None = None
    node_type: str | None = None
    exception_type: str | None = None
    exception_message: str | None = None
    traceback: tuple[str, ...] = ()

    @property
    def is_blocked_branch(self) -> bool:
        return self.exception_type == "ExecutionBlocked"


class ExecutionInterrupted(msgspec.Struct, frozen=True):
    """The prompt was interrupted while running."""

    prompt_id: str
    node_id: str | None = None
    node_type: str | None = None


class FeatureFlags(msgspec.Struct, frozen=True):
    """The server's answer to our own `feature_flags`; proof that the socket is heard and hears."""

    flags: dict[str, Any] = {}


class Preview(msgspec.Struct, frozen=True):
    """A picture of the unfinished latent. Binary type 1 has no ids; type 4 has."""

    image: bytes
    mime_type: str
    prompt_id: str | None = None
    node: str | None = None


class NodeText(msgspec.Struct, frozen=True):
    """Text a node wants shown (binary type 3). Has no prompt_id."""

    node: str
    text: str


class Unknown(msgspec.Struct, frozen=True):
    """Something this version does not read: `type_name` as sent ("" when there was none), and why it was dropped."""

    type_name: str
    why: str


Message: TypeAlias = (
    Status
    | ExecutionStart
    | ExecutionCached
    | Executing
    | Progress
    | ProgressState
    | Executed
    | ExecutionSuccess
    | ExecutionError
    | ExecutionInterrupted
    | FeatureFlags
    | Preview
    | NodeText
    | Unknown
)


def decode(frame: str | bytes) -> Message:
    """Read one frame as the socket delivers it: `str` is a text frame, `bytes` a binary one. Never raises."""
    return decode_text(frame) if isinstance(frame, str) else decode_binary(frame)


def decode_text(frame: str | bytes) -> Message:
    """Read a text frame, also from its undecoded UTF-8 bytes, which is faster. Never raises."""
    if (progress_state := decode_progress_state(frame)) is not None:
        return progress_state
    try:
        envelope = as_object(decode_json(frame))
    except (ValueError, RecursionError) as exc:
        return Unknown("", _why(exc))
    return read_message(envelope.get("type"), envelope.get("data"))


def decode_binary(frame: bytes) -> Message:
    """Read a binary frame. Never raises."""
    try:
        return _read_binary(frames.split(frame))
    except (ValueError, RecursionError) as exc:
        return Unknown(f"binary {int.from_bytes(frame[:4], 'big')}", _why(exc))


def read_message(type_name: object, data: object) -> Message:
    """The message of this type with these data, both already parsed. Never raises; history holds some, too."""
    if not isinstance(type_name, str):
        return Unknown("", "no type")
    read = _READERS.get(type_name)
    if read is None:
        return Unknown(type_name[:_MAX_NAME_LENGTH], "unknown type")
    if not isinstance(data, dict):
        return Unknown(type_name, "no data")
    try:
        return read(data)
    except ValueError as exc:
        return Unknown(type_name, _why(exc))


_MAX_NAME_LENGTH: Final = 80
_MAX_WHY_LENGTH: Final = 200


def _progress(data: dict[str, Any]) -> Progress:
    steps = steps_of(data)
    if steps is None:
        raise ValueError("no usable value and max")
    return Progress(*steps, as_id(data.get("prompt_id")), as_id(data.get("node")))


def _status(data: dict[str, Any]) -> Status:
    exec_info = as_object(as_object(data.get("status")).get("exec_info"))
    return Status(as_whole(exec_info.get("queue_remaining")), as_id(data.get("sid")))


_READERS: Final[dict[str, Callable[[dict[str, Any]], Message]]] = {
    "status": _status,
    "execution_start": reader_of(ExecutionStart),
    "execution_cached": reader_of(ExecutionCached),
    "executing": reader_of(Executing),
    "progress": _progress,
    # Foreign: no ComfyUI read so far sends it (section 3.2); it has no node.
    "execution_progress": _progress,
    "progress_state": read_progress_state,
    "executed": reader_of(Executed),
    "execution_success": reader_of(ExecutionSuccess),
    "execution_error": reader_of(ExecutionError),
    "execution_interrupted": reader_of(ExecutionInterrupted),
    "feature_flags": FeatureFlags,
}


def _read_binary(frame: frames.BinaryFrame) -> Message:
    if frame.kind == frames.TEXT:
        return NodeText(frame.head.decode(errors="replace"), frame.body.decode(errors="replace"))
    if not frame.body:
        raise ValueError("no picture")
    if frame.mime_type is not None:
        return Preview(frame.body, frame.mime_type)
    metadata = as_object(decode_json(frame.head))
    mime_type = as_id(metadata.get("image_type"))
    if mime_type is None or mime_type not in frames.MIME_TYPES:
        raise ValueError("no picture type")
    return Preview(frame.body, mime_type, as_id(metadata.get("prompt_id")), as_id(metadata.get("node_id")))


def _why(exc: Exception) -> str:
    return str(exc)[:_MAX_WHY_LENGTH]
