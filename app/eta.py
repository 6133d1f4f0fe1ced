"""How long a generation will still take.

Pure. With a forecast: what earlier runs took of the nodes that are left, samplers at the speed of this run as far as it
has shown one. Without: this run's own speed. Unknown rather than wrong: None wherever there is nothing to go by.
"""

from __future__ import annotations

import math
from typing import Final

from app.live import UNTOLD, Live
from app.records import Generation, Status
from app.timing import Forecast, Pace

NEEDS: Final = 0.05
"""Below this fraction an extrapolation says more about model loading than about the remaining time."""

TRUST: Final = 2.0
"""Steps of this run that weigh as much as all that was learned of their speed."""

RISE: Final = 0.5
"""How much of what the remaining time should have grown is not shown at once: watchers see a countdown, not a jump. So
much of it is left after every further second, too: what was silent for long has no countdown to keep."""


def eta_s(live: Live, record: Generation, reached: float, at: float) -> float | None:
    """Seconds to the end, `at` being now; `reached` is the weight of the work done so far."""
    match record.status:
        case Status.RUNNING:
            estimate = _running_s(live, record, reached, at)
        case Status.PENDING | Status.QUEUED:
            estimate = _waiting_s(live, at)
        case _:
            return None
    return estimate if estimate is None else _steady(live, max(0.0, estimate), at)


def _steady(live: Live, estimate: float, at: float) -> float:
    """Less is believed at once; more only bit by bit, and never by more than a whole run takes."""
    if live.eta_s is None:
        return estimate
    passed_s = max(0.0, at - live.eta_at)
    due = max(0.0, live.eta_s - passed_s)
    if estimate <= due:
        return estimate
    most = estimate if live.forecast is None else sum(live.forecast.seconds.values())
    shown = 1.0 - math.pow(RISE, 1.0 + passed_s)
    return due + min(shown * (estimate - due), most)


def _waiting_s(live: Live, at: float) -> float | None:
    if live.turn_at is None or live.forecast is None:
        return None
    return max(0.0, live.turn_at - at) + live.forecast.expected_s


def _running_s(live: Live, record: Generation, reached: float, at: float) -> float | None:
    if live.forecast is None:
        return _extrapolated_s(live, record, reached, at)
    if live.is_ending:
        return live.forecast.tail_s
    return _others_s(live, live.forecast, at) + _samplers_s(live, live.forecast, at) + live.forecast.tail_s


def _others_s(live: Live, forecast: Forecast, at: float) -> float:
    """What is foreseen for the nodes that do not sample, less what those at work have had of it."""
    used_s = 0.0
    for node, began in live.times.began.items():
        seconds = forecast.seconds.get(node, 0.0)
        if seconds and node not in forecast.step_s and (live.cached is not None or node not in forecast.reused):
            value, maximum = live.own.get(node, UNTOLD)
            used_s += seconds * value / maximum if maximum > 1 else min(seconds, max(0.0, at - began))
    return max(0.0, live.left_s - used_s)


def _samplers_s(live: Live, forecast: Forecast, at: float) -> float:
    ratio = _speed(live, forecast)
    return sum(_sampler_s(live, forecast, node, ratio, at) for node in forecast.step_s if node not in live.done)


def _sampler_s(live: Live, forecast: Forecast, node: str, ratio: float, at: float) -> float:
    value, maximum = live.own.get(node, UNTOLD)
    steps = (maximum if maximum > 1 else live.scale.samplers.get(node, 1)) - value
    steps_s = steps * forecast.step_s[node] * ratio
    if (pace := live.times.paces.get(node)) is not None:
        return max(0.0, steps_s - max(0.0, at - pace.at))
    began = live.times.began.get(node, at)
    return steps_s + max(0.0, forecast.lead_s[node] - max(0.0, at - began))


def _speed(live: Live, forecast: Forecast) -> float:
    """How much slower the samplers of this run are than they were, by the last one that took more than a step."""
    for node, pace in reversed(live.times.paces.items()):
        step_s, learned_s = pace.step_s, forecast.step_s.get(node)
        if step_s is not None and learned_s:
            steps = pace.value - pace.first
            return (steps * step_s + TRUST * learned_s) / ((steps + TRUST) * learned_s)
    return 1.0


def _extrapolated_s(live: Live, record: Generation, reached: float, at: float) -> float | None:
    """The work that is left at the speed of the steps so far; without samplers, at that of all the work so far.

    Cached nodes are no work, and would make it look far too short.
    """
    reused = sum(live.scale.weights[node] for node in live.cached) if live.cached else 0.0
    total, worked = live.scale.total - reused, reached - reused
    if live.scale.samplers:
        unit_s = _unit_s(live, record, at)
        return None if unit_s is None else max(0.0, total - worked) * unit_s
    if record.started_at is None or worked <= 0 or worked < NEEDS * total:
        return None
    return (at - record.started_at) * (total - worked) / worked


def _unit_s(live: Live, record: Generation, at: float) -> float | None:
    """Seconds per unit of weight, by the sampler that took its last step last."""
    for node, pace in reversed(live.times.paces.items()):
        if node in live.scale.samplers:
            step_s = pace.step_s
            if step_s is None:
                step_s = _step_s_since_start(live, record, node, pace)
            if step_s is not None:
                return step_s * live.scale.samplers[node] / live.scale.weights[node]
    return None


def _step_s_since_start(live: Live, record: Generation, node: str, pace: Pace) -> float | None:
    """Where only one count was heard: if it is not too early, it took the time since the node or the run began."""
    began = live.times.began.get(node, record.started_at)
    if began is None or pace.value <= 1 or pace.value < NEEDS * live.scale.samplers[node]:
        return None
    return max(0.0, pace.at - began) / pace.value
