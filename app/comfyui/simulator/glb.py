"""Writes a mesh as a binary glTF file.

Pure. Owns the layout of a GLB container (glTF 2.0, chapter 4) with one mesh of one colour.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

_JSON_CHUNK, _BINARY_CHUNK = b"JSON", b"BIN\0"
_FLOAT, _UNSIGNED_INT, _TRIANGLES = 5126, 5125, 4
_VERTICES_TARGET, _INDICES_TARGET = 34962, 34963
_GENERATOR: Final = "ComfyUI simulator"

Point = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Mesh:
    """A MESH: corners, triangles of three corners each by number, and a colour of red, green and blue from 0 to 1."""

    corners: tuple[Point, ...]
    triangles: tuple[tuple[int, int, int], ...]
    colour: Point


def encode(mesh: Mesh) -> bytes:
    """A whole file."""
    corners = struct.pack(f"<{3 * len(mesh.corners)}f", *chain.from_iterable(mesh.corners))
    indices = struct.pack(f"<{3 * len(mesh.triangles)}I", *chain.from_iterable(mesh.triangles))
    described = json.dumps(_scene(mesh, len(corners), len(indices)), separators=(",", ":")).encode()
    chunks = _chunk(_JSON_CHUNK, described, b" ") + _chunk(_BINARY_CHUNK, corners + indices, b"\0")
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _scene(mesh: Mesh, corner_bytes: int, index_bytes: int) -> dict[str, Any]:
    primitive = {"attributes": {"POSITION": 0}, "indices": 1, "material": 0, "mode": _TRIANGLES}
    material = {"pbrMetallicRoughness": {"baseColorFactor": [*mesh.colour, 1.0], "metallicFactor": 0.0}}
    return {
        "asset": {"version": "2.0", "generator": _GENERATOR},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [primitive]}],
        "materials": [material | {"doubleSided": True}],
        "buffers": [{"byteLength": corner_bytes + index_bytes}],
        "bufferViews": [
            {"buffer": 0, "byteOffset": 0, "byteLength": corner_bytes, "target": _VERTICES_TARGET},
            {"buffer": 0, "byteOffset": corner_bytes, "byteLength": index_bytes, "target": _INDICES_TARGET},
        ],
        "accessors": [_corners(mesh), _indices(mesh)],
    }


def _corners(mesh: Mesh) -> dict[str, Any]:
    """Viewers need the bounds; they are those of the numbers as they are stored, in single precision."""
    axes = [[_single(corner[axis]) for corner in mesh.corners] for axis in range(3)]
    bounds = {"min": [min(axis) for axis in axes], "max": [max(axis) for axis in axes]}
    return {"bufferView": 0, "componentType": _FLOAT, "count": len(mesh.corners), "type": "VEC3"} | bounds


def _indices(mesh: Mesh) -> dict[str, Any]:
    return {"bufferView": 1, "componentType": _UNSIGNED_INT, "count": 3 * len(mesh.triangles), "type": "SCALAR"}


def _single(value: float) -> float:
    single: float = struct.unpack("<f", struct.pack("<f", value))[0]
    return single


def _chunk(kind: bytes, content: bytes, padding: bytes) -> bytes:
    padded = content + padding * (-len(content) % 4)
    return struct.pack("<I4s", len(padded), kind) + padded
