"""What ComfyUI's HTTP routes answer, read into values.

Pure. Never holds the graph or the `extra_data` of anybody's prompt: `/queue` and `/history` carry both, API keys
included (COMFYUI_PROTOCOL section 2.2), and they are skipped while reading. Functions raise ValueError or
RecursionError for bytes that are no such answer.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from app.comfyui.foreign import (
    as_id,
    as_list,
    as_number,
    as_object,
    as_whole,
    decode_as,
    decode_json,
    reader_of,
    required_object,
)
from app.comfyui.history import HistoryEntry, parse_entry
from app.comfyui.refusals import node_errors_of


class Accepted(msgspec.Struct, frozen=True):
    """ComfyUI queued a prompt. `prompt_id` is the one in force: some forks do not honour the one they were given.

    `number` orders the queue (lowest first) and is no position. `node_errors` can hold errors all the same: outputs
    that did not validate are dropped while the others run.
    """

    prompt_id: str
    number: float | None = None
    node_errors: dict[str, Any] = {}


class QueueState(msgspec.Struct, frozen=True):
    """Who runs and who waits, by prompt_id; `pending` in the order of execution."""

    running: tuple[str, ...] = ()
    pending: tuple[str, ...] = ()


class Device(msgspec.Struct, frozen=True, rename={"vram_total_bytes": "vram_total", "vram_free_bytes": "vram_free"}):
    """One device a server computes on."""

    name: str | None = None
    type: str | None = None
    vram_total_bytes: int | None = None
    vram_free_bytes: int | None = None


class SystemStats(msgspec.Struct, frozen=True):
    """What a server says of itself; `version` is ComfyUI's own, None in old versions."""

    version: str | None = None
    os: str | None = None
    devices: tuple[Device, ...] = ()


class Upload(msgspec.Struct, frozen=True):
    """A stored input file, under the name ComfyUI gave it."""

    filename: str
    subfolder: str = ""
    type: str = "input"

    @property
    def input_value(self) -> str:
        """What a node such as LoadImage takes as its value."""
        path = f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename
        return path if self.type == "input" else f"{path} [{self.type}]"


def read_accepted(body: bytes) -> Accepted:
    answer = as_object(decode_json(body))
    prompt_id = as_id(answer.get("prompt_id"))
    if prompt_id is None:
        raise ValueError("no prompt_id")
    return Accepted(prompt_id, as_number(answer.get("number")), node_errors_of(answer))


def read_queue(body: bytes) -> QueueState:
    """`queue_pending` comes as a heap, not in the order of execution (section 2.2)."""
    queue = decode_as(_QUEUE, body)
    pending = sorted((as_number(item.number) or 0.0, item.prompt_id) for item in queue.queue_pending)
    return QueueState(
        running=tuple(item.prompt_id for item in queue.queue_running),
        pending=tuple(prompt_id for _, prompt_id in pending),
    )


def read_history(body: bytes, prompt_id: str) -> HistoryEntry | None:
    """The prompt's entry; None while there is none."""
    entry = decode_as(_HISTORY, body).get(prompt_id)
    return None if entry is None else parse_entry(prompt_id, {"outputs": entry.outputs, "status": entry.status})


def read_queue_remaining(body: bytes) -> int:
    remaining = as_whole(as_object(as_object(decode_json(body)).get("exec_info")).get("queue_remaining"))
    if remaining is None:
        raise ValueError("no queue_remaining")
    return remaining


def read_system_stats(body: bytes) -> SystemStats:
    stats = as_object(decode_json(body))
    system = required_object(stats.get("system"))
    devices = tuple(_device(device) for device in as_list(stats.get("devices")) if isinstance(device, dict))
    return SystemStats(as_id(system.get("comfyui_version")), as_id(system.get("os")), devices)


def read_upload(body: bytes) -> Upload:
    answer = as_object(decode_json(body))
    name = as_id(answer.get("name"))
    if not name:
        raise ValueError("no name")
    return Upload(name, as_id(answer.get("subfolder")) or "", as_id(answer.get("type")) or "input")


def read_object(body: bytes) -> dict[str, Any]:
    return required_object(decode_json(body))


class _QueueItem(msgspec.Struct, array_like=True):
    """`[number, prompt_id, graph, extra_data, outputs]`, of which the last three are not even looked at."""

    number: Any
    prompt_id: str


class _Queue(msgspec.Struct):
    queue_running: list[_QueueItem]
    queue_pending: list[_QueueItem]


class _Entry(msgspec.Struct):
    outputs: Any = None
    status: Any = None


_QUEUE: Final = msgspec.json.Decoder(_Queue)
_HISTORY: Final = msgspec.json.Decoder(dict[str, _Entry])
_device: Final = reader_of(Device)
