"""The node classes a simulator has: ComfyUI's definitions with behaviour of our own.

`standard_nodes` joins each packaged definition to its function. Others are added by `SimulatorOptions.nodes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.comfyui.simulator.nodes import images, loaders, sampling, saving
from app.comfyui.simulator.nodes.base import Node
from app.comfyui.simulator.nodes.models import ModelNames, definitions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.comfyui.simulator.nodes.base import NodeFunction

FUNCTIONS: dict[str, NodeFunction] = loaders.FUNCTIONS | sampling.FUNCTIONS | images.FUNCTIONS | saving.FUNCTIONS


def standard_nodes(models: ModelNames) -> dict[str, Node]:
    """All built-in node classes by name."""
    known = definitions(models)
    return {name: _node(name, function, known) for name, function in FUNCTIONS.items()}


def _node(name: str, function: NodeFunction, known: Mapping[str, Mapping[str, object]]) -> Node:
    if name not in images.LOADS_FILES:
        return Node(definition=known[name], function=function)
    return Node(
        definition=known[name],
        function=function,
        fingerprint=images.file_fingerprint,
        complaint=images.file_complaint,
        complains_about=frozenset({"image"}),
    )
