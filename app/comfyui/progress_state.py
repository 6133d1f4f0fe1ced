"""The one message that is quadratic in the size of the graph, and how to read it quickly.

Pure. ComfyUI sends every node started so far before and after each node and at each step: 203 MB for a graph of 1,000
nodes (COMFYUI_PROTOCOL section 3.2). So what a server normally writes goes to `NodeState`s in one typed pass; anything
odd takes the slow way, which drops no frame for the sake of one node.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

import msgspec

from app.comfyui.foreign import as_id, as_number, as_object

_WIRE_NAMES: Final = {
    "node": "node_id",
    "maximum": "max",
    "display_node": "display_node_id",
    "parent_node": "parent_node_id",
}


class NodeState(msgspec.Struct, frozen=True, gc=False, rename=_WIRE_NAMES):
    """One started node inside `ProgressState`; `state` is `running` or `finished` in every recording.

    Read straight from the wire, hence the other names there: frames of a large graph hold hundreds of these.
    """

    node: str
    value: Annotated[float, msgspec.Meta(ge=0)]
    maximum: Annotated[float, msgspec.Meta(gt=0)]
    state: str
    display_node: str | None = None
    parent_node: str | None = None


class ProgressState(msgspec.Struct, frozen=True):
    """Every node started so far. Pending and inner cached nodes are never listed."""

    prompt_id: str
    nodes: tuple[NodeState, ...] = ()


def decode_progress_state(frame: str | bytes) -> ProgressState | None:
    """The message in a text frame; None if it is another one, or not as a server normally writes it. Never raises."""
    if frame[: len(_START)] not in _STARTS:
        return None
    try:
        data = _FRAME.decode(frame).data
    except (ValueError, RecursionError):
        return None
    for node_id, state in data.nodes.items():
        if state.value > state.maximum or state.node != node_id:
            return None
    return ProgressState(data.prompt_id, tuple(data.nodes.values()))


def read_progress_state(data: dict[str, Any]) -> ProgressState:
    """The message from its parsed data; a node with unusable numbers stands at 0 of 1. Raises ValueError."""
    prompt_id = as_id(data.get("prompt_id"))
    if prompt_id is None:
        raise ValueError("no prompt_id")
    nodes = as_object(data.get("nodes"))
    return ProgressState(prompt_id, tuple(_node_state(node, as_object(state)) for node, state in nodes.items()))


def steps_of(data: dict[str, Any]) -> tuple[float, float] | None:
    """`value` and `max` (0 <= value <= max, max > 0), if together they say how far something is."""
    value, maximum = as_number(data.get("value")), as_number(data.get("max"))
    if value is None or maximum is None or value < 0 or maximum <= 0:
        return None
    return min(value, maximum), maximum


def _node_state(node_id: str, state: dict[str, Any]) -> NodeState:
    value, maximum = steps_of(state) or (0.0, 1.0)
    name = as_id(state.get("state")) or "running"
    display_node, parent_node = as_id(state.get("display_node_id")), as_id(state.get("parent_node_id"))
    return NodeState(node_id, value, maximum, name, display_node, parent_node)


class _Data(msgspec.Struct):
    prompt_id: str
    nodes: dict[str, NodeState]


class _Frame(msgspec.Struct):
    type: Literal["progress_state"]
    data: _Data


_FRAME: Final = msgspec.json.Decoder(_Frame)
_START: Final = '{"type": "progress_state"'
_STARTS: Final = (_START, _START.encode())
