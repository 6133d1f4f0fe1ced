"""Brings what a server said into a form in which two runs can be compared.

Ids, times, counters, file numbers and traces go; keys, their order, types and everything else stay.
"""

from __future__ import annotations

import json
import re
import struct
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from PIL import Image

_NUMBERED = re.compile(r"_\d{5}_\.")
_TEMPORARY = re.compile(r"ComfyUI_temp_[a-z]{5}")
UNSORTED = ("executed", "current_outputs", "outputs_to_execute")


def plain_name(text: str) -> str:
    """Without the number of a file and the letters of a temporary one."""
    return _TEMPORARY.sub("ComfyUI_temp", _NUMBERED.sub("_N_.", text))


@dataclass(frozen=True)
class Frame:
    """A frame: its kind, and its data as parsed."""

    kind: str
    data: Any


def frame_of(said: Any) -> Frame:
    """A frame of a socket, or a `ws-in` line of a recording."""
    if isinstance(said, bytes):
        return _binary(said)
    if isinstance(said, dict):
        if "bin" in said:
            return _recorded_binary(said["bin"])
        said = said["raw"] if "raw" in said else json.dumps(said["json"])
    parsed = json.loads(said)
    return Frame(parsed["type"], parsed["data"])


def is_counted(frame: Frame) -> bool:
    """`status` and log lines may come at any time."""
    return frame.kind not in ("status", "logs")


def _binary(wire: bytes) -> Frame:
    kind = struct.unpack(">I", wire[:4])[0]
    length = struct.unpack(">I", wire[4:8])[0]
    if kind == 3:
        return Frame("text", {"node": wire[8 : 8 + length].decode(), "text": wire[8 + length :].decode()})
    metadata = json.loads(wire[8 : 8 + length]) if kind == 4 else None
    with Image.open(BytesIO(wire[8 + (length if kind == 4 else 0) :])) as picture:
        return _preview(kind, metadata, str(picture.format).lower(), list(picture.size))


def _recorded_binary(described: dict[str, Any]) -> Frame:
    if described["event_type"] == 3:
        return Frame("text", {"node": described["node_id"], "text": described["text"]})
    metadata = described.get("metadata")
    return _preview(described["event_type"], metadata, described["image_format"], described["image_size"])


def _preview(kind: int, metadata: Any, image_format: str, size: list[int]) -> Frame:
    return Frame("preview", {"kind": kind, "metadata": metadata, "format": image_format, "size": size})


class Normaliser:
    """`ids` maps this side's prompt ids to common names."""

    def __init__(self, ids: dict[str, str], number_base: int) -> None:
        self._ids = ids
        self._base = number_base

    def frames(self, frames: list[Frame]) -> list[Any]:
        """A socket's frames in order, but for those that may come at any time."""
        return [(frame.kind, self.value(frame.data)) for frame in frames if is_counted(frame)]

    def value(self, value: Any, key: str = "") -> Any:
        """Any JSON value. Objects become tuples of pairs, so that the order of keys counts."""
        if isinstance(value, dict):
            return self._object(value, key)
        if isinstance(value, list):
            return self._list(value, key)
        if isinstance(value, str):
            return self._text(value)
        if key == "timestamp":
            return "time"
        if key == "number":
            return self._number(value)
        return repr(value) if isinstance(value, float) else value

    def _text(self, value: str) -> str:
        if "memory" in value:
            return value.partition("\n")[0]
        return plain_name(self._ids.get(value, value))

    def _number(self, number: float) -> float:
        """A number the server counted, from where it began; `front` makes it negative."""
        if not isinstance(number, int):
            return number
        return number - self._base if number >= 0 else number + self._base

    def _object(self, value: dict[str, Any], key: str) -> Any:
        if key == "current_inputs":
            return tuple(value)
        pairs = [
            (self._ids.get(name, name), self.value(item, name)) for name, item in value.items() if name != "tooltip"
        ]
        return tuple(sorted(pairs) if key in ("outputs", "meta") else pairs)

    def _list(self, value: list[Any], key: str) -> Any:
        if key == "traceback":
            return "trace" if value else "no trace"
        if key in UNSORTED:
            return sorted(value)
        if key in ("prompt", "queue_running", "queue_pending") and len(value) == 5 and isinstance(value[1], str):
            return [self._number(value[0]), *(self.value(item) for item in value[1:4]), sorted(value[4])]
        return [self.value(item, key) for item in value]
