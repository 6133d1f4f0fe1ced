"""Nodes that load models and encode texts and pictures: they pass on names, and what control nets are to hold to.

Pure but for the time a loader takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.values import Conditioning, Guide, Model, Pictures, Vision


def _loads(*inputs: str, slots: int = 1) -> NodeFunction:
    """A loader: the names of its files, joined, on every output slot."""

    def load(run: Run, given: Inputs) -> Outputs:
        run.sleep(run.options.load_s)
        model = Model("+".join(given[name] for name in inputs))
        return Outputs(values=[model] * slots)

    return load


def _computes(make: Callable[[Inputs], object]) -> NodeFunction:
    """A node with one output and no effects."""
    return lambda _, given: Outputs(values=[make(given)])


def _load_lora(run: Run, given: Inputs) -> Outputs:
    run.sleep(run.options.load_s)
    model: Model = given["model"]
    changed = model.changed(f"{given['lora_name']}@{given['strength_model']:g}")
    if "clip" not in given:
        return Outputs(values=[changed])
    clip: Model = given["clip"]
    return Outputs(values=[changed, clip.changed(f"{given['lora_name']}@{given['strength_clip']:g}")])


def _encode_text(given: Inputs) -> Conditioning:
    clip: Model = given["clip"]
    return Conditioning(given["text"], str(clip))


def _joined(first: Conditioning, second: Conditioning) -> Conditioning:
    guides = first.guides + second.guides
    return Conditioning(f"{first.text}, {second.text}", f"{first.colour}+{second.colour}", guides)


def _tinted(given: Inputs, name: str) -> Conditioning:
    before: Conditioning = given["conditioning"]
    return replace(before, colour=f"{before.colour}|{name}={given[name]}")


def _tags(given: Inputs) -> Conditioning:
    """TextEncodeAceStepAudio: what a song is like, and its words."""
    return Conditioning(given["tags"], f"{given['clip']}|{given['lyrics']}@{given['lyrics_strength']:g}")


def _controls(*names: str) -> NodeFunction:
    """A node that has a control net hold these conditionings to a picture."""

    def apply(_: Run, given: Inputs) -> Outputs:
        net: Model = given["control_net"]
        colour = f"|{net.name}@{given['strength']:g}"
        guide = Guide(given["image"], given["strength"])
        before: list[Conditioning] = [given[name] for name in names]
        return Outputs(
            values=[replace(each, colour=each.colour + colour, guides=(*each.guides, guide)) for each in before]
        )

    return apply


def _see(given: Inputs) -> Vision:
    model: Model = given["clip_vision"]
    pictures: Pictures = given["image"]
    digest = blake2b(given["crop"].encode(), digest_size=8)
    for picture in pictures:
        digest.update(picture.tobytes())
    return Vision(str(model), digest.hexdigest())


FUNCTIONS: dict[str, NodeFunction] = {
    "CheckpointLoaderSimple": _loads("ckpt_name", slots=3),
    "UNETLoader": _loads("unet_name"),
    "CLIPLoader": _loads("clip_name"),
    "DualCLIPLoader": _loads("clip_name1", "clip_name2"),
    "TripleCLIPLoader": _loads("clip_name1", "clip_name2", "clip_name3"),
    "CLIPVisionLoader": _loads("clip_name"),
    "ImageOnlyCheckpointLoader": _loads("ckpt_name", slots=3),
    "VAELoader": _loads("vae_name"),
    "UpscaleModelLoader": _loads("model_name"),
    "ControlNetLoader": _loads("control_net_name"),
    "LoraLoader": _load_lora,
    "LoraLoaderModelOnly": _load_lora,
    "ModelSamplingSD3": _computes(lambda given: given["model"].changed(f"shift={given['shift']:g}")),
    "ModelSamplingFlux": _computes(
        lambda given: given["model"].changed(f"shift={given['base_shift']:g}-{given['max_shift']:g}")
    ),
    "DifferentialDiffusion": _computes(lambda given: given["model"].changed(f"soft={given.get('strength', 1.0):g}")),
    "CLIPSetLastLayer": _computes(lambda given: given["clip"].changed(f"layer={given['stop_at_clip_layer']}")),
    "CLIPTextEncode": _computes(_encode_text),
    "ConditioningZeroOut": _computes(lambda _: Conditioning("")),
    "ConditioningCombine": _computes(lambda given: _joined(given["conditioning_1"], given["conditioning_2"])),
    "ConditioningConcat": _computes(lambda given: _joined(given["conditioning_to"], given["conditioning_from"])),
    "FluxGuidance": _computes(lambda given: _tinted(given, "guidance")),
    "TextEncodeAceStepAudio": _computes(_tags),
    "ControlNetApply": _controls("conditioning"),
    "ControlNetApplyAdvanced": _controls("positive", "negative"),
    "ControlNetApplySD3": _controls("positive", "negative"),
    "CLIPVisionEncode": _computes(_see),
}
