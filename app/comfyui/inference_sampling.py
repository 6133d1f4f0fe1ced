"""The samplers of a graph, and what is set on them: steps, cfg, sampler, scheduler, denoise, seed.

Pure. Owns what is known of sampling nodes and the nodes that hold their settings (noise, guider, sampler, sigmas);
class and input names as `/object_info` of 0.8.0 shows them, other node packs by their likeness.

A graph of several samplers, such as a refiner or an upscale with a second pass, has one parameter for settings that
are the same and serve the same text, and numbered ones (`steps2`) for the others. Steps are only one where two
samplers share a schedule (KSamplerAdvanced from step to step): a second pass has steps of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from app.comfyui.graph import Link, as_link
from app.comfyui.inference_reading import label, upstream
from app.comfyui.inference_roles import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from app.comfyui.inference_reading import Place, Reading
    from app.comfyui.workflow import WorkflowNode

_MAX_STAGES: Final = 8
_NOISE: Final = ("seed", "noise_seed", "noise")
_SEEDS: Final = ("seed", "noise_seed")
_CONDITIONED: Final = ("positive", "guider", "conditioning")
_CONTROLS: Final = frozenset({"noise", "guider", "sampler", "sigmas"})
_LATENTS: Final = ("latent_image", "latent", "latents", "samples", "optional_latent", "image", "pixels")
# What leads from a sampler's latent up to where its size is set or its picture comes in.
_PICTURES: Final = frozenset(
    {*_LATENTS, "images", "image1", "samples1", "samples_to", "destination", "video_latent", "av_latent", "input"}
)
_FULL: Final = 1


@dataclass(frozen=True, slots=True)
class Stage:
    """A sampler. `controls` are the node itself and those that hold its settings, the nearest first.

    `latents` lead from its latent upwards and end before another sampler; `is_first_of_all` if there is none.
    """

    number: int
    node: WorkflowNode
    controls: tuple[WorkflowNode, ...]
    latents: tuple[WorkflowNode, ...]
    continues: bool

    def link(self, *names: str) -> Link | None:
        """The first of these inputs that is fed, of the sampler or its guider."""
        links = (as_link(node.inputs.get(name)) for node in self.controls for name in names)
        return next((link for link in links if link is not None), None)

    @property
    def is_scheduled(self) -> bool:
        """Whether it does a part of a schedule."""
        return "start_at_step" in self.node.inputs and "end_at_step" in self.node.inputs

    @property
    def name(self) -> str:
        return label(self.node)


def stages(reading: Reading) -> tuple[Stage, ...]:
    """The samplers in the order in which they run; of a graph with very many, the first."""
    samplers = [node for node in reading.live if _is_sampler(node)][:_MAX_STAGES]
    ids = {node.node_id for node in samplers}
    return tuple(_stage(reading, number, node, ids) for number, node in enumerate(samplers, start=1))


def seed_findings(reading: Reading, found: tuple[Stage, ...]) -> Iterator[Finding]:
    """One seed for everything that draws lots, so that it alone decides."""
    controls = [node for stage in found for node in stage.controls]
    others = [node for node in reading.live if any(name in node.inputs for name in _SEEDS)]
    places = [place for node in (*controls, *others) if (place := reading.number(node, *_SEEDS)) is not None]
    if places:
        yield Finding("seed", tuple(dict.fromkeys(places)), reading.why(*places))


def dial_findings(reading: Reading, found: tuple[Stage, ...], texts: dict[int, frozenset[str]]) -> Iterator[Finding]:
    """The settings of each sampler; `texts` are what each, by number, draws from."""
    for role, names in (("steps", ("steps",)), ("cfg", ("cfg", "cfg_conds"))):
        yield from _dials(reading, found, texts, role, names)
    for role, names in (("sampler", ("sampler_name", "sampler")), ("scheduler", ("scheduler",))):
        yield from _dials(reading, found, texts, role, names, is_word=True)
    for stage in found:
        place = _setting(reading, stage, ("denoise",))
        if place is not None and (stage.continues or reading.value(place.at) != _FULL):
            yield Finding("denoise", (place,), reading.why(place), stage.number)
    yield from _switches(reading, found)


def _dials(
    reading: Reading,
    found: tuple[Stage, ...],
    texts: dict[int, frozenset[str]],
    role: str,
    names: tuple[str, ...],
    *,
    is_word: bool = False,
) -> Iterator[Finding]:
    shared: dict[tuple[object, ...], list[tuple[Stage, Place]]] = {}
    for stage in found:
        place = _setting(reading, stage, names, is_word=is_word)
        if place is not None:
            value = reading.value(place.at)
            alone = stage.number if role == "steps" and not stage.is_scheduled else 0
            served = frozenset[str]() if stage.is_scheduled else texts[stage.number]
            key = (repr(value), served, stage.is_scheduled, alone)
            same = next(
                (key for key, members in shared.items() if any(each.at == place.at for _, each in members)), key
            )
            shared.setdefault(same, []).append((stage, place))
    for members in shared.values():
        places = tuple(place for _, place in members)
        yield Finding(role, places, reading.why(*places), members[0][0].number)


def _switches(reading: Reading, found: tuple[Stage, ...]) -> Iterator[Finding]:
    """Where one sampler hands over to the next: the end of one and the start of the other are one number."""
    parts = [stage for stage in found if stage.is_scheduled]
    for number, (before, after) in enumerate(pairwise(parts), start=1):
        end, start = reading.number(before.node, "end_at_step"), reading.number(after.node, "start_at_step")
        if end is not None and start is not None and reading.value(end.at) == reading.value(start.at):
            reason = f"end of {before.name} and start of {after.name}"
            yield Finding("switchStep", (end, start), reason, number)


def _setting(reading: Reading, stage: Stage, names: tuple[str, ...], *, is_word: bool = False) -> Place | None:
    resolve = reading.word if is_word else reading.number
    places = (resolve(node, *names) for node in stage.controls)
    return next((place for place in places if place is not None), None)


def _is_sampler(node: WorkflowNode) -> bool:
    """Who takes noise and either conditioning or a number of steps; whatever it is called."""
    takes_noise = any(name in node.inputs for name in _NOISE)
    is_conditioned = any(as_link(node.inputs.get(name)) is not None for name in _CONDITIONED)
    return takes_noise and (is_conditioned or "steps" in node.inputs)


def _stage(reading: Reading, number: int, node: WorkflowNode, samplers: set[str]) -> Stage:
    links = [link for name in _CONTROLS if (link := as_link(node.inputs.get(name))) is not None]
    controls = upstream(reading, links, lambda each, name: name in _CONTROLS or "Reroute" in each.class_type)
    start = next((link for name in _LATENTS if (link := as_link(node.inputs.get(name))) is not None), None)
    way = upstream(
        reading,
        [] if start is None else [start],
        lambda each, name: each.node_id not in samplers and (name in _PICTURES or "Reroute" in each.class_type),
    )
    latents = tuple(each for each in way if each.node_id not in samplers)
    continues = len(latents) < len(way) or any(_brings_picture(each) for each in latents)
    return Stage(number, node, (node, *(each for each in controls if each is not node)), latents, continues)


def _brings_picture(node: WorkflowNode) -> bool:
    return "VAEEncode" in node.class_type or any(name in node.inputs for name in ("pixels", "upscale_method"))
