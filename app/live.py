"""What is known of a run beside its record, and how each kind of progress message adds to it.

Pure. Owns `Live` and the folding of ComfyUI's three progress shapes, in any mixture, into the nodes of the plan; knows
no status and says nothing to a watcher. Nodes weigh as many units as they have sampling steps, others one, so that the
percentage moves with the work and not with the number of boxes in the graph.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import msgspec

from app.comfyui.messages import NodeState, Progress, ProgressState
from app.comfyui.workflow import Plan

Own: TypeAlias = tuple[float, float]
"""A node's own (value, maximum), with 0 <= value <= maximum."""

UNTOLD: Final[Own] = (0.0, 0.0)
"""The own progress of a node that has told none."""

LARGEST: Final = 1_000_000.0
"""Beyond it a node's unit is no step (some count bytes): its numbers are scaled down, and every sum stays storable."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What a plan is measured by: each node's weight, their sum, and the planned steps of those that sample."""

    weights: Mapping[str, int]
    total: int
    samplers: Mapping[str, int]


class Live(msgspec.Struct, frozen=True):
    """`own` is each planned node's own progress; `done_weight` and `cached_weight` weigh all of `done` and the cached.

    `node` is the planned node at work. With `has_node_states` the server tells itself which nodes are done.
    """

    plan: Plan
    scale: Scale
    done: frozenset[str] = frozenset()
    done_weight: int = 0
    cached_weight: int = 0
    own: Mapping[str, Own] = {}
    node: str | None = None
    has_node_states: bool = False
    images: int = 0
    percentage: float = 0.0
    queue_position: int | None = None
    eta_s: float | None = None
    is_ending: bool = False


def fresh(plan: Plan, percentage: float = 0.0, queue_position: int | None = None) -> Live:
    """A run nothing was heard of yet, shown at `percentage`."""
    return Live(plan, scale_of(plan), percentage=percentage, queue_position=queue_position)


def scale_of(plan: Plan) -> Scale:
    samplers = {node_id: node.steps for node_id, node in plan.nodes.items() if node.steps > 0}
    weights = {node_id: samplers.get(node_id, 1) for node_id in plan.nodes}
    return Scale(weights, sum(weights.values()), samplers)


def fold(plan: Plan, node: str | None, display_node: str | None = None) -> str | None:
    """The planned node a person sees for `node`; one made by expansion ("10.0.0.3") belongs to the one it replaces."""
    nodes = plan.nodes
    if node is not None and node in nodes:
        return node
    if display_node is not None and display_node in nodes:
        return display_node
    root = (node or display_node or "").split(".", 1)[0]
    return root if root in nodes else None


def with_cached(live: Live, nodes: Collection[str]) -> Live:
    """These nodes' results are reused: they are done without any work."""
    after = _with_done(live, nodes)
    reused = after.done_weight - live.done_weight
    return msgspec.structs.replace(after, cached_weight=live.cached_weight + reused) if reused else live


def with_executing(live: Live, node: str | None, display_node: str | None) -> Live:
    """A node starts. Where the server sends no `progress_state`, the one before it is done by that."""
    now = fold(live.plan, node, display_node)
    if now is None or now == live.node:
        return live
    if live.has_node_states:
        return live if now in live.done else msgspec.structs.replace(live, node=now)
    return msgspec.structs.replace(_with_done(live, () if live.node is None else (live.node,)), node=now)


def with_progress(live: Live, said: Progress) -> Live:
    """One node's own progress; without a node it is the one at work, or else the next that samples."""
    node = fold(live.plan, said.node) if said.node is not None else live.node or _next_sampler(live)
    own = _own(said.value, said.maximum)
    if node is None or own is None or (live.has_node_states and node in live.done):
        return live
    if live.node == node and live.own.get(node) == own:
        return live
    return msgspec.structs.replace(live, node=node, own={**live.own, node: own})


def with_states(live: Live, said: ProgressState) -> Live:
    """All started nodes at once. Inner nodes of an expansion never finish the node they stand for."""
    finished, at_work = _sorted_out(live, said.nodes)
    moved = {node: own for node, own in at_work.items() if own is not None and live.own.get(node) != own}
    if moved:
        node: str | None = next(reversed(moved))
    elif live.node in at_work:
        node = live.node
    else:
        node = next(reversed(at_work), live.node)
    if live.has_node_states and not finished and not moved and node == live.node:
        return live
    own = {**live.own, **moved, **_ends(finished)} if moved or finished else live.own
    return msgspec.structs.replace(
        _with_done(live, (state.node for state in finished)), own=own, node=node, has_node_states=True
    )


def with_output(live: Live, node: str, images: int) -> Live:
    """An output node delivered so many new images, and is done by that; inner nodes of an expansion finish nothing."""
    after = _with_done(live, (node,))
    return msgspec.structs.replace(after, images=live.images + images) if images else after


def _sorted_out(live: Live, states: Iterable[NodeState]) -> tuple[list[NodeState], dict[str, Own | None]]:
    """The planned nodes that are newly finished, and those at work with what they said of themselves, if anything."""
    plan, done = live.plan, live.done
    nodes = plan.nodes
    finished: list[NodeState] = []
    at_work: dict[str, Own | None] = {}
    for state in states:
        node = state.node
        if state.state == "finished":
            if node not in done and node in nodes:
                finished.append(state)
        elif state.state != "pending":
            visible = fold(plan, node, state.display_node)
            if visible is not None and visible not in done:
                at_work[visible] = _said(state) or at_work.get(visible)
    return finished, at_work


def _said(state: NodeState) -> Own | None:
    """Running nodes start as 0 of 1, which tells nothing and would overwrite a node's true numbers."""
    return _own(state.value, state.maximum) if state.maximum > 1 or state.value > 0 else None


def _own(value: float, maximum: float) -> Own | None:
    """The two numbers as a progress that can be shown and added; None where they are none."""
    if not 0.0 < maximum < math.inf:
        return None
    value = min(max(0.0, value), maximum)
    return (value, maximum) if maximum <= LARGEST else (value / maximum * LARGEST, LARGEST)


def _ends(finished: Iterable[NodeState]) -> dict[str, Own]:
    """Nodes that counted end at their maximum, also if their last counts were not heard."""
    owns = ((state.node, _own(state.maximum, state.maximum)) for state in finished if state.maximum > 1)
    return {node: own for node, own in owns if own is not None}


def _with_done(live: Live, nodes: Iterable[str]) -> Live:
    weights = live.scale.weights
    new = {node for node in nodes if node in weights and node not in live.done}
    if not new:
        return live
    weight = live.done_weight + sum(weights[node] for node in new)
    return msgspec.structs.replace(live, done=live.done | new, done_weight=weight)


def _next_sampler(live: Live) -> str | None:
    return next((node for node in live.scale.samplers if node not in live.done), None)
