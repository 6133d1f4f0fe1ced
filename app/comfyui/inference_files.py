"""The files a graph takes: models, LoRAs and their strengths, and the pictures, videos and sounds it begins with.

Pure. Owns what is known of loader nodes; class and input names as `/object_info` of 0.8.0 shows them and as common
node packs copy them. A file that is loaded twice is one parameter.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from app.comfyui.graph import as_link
from app.comfyui.inference_reading import Place, upstream
from app.comfyui.inference_roles import Finding, described
from app.comfyui.parameters import Binding, ParameterKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.comfyui.inference_reading import Reading
    from app.comfyui.inference_sampling import Stage
    from app.comfyui.workflow import WorkflowNode

_MAX_SHOWN: Final = 80
_MODELS: Final = ("ckpt_name", "unet_name")
# They name a checkpoint for another part of it, or use it as a LoRA.
_NO_MODEL: Final = ("Hook", "Audio", "TextEncoder")
_STRENGTHS: Final = ("strength_model", "strength", "model_strength")
_CLIP_STRENGTH: Final = "strength_clip"
_MEDIA_INPUTS: Final = {
    "image": ParameterKind.IMAGE,
    "video": ParameterKind.VIDEO,
    "file": ParameterKind.VIDEO,
    "audio": ParameterKind.AUDIO,
}
_MEDIA_CLASS: Final = re.compile(r"Load(Image|Video|Audio)(?!.*(Path|DataSet|Folder|Url|URL|Batch|Dir))")
_TO_MASK: Final = frozenset({"ImageToMask", "ImageColorToMask"})


def model_findings(reading: Reading, found: Sequence[Stage]) -> Iterator[Finding]:
    """The models the samplers use, in their order, then every other file that is picked by name."""
    loaders = {node.node_id: node for stage in found for node in _model_chain(reading, stage)}
    loaders |= {node.node_id: node for node in reading.live}
    places = [place for node in loaders.values() if (place := reading.word(node, *_MODELS)) is not None]
    models = [place for place in places if not _is_any(reading.nodes[place.target.node_id], _NO_MODEL)]
    values, known = {repr(reading.value(place.at)) for place in models}, set(models)
    companions = [place for place in places if place not in known and repr(reading.value(place.at)) in values]
    yield from _files(reading, "model", [*models, *companions])
    yield from _loras(reading)
    yield from _files(reading, "controlnet", _words(reading, "control_net_name"))
    yield from _control_strengths(reading)
    upscalers = [node for node in reading.with_input("model_name") if "Upscale" in node.class_type]
    yield from _files(
        reading, "upscaleModel", [p for n in upscalers if (p := reading.word(n, "model_name")) is not None]
    )
    yield from _files(reading, "vae", _words(reading, "vae_name"))
    yield from _files(reading, "clip", _encoders(reading))


def media_findings(reading: Reading, found: Sequence[Stage]) -> Iterator[Finding]:
    """Pictures, masks, videos and sounds; what the first sampler begins with comes first."""
    counts: dict[str, int] = {}
    for node in _nearest_first(reading, found):
        kind, name = _media_input(reading, node)
        place = reading.word(node, name) if kind is not None else None
        if kind is None or place is None:
            continue
        role = "mask" if kind is ParameterKind.IMAGE and _is_mask(reading, node) else kind.value
        counts[role] = counts.get(role, 0) + 1
        description = described(role, reading.own_title(node))
        yield Finding(role, (place,), reading.why(place), counts[role], description, kind)


def media_kind(reading: Reading, place: Binding) -> ParameterKind | None:
    """What this input takes, if it is a file of the caller's."""
    kind, name = _media_input(reading, reading.nodes[place.node_id])
    return kind if name == place.input_name else None


def _loras(reading: Reading) -> Iterator[Finding]:
    """A LoRA that two models get in the same strength, as the two of Wan 2.2 do, is one."""
    groups: dict[str, list[WorkflowNode]] = {}
    for node in reading.with_input("lora_name"):
        places = [
            reading.word(node, "lora_name"),
            reading.number(node, *_STRENGTHS),
            reading.number(node, _CLIP_STRENGTH),
        ]
        key = repr([None if place is None else reading.value(place.at) for place in places])
        if places[0] is not None:
            groups.setdefault(key, []).append(node)
    for number, nodes in enumerate(groups.values(), start=1):
        yield from _lora(reading, nodes, number)


def _lora(reading: Reading, nodes: list[WorkflowNode], number: int) -> Iterator[Finding]:
    files = tuple(place for node in nodes if (place := reading.word(node, "lora_name")) is not None)
    shown = str(reading.value(files[0].at))[-_MAX_SHOWN:]
    told = described("lora", reading.own_title(nodes[0]))
    yield Finding("lora", files, reading.why(*files), number, told)
    models = [place for node in nodes if (place := reading.number(node, *_STRENGTHS)) is not None]
    clips = [place for node in nodes if (place := reading.number(node, _CLIP_STRENGTH)) is not None]
    strengths = reading.group([*models, *clips])
    if strengths:
        yield Finding("loraStrength", strengths[0], reading.why(*strengths[0]), number, f"Strength of LoRA {shown}.")
    if len(strengths) > 1:
        told = f"Strength of LoRA {shown} in reading the prompt."
        yield Finding("loraClipStrength", strengths[1], reading.why(*strengths[1]), number, told)


def _control_strengths(reading: Reading) -> Iterator[Finding]:
    nodes = [node for node in reading.with_input("strength") if as_link(node.inputs.get("control_net")) is not None]
    places = [place for node in nodes if (place := reading.number(node, "strength")) is not None]
    for number, place in enumerate(places, start=1):
        node = reading.nodes[place.target.node_id]
        description = described("controlStrength", reading.own_title(node))
        yield Finding("controlStrength", (place,), reading.why(place), number, description)


def _encoders(reading: Reading) -> Iterator[Place]:
    for node in reading.live:
        if "CLIPLoader" in node.class_type:
            for name in ("clip_name", *(f"clip_name{number}" for number in range(1, 5))):
                if (place := reading.word(node, name)) is not None:
                    yield place


def _files(reading: Reading, role: str, places: Iterable[Place]) -> Iterator[Finding]:
    for number, group in enumerate(reading.group(places), start=1):
        node = reading.nodes[group[0].target.node_id]
        description = described(role, reading.own_title(node))
        yield Finding(role, group, reading.why(*group), number, description)


def _words(reading: Reading, name: str) -> Iterator[Place]:
    places = (reading.word(node, name) for node in reading.live)
    return (place for place in places if place is not None)


def _model_chain(reading: Reading, stage: Stage) -> list[WorkflowNode]:
    link = stage.link("model")
    return upstream(reading, [] if link is None else [link], lambda _, name: name.startswith(("model", "unet")))


def _nearest_first(reading: Reading, found: Sequence[Stage]) -> Iterator[WorkflowNode]:
    """Live nodes from the first sampler upwards, its latent side first; then all others in the order of their run."""
    seen: set[str] = set()
    waiting = [stage.node.node_id for stage in reversed(found)]
    while waiting:
        node_id = waiting.pop()
        if node_id in seen:
            continue
        seen.add(node_id)
        node = reading.nodes[node_id]
        yield node
        links = [(name, link) for name, value in node.inputs.items() if (link := as_link(value)) is not None]
        waiting += [link.node_id for _, link in sorted(links, key=lambda each: _lateness(each[0]), reverse=True)]
    yield from (node for node in reading.live if node.node_id not in seen)


def _lateness(name: str) -> tuple[int, int]:
    """Latents before pictures before the rest; the end of a video after its start, numbered inputs in their order."""
    is_latent = any(word in name for word in ("latent", "samples", "pixels"))
    is_late = any(word in name for word in ("end", "last", "mask", "negative"))
    number = re.search(r"\d{1,4}$", name)
    return (0 if is_latent else 1) + 2 * is_late, int(number.group()) if number is not None else 0


def _media_input(reading: Reading, node: WorkflowNode) -> tuple[ParameterKind | None, str]:
    """The kind of file a node takes and the input that names it."""
    definition = reading.definition(node)
    for name, kind in _MEDIA_INPUTS.items():
        spec = None if definition is None else definition.inputs.get(name)
        if name not in node.inputs or isinstance(node.inputs[name], int | float):
            continue
        if spec is not None and spec.uploads is not None:
            return (kind if spec.uploads == "file" else ParameterKind(spec.uploads)), name
        if spec is None and _MEDIA_CLASS.search(node.class_type):
            return kind, name
    return None, ""


def _is_mask(reading: Reading, node: WorkflowNode) -> bool:
    """Whether nobody looks at more of it than its mask."""
    uses = reading.uses.get(node.node_id, [])
    is_masked = [use.slot == 1 or reading.nodes[use.node_id].class_type in _TO_MASK for use in uses]
    return "Mask" in node.class_type or (bool(uses) and all(is_masked))


def _is_any(node: WorkflowNode, words: tuple[str, ...]) -> bool:
    return any(word in node.class_type for word in words)
