"""Writes tensors as ComfyUI stores latents: a JSON header with its length before it, then the numbers.

Pure. Owns the safetensors container; knows nothing of what the numbers mean.
"""

from __future__ import annotations

import json
import struct
import sys
from array import array
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALIGNMENT = 8


def encode(tensors: Mapping[str, tuple[tuple[int, ...], array[float]]], metadata: Mapping[str, str]) -> bytes:
    """A whole file: shape and values, an array of type "f", by name. ValueError if they do not agree."""
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    content = b""
    for name, (shape, values) in tensors.items():
        if prod(shape) != len(values):
            raise ValueError(f"{name} has {len(values)} values, not those of shape {shape}")
        begins, content = len(content), content + _little(values)
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begins, len(content)]}
    described = json.dumps(header, separators=(",", ":")).encode()
    described += b" " * (-len(described) % _ALIGNMENT)
    return struct.pack("<Q", len(described)) + described + content


def _little(values: array[float]) -> bytes:
    if sys.byteorder == "little":
        return values.tobytes()
    swapped = array("f", values)
    swapped.byteswap()
    return swapped.tobytes()
