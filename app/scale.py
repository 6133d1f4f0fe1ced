"""What the nodes of a run weigh against each other, so that the percentage moves with the work.

Pure. By what earlier runs took where that is known; else samplers by their steps and pixels, the others little: most of
them are over in an instant, and counting boxes would show half the bar before the first step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from app.comfyui.workflow import Plan
from app.timing import Forecast, Kind

ASIDE: Final = 0.25
"""What a node that does not sample weighs, in steps, ..."""

MAX_ASIDE: Final = 0.25
"""... and how much all of them may weigh together, as a share of the samplers' steps."""

FLOOR: Final = 0.05
"""The share of the expected time that all nodes have in equal parts, so that each of them moves the percentage."""


@dataclass(frozen=True, slots=True)
class Scale:
    """What a plan is measured by: each node's weight, their sum, and the planned steps of those that sample."""

    weights: Mapping[str, float]
    total: float
    samplers: Mapping[str, int]


def scale_of(
    plan: Plan, kind: Kind | None = None, forecast: Forecast | None = None, reused: Collection[str] = ()
) -> Scale:
    """The scale of a plan; nodes in `reused` take no time."""
    samplers = {node_id: node.steps for node_id, node in plan.nodes.items() if node.steps > 0}
    weights = _by_seconds(plan, forecast, reused) if forecast is not None else {}
    weights = weights or _by_steps(plan, samplers, kind)
    return Scale(weights, sum(weights.values()), samplers)


def _by_seconds(plan: Plan, forecast: Forecast, reused: Collection[str]) -> dict[str, float]:
    seconds = {node: 0.0 if node in reused else forecast.seconds.get(node, 0.0) for node in plan.nodes}
    floor = FLOOR * sum(seconds.values()) / max(1, len(seconds))
    return {node: floor + expected for node, expected in seconds.items()} if floor else {}


def _by_steps(plan: Plan, samplers: Mapping[str, int], kind: Kind | None) -> dict[str, float]:
    """In steps of the average sampler: one of a larger picture weighs more."""
    others = len(plan.nodes) - len(samplers)
    if not samplers:
        return dict.fromkeys(plan.nodes, 1.0)
    aside = min(ASIDE, MAX_ASIDE * sum(samplers.values()) / max(1, others))
    sizes = {node: 1.0 if kind is None else kind.megapixels.get(node, 1.0) for node in samplers}
    mean = sum(samplers[node] * sizes[node] for node in samplers) / sum(samplers.values())
    return {node: samplers[node] * sizes[node] / mean if node in samplers else aside for node in plan.nodes}
