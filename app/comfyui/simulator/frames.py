"""Bytes on the wire, as ComfyUI writes them. Pure.

JSON is Python's own, so NaN and Infinity come out as bare words (COMFYUI_PROTOCOL section 9).
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from itertools import cycle
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Wire: TypeAlias = str | bytes


class BinaryType(IntEnum):
    """The first four bytes of a binary frame (section 3.3)."""

    PREVIEW = 1
    TEXT = 3
    PREVIEW_WITH_METADATA = 4


class ImageFormat(IntEnum):
    """How a type 1 frame names its picture's encoding."""

    JPEG = 1
    PNG = 2


class Said(StrEnum):
    """Names of messages, binary ones included, as `wait_for` and `hold` know them."""

    STATUS = "status"
    EXECUTION_START = "execution_start"
    EXECUTION_CACHED = "execution_cached"
    EXECUTING = "executing"
    PROGRESS = "progress"
    PROGRESS_STATE = "progress_state"
    EXECUTION_PROGRESS = "execution_progress"
    EXECUTED = "executed"
    EXECUTION_SUCCESS = "execution_success"
    EXECUTION_ERROR = "execution_error"
    EXECUTION_INTERRUPTED = "execution_interrupted"
    FEATURE_FLAGS = "feature_flags"
    LOGS = "logs"
    PREVIEW = "preview"
    TEXT = "text"
    TAKEN = "taken"
    """Not a message: a prompt began to run; its id stands for the node."""
    FINISHED = "finished"
    """Not a message: the worker is done with a prompt, its history is written; its id stands for the node."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message on its way out. `to` is the client id it is for; None means every socket."""

    message_type: str
    data: object
    to: object = None
    node: str | None = None

    def encode(self) -> Wire:
        """Raises TypeError for what JSON has no word for, which ends a real server (section 10)."""
        if isinstance(self.data, bytes):
            return self.data
        return json.dumps({"type": self.message_type, "data": self.data})


def preview(picture: bytes, image_format: ImageFormat) -> bytes:
    """Type 1: no ids."""
    return struct.pack(">II", BinaryType.PREVIEW, image_format) + picture


def preview_with_metadata(picture: bytes, metadata: Mapping[str, object]) -> bytes:
    """Type 4: JSON before the picture."""
    text = json.dumps(metadata).encode()
    return struct.pack(">II", BinaryType.PREVIEW_WITH_METADATA, len(text)) + text + picture


def node_text(node_id: str, text: str) -> bytes:
    """Type 3: text of a node."""
    name = node_id.encode()
    return struct.pack(">II", BinaryType.TEXT, len(name)) + name + text.encode()


JUNK: tuple[Wire, ...] = (
    "{not json",
    "null",
    "[]",
    "{}",
    '{"type": "no_such_message", "data": {"prompt_id": null}}',
    '{"type": "executing", "data": null}',
    '{"type": "progress", "data": {"value": null, "max": 0}}',
    '{"type": null, "data": {}}',
    '{"type": "executed", "data": {"node": 7, "output": "text"}}',
    "",
    b"",
    b"\x00",
    b"\x00\x00\x00\x09unknown binary type",
    b"\x00\x00\x00\x01",
    b"\x00\x00\x00\x04\xff\xff\xff\xff{}",
    b"\x00\x00\x00\x03\x00\x00\x00\x50short",
)
"""Frames no client should stumble over: broken JSON, nulls, wrong types, cut binary headers."""


def junk() -> Iterator[Wire]:
    """All of `JUNK`, over and over."""
    return cycle(JUNK)
