"""The public face of a generation: its numbers at one moment, made from its record and what is known of its run.

Pure. Owns percentage, steps and counts; knows nothing of statuses' rules, which are lifecycle's, nor of messages, which
`live` folds, nor of the remaining time, which is `eta`'s.
"""

from __future__ import annotations

from typing import Final

import msgspec

from app import eta
from app.comfyui.workflow import Plan
from app.events import AggregateProgress, ImageCount, Moment, NodeProgress, ProgressType
from app.live import UNTOLD, Live, fresh
from app.records import Generation, Status
from app.wording import sentence

MAX_BEFORE_COMPLETE: Final = 99.9
"""Only `complete` shows 100."""

_UNPLANNED: Final = Plan({}, 0)
_NO_IMAGES: Final = ImageCount(0, 0)


def measured(live: Live, record: Generation, at: float) -> Live:
    """`live` with its percentage and remaining time brought up to date. The percentage never falls."""
    total = live.scale.total
    if not total:
        return live
    reached = live.done_weight + _begun(live)
    percentage = max(live.percentage, min(MAX_BEFORE_COMPLETE, round(100 * reached / total, 1)))
    eta_s = eta.eta_s(live, record, reached, at)
    if percentage == live.percentage and eta_s is None and live.eta_s is None:
        return live
    return msgspec.structs.replace(live, percentage=percentage, eta_s=eta_s, eta_at=at)


def moment(live: Live, record: Generation) -> Moment:
    """The public face of a generation at this instant."""
    step, total_steps = steps(live, record)
    is_over = record.is_terminal
    return Moment(
        generation_id=record.id,
        comfyui_prompt_id=record.prompt_id,
        status=record.status,
        step=step,
        total_steps=total_steps,
        percentage=100.0 if record.status is Status.SUCCEEDED else live.percentage,
        queue_position=None if is_over else live.queue_position,
        eta_seconds=None if is_over or live.eta_s is None else round(live.eta_s, 1),
        message=sentence(live, record),
        node_progress=None if is_over else _node_progress(live),
        aggregate_progress=_aggregate(live, record),
        image=_image_count(live, record),
        attempt=record.attempt,
    )


def at_rest(record: Generation, queue_position: int | None = None, eta_s: float | None = None) -> Moment:
    """The public face of a record nobody has live numbers of: those of its last durable change."""
    live = fresh(_UNPLANNED, record.percentage, queue_position)
    return moment(live if eta_s is None else msgspec.structs.replace(live, eta_s=eta_s), record)


def steps(live: Live, record: Generation) -> tuple[int, int]:
    """(step, total) summed over all samplers; where none is known, those of the node at work."""
    if not live.plan.nodes:
        return record.step, record.total_steps
    if live.scale.samplers:
        step, total = _sampled(live)
    else:
        value, maximum = live.own.get(live.node, UNTOLD) if live.node is not None else UNTOLD
        step, total = (int(value), int(maximum)) if maximum > 1 else (0, 0)
    return (total if record.status is Status.SUCCEEDED else step), total


def progress_type(before: Live, after: Live) -> ProgressType:
    """Which progress moved between two states. In a run without samplers any node's own steps stand for theirs."""
    samplers = after.scale.samplers
    found = ProgressType.AGGREGATE
    if before.own is after.own:
        return found
    for node, own in after.own.items():
        if before.own.get(node) != own:
            if node in samplers or (not samplers and own[1] > 1):
                return ProgressType.INFERENCE
            if own[1] > 1:
                found = ProgressType.NODE
    return found


def _begun(live: Live) -> float:
    """The weight of what unfinished nodes have done so far."""
    weights, done = live.scale.weights, live.done
    return sum(weights[node] * value / maximum for node, (value, maximum) in live.own.items() if node not in done)


def _sampled(live: Live) -> tuple[int, int]:
    """A sampler's own maximum counts more than its planned one; ComfyUI's 0 of 1 at its start does not."""
    own, done = live.own, live.done
    step = total = 0
    for node, planned in live.scale.samplers.items():
        value, maximum = own.get(node, UNTOLD)
        if maximum > 1:
            planned = int(maximum)  # noqa: PLW2901
        total += planned
        step += planned if node in done else int(value)
    return step, total


def _node_progress(live: Live) -> NodeProgress | None:
    node_id = live.node
    if node_id is None:
        return None
    node = live.plan.nodes[node_id]
    value, maximum = live.own.get(node_id, (0.0, 1.0))
    if node_id in live.done:
        value = maximum
    return NodeProgress(node_id, node.name, node.class_type, value, maximum)


def _aggregate(live: Live, record: Generation) -> AggregateProgress | None:
    total = len(live.scale.weights)
    finished = total if record.status is Status.SUCCEEDED else len(live.done)
    return AggregateProgress(finished, total) if total else None


def _image_count(live: Live, record: Generation) -> ImageCount:
    kept = len(record.images) if record.outputs else 0
    if record.status is Status.SUCCEEDED:
        return ImageCount(kept, kept)
    current = kept if record.is_terminal else max(live.images, kept)
    expected = max(live.plan.images, current)
    return ImageCount(current, expected) if expected else _NO_IMAGES
