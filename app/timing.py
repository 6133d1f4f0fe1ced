"""What earlier runs of the same kind tell about the next one.

Pure. Owns which runs are alike (`Kind`), what is remembered of them (`Profile`), what is noted while one goes on
(`Times`) and what follows for another (`Forecast`). Knows no clock: every moment is handed in, in epoch seconds.

Samplers are remembered by seconds per step and megapixel, because that is what they cost; all others by their seconds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from app.comfyui.estimates import megapixels_of
from app.comfyui.graph import as_link
from app.comfyui.workflow import Plan, Workflow
from app.records import Generation

REMEMBERED: Final = 9
"""Runs per node: enough that one on a busy machine changes nothing, few enough that a new card is soon believed."""

TINY_S: Final = 0.005
"""Nodes that take less are not remembered: together they are less than what the network adds."""

MAX_NODES: Final = 200
"""Nodes remembered of one kind, the slowest: the rest of a larger graph hardly counts."""

_MODELS: Final = ("ckpt_name", "unet_name")


class Kind(msgspec.Struct, frozen=True):
    """Runs that can be compared. `megapixels` are those each sampler works on at a time, 1 where that is not told."""

    key: str
    megapixels: Mapping[str, float] = {}


class Pace(NamedTuple):
    """A node's first and newest count of steps, and when each was heard."""

    first: float
    first_at: float
    value: float
    at: float

    @property
    def step_s(self) -> float | None:
        """Seconds per step; None before two counts."""
        steps = self.value - self.first
        return max(0.0, self.at - self.first_at) / steps if steps > 0 else None


class Times(msgspec.Struct, frozen=True):
    """The present run: when the nodes at work `began`, what the others `took` in seconds, how fast those step that do.

    Nodes that took next to nothing are left out. `ended_at`: when the last one ended.
    """

    began: Mapping[str, float] = {}
    took: Mapping[str, float] = {}
    paces: dict[str, Pace] = {}
    ended_at: float | None = None


class NodeTimes(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node's last runs, oldest first: seconds, a sampler's per step and megapixel.

    `lead` is what a sampler takes beside its steps while its model is loaded already. `is_reused`: the last run had
    its result from ComfyUI's cache.
    """

    ran: tuple[float, ...] = ()
    lead: tuple[float, ...] = ()
    is_reused: bool = False


class Profile(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of a kind: its nodes by id, whole runs, and the time from the last node to the end."""

    nodes: dict[str, NodeTimes] = {}
    whole: tuple[float, ...] = ()
    tail: tuple[float, ...] = ()


class Forecast(msgspec.Struct, frozen=True):
    """What one run should take, in seconds: of each node if it runs, of one step and the lead of each sampler.

    `reused` are the nodes that had nothing to do last time; `tail_s` is for keeping what was made.
    """

    seconds: Mapping[str, float]
    step_s: Mapping[str, float]
    lead_s: Mapping[str, float]
    reused: frozenset[str]
    tail_s: float

    @property
    def expected_s(self) -> float:
        """The whole run, if as much of it is reused as last time."""
        return sum(self.seconds[node] for node in self.seconds.keys() - self.reused) + self.tail_s


def kind_of(record: Generation, workflow: Workflow, plan: Plan) -> Kind:
    """The kind of a run: of a template, or of a raw workflow's classes and links."""
    nodes = workflow.nodes
    samplers = (node_id for node_id, node in plan.nodes.items() if node.steps > 0)
    sizes = {node_id: megapixels_of(nodes, nodes[node_id]) or 1.0 for node_id in samplers}
    return Kind(key_of(record) or _shape_key(workflow, plan), sizes)


def key_of(record: Generation) -> str | None:
    """The profile of a template's runs with one model; None for raw workflows, whose graph has to be looked at."""
    if record.template is None:
        return None
    version = "builtin" if record.template_version is None else str(record.template_version)
    model = record.params.get("model")
    return f"template:{record.template}@{version}" + (f"/{model}" if isinstance(model, str) else "")


def started(times: Times, node: str, at: float) -> Times:
    if node in times.began:
        return times
    return msgspec.structs.replace(times, began={**times.began, node: at})


def stepped(times: Times, node: str, value: float, at: float) -> Times:
    """A node's count moved; one that starts over is measured from there."""
    pace = times.paces.get(node)
    if pace is None or value < pace.value:
        pace = Pace(value, at, value, at)
    return Times(times.began, times.took, {**times.paces, node: Pace(pace.first, pace.first_at, value, at)})


def ended(times: Times, nodes: Iterable[str], at: float) -> Times:
    """Nodes are done. Nothing is learned of one whose beginning was not heard."""
    began, took = dict(times.began), dict(times.took)
    for node in nodes:
        begin = began.pop(node, None)
        if begin is not None and (at - begin >= TINY_S or node in times.paces):
            took[node] = max(0.0, at - begin)
    return Times(began, took, times.paces, at)


def learned(
    profile: Profile, kind: Kind, plan: Plan, times: Times, reused: Collection[str], whole_s: float, tail_s: float
) -> Profile:
    """`profile` with one more run in it. A run that sampled nothing although it should have is no example."""
    samplers = kind.megapixels.keys()
    if not times.took or (samplers and not samplers & times.took.keys()):
        return profile
    is_cold = any(_is_loader(plan, node) for node in times.took)
    nodes = {
        node: msgspec.structs.replace(known, is_reused=node in reused and node not in samplers)
        for node, known in profile.nodes.items()
    }
    for node, took in times.took.items():
        known = nodes.get(node, NodeTimes())
        if node in samplers:
            nodes[node] = _sampled(known, took, times.paces.get(node), plan.nodes[node].steps, kind, node, is_cold)
        else:
            nodes[node] = msgspec.structs.replace(known, ran=_more(known.ran, took))
    return Profile(_slowest(nodes), _more(profile.whole, whole_s), _more(profile.tail, tail_s))


def forecast_of(profile: Profile, kind: Kind, plan: Plan) -> Forecast | None:
    """What a run of `plan` should take; None where a sampler's speed is not known."""
    step_s: dict[str, float] = {}
    lead_s: dict[str, float] = {}
    for node, megapixels in kind.megapixels.items():
        known = profile.nodes.get(node)
        if known is None or not known.ran:
            return None
        step_s[node], lead_s[node] = median(known.ran) * megapixels, _median(known.lead)
    others = plan.nodes.keys() - step_s.keys()
    seconds = {node: median(known.ran) for node, known in profile.nodes.items() if node in others and known.ran}
    seconds |= {node: lead_s[node] + step_s[node] * plan.nodes[node].steps for node in step_s}
    if not seconds:
        return None
    reused = frozenset(node for node in seconds if profile.nodes[node].is_reused)
    return Forecast(seconds, step_s, lead_s, reused, _median(profile.tail))


def whole_s(profile: Profile) -> float | None:
    """Seconds of a whole run of this kind, from its beginning to its end on record."""
    return median(profile.whole) if profile.whole else None


def to_json(profile: Profile) -> dict[str, Any]:
    stored: dict[str, Any] = msgspec.to_builtins(profile)
    return stored


def from_json(stored: object) -> Profile:
    """What `to_json` gave; an empty profile where that is not what it is, as of another version of this service."""
    try:
        return msgspec.convert(stored, Profile)
    except msgspec.ValidationError:
        return Profile()


def together(earlier: Profile, later: Profile) -> Profile:
    """Both as one, where what came later counts as newer."""
    names = earlier.nodes.keys() | later.nodes.keys()
    nodes = {name: _both(earlier.nodes.get(name), later.nodes.get(name)) for name in names}
    return Profile(
        _slowest(nodes),
        (earlier.whole + later.whole)[-REMEMBERED:],
        (earlier.tail + later.tail)[-REMEMBERED:],
    )


def _both(earlier: NodeTimes | None, later: NodeTimes | None) -> NodeTimes:
    if earlier is None or later is None:
        return later or earlier or NodeTimes()
    ran, lead = earlier.ran + later.ran, earlier.lead + later.lead
    return NodeTimes(ran[-REMEMBERED:], lead[-REMEMBERED:], later.is_reused)


def _sampled(
    known: NodeTimes, took: float, pace: Pace | None, planned: int, kind: Kind, node: str, is_cold: bool
) -> NodeTimes:
    """Only steps after the first tell the speed: before it the model may have to be moved to the card."""
    steps = pace.value if pace is not None and pace.value > 0 else planned
    heard = pace.step_s if pace is not None else None
    step_s = heard if heard is not None else took / steps
    ran = _more(known.ran, step_s / kind.megapixels[node])
    lead = known.lead if is_cold or heard is None else _more(known.lead, max(0.0, took - steps * step_s))
    return NodeTimes(ran, lead)


def _is_loader(plan: Plan, node: str) -> bool:
    return node in plan.nodes and "Loader" in plan.nodes[node].class_type


def _more(series: tuple[float, ...], value: float) -> tuple[float, ...]:
    return (*series, float(f"{value:.6g}"))[-REMEMBERED:]


def _median(series: tuple[float, ...]) -> float:
    return median(series) if series else 0.0


def _slowest(nodes: dict[str, NodeTimes]) -> dict[str, NodeTimes]:
    if len(nodes) <= MAX_NODES:
        return nodes
    return dict(sorted(nodes.items(), key=lambda each: -_median(each[1].ran))[:MAX_NODES])


def _shape_key(workflow: Workflow, plan: Plan) -> str:
    """Node ids count, as times are kept by them; of the values only the models do, which decide the speed."""
    shape = [
        (node_id, node.class_type, sorted(_telling(node.inputs)))
        for node_id, node in sorted(workflow.nodes.items())
        if node_id in plan.nodes
    ]
    return "workflow:" + hashlib.sha256(repr(shape).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _telling(inputs: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    for name, value in inputs.items():
        if (link := as_link(value)) is not None:
            yield name, link.node_id, link.slot
        elif name in _MODELS:
            yield name, str(value), -1
