"""Nodes that load models and encode texts: they only pass on names.

Pure but for the time a loader takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.values import Conditioning, Model

if TYPE_CHECKING:
    pass


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
    return Conditioning(f"{first.text}, {second.text}", f"{first.colour}+{second.colour}")


def _tinted(given: Inputs, name: str) -> Conditioning:
    before: Conditioning = given["conditioning"]
    return Conditioning(before.text, f"{before.colour}|{name}={given[name]}")


def _apply_control(_: Run, given: Inputs) -> Outputs:
    net: Model = given["control_net"]
    colour = f"|{net.name}@{given['strength']:g}"
    kept = [Conditioning(given[name].text, given[name].colour + colour) for name in ("positive", "negative")]
    return Outputs(values=kept)


FUNCTIONS: dict[str, NodeFunction] = {
    "CheckpointLoaderSimple": _loads("ckpt_name", slots=3),
    "UNETLoader": _loads("unet_name"),
    "CLIPLoader": _loads("clip_name"),
    "DualCLIPLoader": _loads("clip_name1", "clip_name2"),
    "VAELoader": _loads("vae_name"),
    "UpscaleModelLoader": _loads("model_name"),
    "ControlNetLoader": _loads("control_net_name"),
    "LoraLoader": _load_lora,
    "LoraLoaderModelOnly": _load_lora,
    "ModelSamplingSD3": _computes(lambda given: given["model"].changed(f"shift={given['shift']:g}")),
    "CLIPSetLastLayer": _computes(lambda given: given["clip"].changed(f"layer={given['stop_at_clip_layer']}")),
    "CLIPTextEncode": _computes(_encode_text),
    "ConditioningZeroOut": _computes(lambda _: Conditioning("")),
    "ConditioningCombine": _computes(lambda given: _joined(given["conditioning_1"], given["conditioning_2"])),
    "ConditioningConcat": _computes(lambda given: _joined(given["conditioning_to"], given["conditioning_from"])),
    "FluxGuidance": _computes(lambda given: _tinted(given, "guidance")),
    "ControlNetApplyAdvanced": _apply_control,
}
