"""The node classes a simulator has: ComfyUI's definitions with behaviour of our own.

`standard_nodes` joins each packaged definition to its function. Others are added by `SimulatorOptions.nodes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.comfyui.simulator.nodes import images, loaders, masks, meshes, sampling, saving, sounds, videos
from app.comfyui.simulator.nodes.base import Node
from app.comfyui.simulator.nodes.files import FILE_INPUTS, file_node
from app.comfyui.simulator.nodes.models import ModelNames, definitions

if TYPE_CHECKING:
    from app.comfyui.simulator.nodes.base import NodeFunction

_FAMILIES = (loaders, sampling, images, masks, videos, sounds, meshes, saving)
FUNCTIONS: dict[str, NodeFunction] = {name: each for family in _FAMILIES for name, each in family.FUNCTIONS.items()}


def standard_nodes(models: ModelNames) -> dict[str, Node]:
    """All built-in node classes by name."""
    known = definitions(models)
    return {
        name: file_node(known[name], function, FILE_INPUTS[name])
        if name in FILE_INPUTS
        else Node(definition=known[name], function=function)
        for name, function in FUNCTIONS.items()
    }
