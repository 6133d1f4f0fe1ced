"""What is known of a run beside its record, and how each kind of progress message adds to it.

Pure. Owns `Live` and the folding of ComfyUI's three progress shapes, in any mixture, into the nodes of the plan; knows
no status and says nothing to a watcher. What a node weighs, and so how the percentage moves, is `scale`'s.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from typing import Final, TypeAlias

import msgspec

from app.comfyui.messages import NodeState, Progress, ProgressState
from app.comfyui.workflow import Plan
from app.scale import Scale, scale_of
from app.timing import Forecast, Kind, Times, ended, started, stepped

Own: TypeAlias = tuple[float, float]
"""A node's own (value, maximum), with 0 <= value <= maximum."""

UNTOLD: Final[Own] = (0.0, 0.0)
"""The own progress of a node that has told none."""

LARGEST: Final = 1_000_000.0
"""Beyond it a node's unit is no step (some count bytes): its numbers are scaled down, and every sum stays storable."""


class Live(msgspec.Struct, frozen=True):
    """`own` is each planned node's own progress; `done_weight` weighs all of `done`, of which `cached` were reused.

    `inner` holds the steps told by the nodes that a planned one was expanded into. `node` is the planned node at work.
    With `has_node_states` the server tells itself which nodes are done. `left_s`: seconds foreseen for the nodes not
    done, samplers aside. `eta_s` was true at `eta_at`. `place` is the one in the backend's queue as far as we filled it
    ourselves, and `turn_at` when it should be over.
    """

    plan: Plan
    scale: Scale
    kind: Kind | None = None
    forecast: Forecast | None = None
    times: Times = Times()
    done: frozenset[str] = frozenset()
    done_weight: float = 0.0
    cached: frozenset[str] | None = None
    left_s: float = 0.0
    own: Mapping[str, Own] = {}
    inner: Mapping[str, Mapping[str, float]] = {}
    node: str | None = None
    has_node_states: bool = False
    images: int = 0
    percentage: float = 0.0
    queue_position: int | None = None
    place: int | None = None
    turn_at: float | None = None
    eta_s: float | None = None
    eta_at: float = 0.0
    is_ending: bool = False


def fresh(plan: Plan, percentage: float = 0.0, queue_position: int | None = None, kind: Kind | None = None) -> Live:
    """A run nothing was heard of yet, shown at `percentage`."""
    return Live(plan, scale_of(plan, kind), kind, percentage=percentage, queue_position=queue_position)


def with_forecast(live: Live, forecast: Forecast) -> Live:
    """What earlier runs tell has become known."""
    return _weighed(msgspec.structs.replace(live, forecast=forecast))


def with_turn(live: Live, place: int, turn_at: float | None) -> Live:
    """It is `place`th (1 is next) of those we handed to its backend, and begins at `turn_at` if that can be told."""
    if (live.place, live.turn_at) == (place, turn_at):
        return live
    return msgspec.structs.replace(live, place=place, turn_at=turn_at)


def later(live: Live) -> Live:
    """Nothing new was heard but that the run goes on: its remaining time, if it has one, is another now."""
    return live if live.eta_s is None and live.turn_at is None else msgspec.structs.replace(live)


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
    reused = frozenset(node for node in nodes if node in live.plan.nodes)
    if live.cached is not None and reused <= live.cached:
        return live
    after = msgspec.structs.replace(_with_done(live, reused, None), cached=reused | (live.cached or frozenset()))
    return after if after.forecast is None else _weighed(after)


def with_executing(live: Live, node: str | None, display_node: str | None, at: float) -> Live:
    """A node starts. Where the server sends no `progress_state`, the one before it is done by that."""
    now = fold(live.plan, node, display_node)
    if now is None or now == live.node:
        return live
    if live.has_node_states and now in live.done:
        return live
    before = () if live.has_node_states or live.node is None else (live.node,)
    after = _with_done(live, before, at)
    return msgspec.structs.replace(after, node=now, times=_started(after, (now,), at))


def with_progress(live: Live, said: Progress, at: float) -> Live:
    """One node's own progress; without a node it is the one at work, or else the next that samples."""
    node = fold(live.plan, said.node) if said.node is not None else live.node or _next_sampler(live)
    own = _own(said.value, said.maximum)
    if node is None or own is None or (live.has_node_states and node in live.done):
        return live
    inner = live.inner
    if said.node is not None and node != said.node:
        if said.maximum <= 1:
            return live
        inner = {**inner, node: {**inner.get(node, {}), said.node: own[0]}}
        own = _summed(live, node, inner[node], own[1])
    if live.node == node and live.own.get(node) == own:
        return live
    times = stepped(live.times, node, own[0], at)
    return msgspec.structs.replace(live, node=node, own={**live.own, node: own}, inner=inner, times=times)


def with_states(live: Live, said: ProgressState, at: float) -> Live:
    """All started nodes at once. Inner nodes of an expansion never finish the node they stand for."""
    finished, at_work, inner = _sorted_out(live, said.nodes)
    moved = {node: own for node, own in at_work.items() if own is not None and live.own.get(node) != own}
    if moved:
        node: str | None = next(reversed(moved))
    elif live.node in at_work:
        node = live.node
    else:
        node = next(reversed(at_work), live.node)
    if live.has_node_states and not finished and not moved and node == live.node:
        return live
    times = _started(live, at_work, at)
    for name, (value, _) in moved.items():
        times = stepped(times, name, value, at)
    if times is not live.times:
        live = msgspec.structs.replace(live, times=times)
    own = {**live.own, **moved, **_ends(finished)} if moved or finished else live.own
    return msgspec.structs.replace(
        _with_done(live, (state.node for state in finished), at),
        own=own,
        inner={**live.inner, **inner} if inner else live.inner,
        node=node,
        has_node_states=True,
    )


def with_output(live: Live, node: str, images: int, at: float) -> Live:
    """An output node delivered so many new images, and is done by that; inner nodes of an expansion finish nothing."""
    after = _with_done(live, (node,), at)
    return msgspec.structs.replace(after, images=live.images + images) if images else after


def _sorted_out(
    live: Live, states: Iterable[NodeState]
) -> tuple[list[NodeState], dict[str, Own | None], dict[str, dict[str, float]]]:
    """The planned nodes newly finished; those at work with what they said of themselves, if anything; inner steps."""
    plan, done = live.plan, live.done
    nodes = plan.nodes
    finished: list[NodeState] = []
    at_work: dict[str, Own | None] = {}
    inner: dict[str, dict[str, float]] = {}
    for state in states:
        node = state.node
        if node in done or state.state == "pending":
            continue
        if node in nodes and state.state == "finished":
            finished.append(state)
        elif node in nodes:
            at_work[node] = _said(state) or at_work.get(node)
        elif (visible := fold(plan, node, state.display_node)) is not None and visible not in done:
            at_work[visible] = _told_inside(live, visible, state, inner) or at_work.get(visible)
    return finished, at_work, inner


def _told_inside(live: Live, visible: str, state: NodeState, inner: dict[str, dict[str, float]]) -> Own | None:
    """The progress of the node a person sees after a word of one inside it. Inner nodes without steps tell none."""
    own = _own(state.value, state.maximum)
    if own is None or state.maximum <= 1:
        return None
    steps = inner.setdefault(visible, dict(live.inner.get(visible, {})))
    steps[state.node] = own[0]
    return _summed(live, visible, steps, own[1])


def _summed(live: Live, visible: str, steps: Mapping[str, float], maximum: float) -> Own:
    """The steps of all inner nodes together, of those planned for the node they stand for: more are not shown, so that
    neither the total grows nor the count goes back. Without planned steps the first maximum told stays.
    """
    before, most = live.own.get(visible, UNTOLD)
    total = float(live.plan.nodes[visible].steps) or most or maximum
    return (min(total, max(sum(steps.values()), before)), total)


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


def _started(live: Live, nodes: Iterable[str], at: float) -> Times:
    times = live.times
    for node in nodes:
        if node not in live.done:
            times = started(times, node, at)
    return times


def _with_done(live: Live, nodes: Iterable[str], at: float | None) -> Live:
    """`at`: when they ended; None for nodes that had nothing to do."""
    weights, forecast = live.scale.weights, live.forecast
    new = {node for node in nodes if node in weights and node not in live.done}
    if not new:
        return live
    left_s = live.left_s
    if forecast is not None:
        left_s -= sum(forecast.seconds.get(node, 0.0) for node in new if node not in forecast.step_s)
    return msgspec.structs.replace(
        live,
        done=live.done | new,
        done_weight=live.done_weight + sum(weights[node] for node in new),
        left_s=max(0.0, left_s),
        times=live.times if at is None else ended(live.times, new, at),
    )


def _weighed(live: Live) -> Live:
    """`live` on the scale of its forecast: what is reused, or was last time while nobody has told, takes no time."""
    forecast = live.forecast
    if forecast is None:
        return live
    free = forecast.reused if live.cached is None else live.cached
    scale = scale_of(live.plan, live.kind, forecast, free)
    idle = live.done | forecast.step_s.keys() | free
    return msgspec.structs.replace(
        live,
        scale=scale,
        done_weight=sum(scale.weights[node] for node in live.done),
        left_s=sum(seconds for node, seconds in forecast.seconds.items() if node not in idle),
    )


def _next_sampler(live: Live) -> str | None:
    return next((node for node in live.scale.samplers if node not in live.done), None)
