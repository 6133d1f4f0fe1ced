"""Three dimensions: a hilly piece of land made of a latent, and GLB files.

Owns what flows between the 3D nodes and what they save.
"""

from __future__ import annotations

import colorsys
import math
from hashlib import blake2b
from random import Random

from app.comfyui.simulator import glb
from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.saving import one_file
from app.comfyui.simulator.nodes.values import Conditioning, Latent, Vision

_SIDE = 64
"""Pixels of the previews of a latent that is no picture."""
_CELLS = 16
"""Squares along each edge of the land."""


def _empty_latent(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[Latent(_SIDE, _SIDE, given["batch_size"])])


def _condition(_: Run, given: Inputs) -> Outputs:
    seen: Vision = given["clip_vision_output"]
    return Outputs(values=[Conditioning("", f"{seen.model}:{seen.digest}"), Conditioning("")])


def _decode(_: Run, given: Inputs) -> Outputs:
    """A VOXEL is a recipe per element of the batch."""
    latent: Latent = given["samples"]
    return Outputs(values=[tuple(f"{latent.recipe}|{index}" for index in range(latent.batch_size))])


def _to_meshes(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[tuple(_land(recipe) for recipe in given["voxel"])])


def _land(recipe: str) -> glb.Mesh:
    """Two waves across a square of side 2."""
    chance = Random(blake2b(recipe.encode(), digest_size=16).digest())  # noqa: S311  # hills, not secrets
    waves = [(chance.uniform(1, 4), chance.uniform(1, 4), chance.uniform(0, math.tau)) for _ in range(2)]
    axis = [2 * index / _CELLS - 1 for index in range(_CELLS + 1)]
    corners = tuple(
        (x, sum(math.sin(along * x + across * z + shift) for along, across, shift in waves) / 4, z)
        for z in axis
        for x in axis
    )
    squares = [row * (_CELLS + 1) + column for row in range(_CELLS) for column in range(_CELLS)]
    below = _CELLS + 1
    triangles = tuple(
        triangle
        for corner in squares
        for triangle in ((corner, corner + below, corner + 1), (corner + 1, corner + below, corner + below + 1))
    )
    return glb.Mesh(corners, triangles, colorsys.hsv_to_rgb(chance.random(), 0.5, 0.8))


def _save(run: Run, given: Inputs) -> Outputs:
    items = []
    for mesh in given["mesh"]:
        new = one_file(run, given["filename_prefix"], ".glb")
        new.path.write_bytes(glb.encode(mesh))
        items.append(new.as_item())
    return Outputs(ui={"3d": items})


FUNCTIONS: dict[str, NodeFunction] = {
    "EmptyLatentHunyuan3Dv2": _empty_latent,
    "Hunyuan3Dv2Conditioning": _condition,
    "VAEDecodeHunyuan3D": _decode,
    "VoxelToMesh": _to_meshes,
    "VoxelToMeshBasic": _to_meshes,
    "SaveGLB": _save,
}
