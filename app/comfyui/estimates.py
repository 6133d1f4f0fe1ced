"""How many sampler steps a node will take, of how many pixels, and how many pictures an output node will give.

Pure. Owns what is known about ComfyUI's node classes: names, inputs and meanings as `/object_info` of 0.3.64 and 0.8.0
shows them, and as sampling nodes report their progress. Read off the graph; estimates only, nothing can refuse one.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from app.comfyui.graph import Link, as_link

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.comfyui.workflow import WorkflowNode

# The upper bounds of `steps` and `batch_size` in /object_info; what is larger is a mistake ComfyUI will refuse.
_MAX_STEPS: Final = 10_000
_MAX_BATCH: Final = 4_096
# Every walk follows one input per node. Further than this nothing is told of a hand-made graph, and a hostile one
# with thousands of long chains must not cost more than a moment.
_MAX_HOPS: Final = 50
# Nodes looked at for one that saves pictures, for the same two reasons.
_MAX_LOOKED_AT: Final = 500
# The largest side of a latent in /object_info.
_MAX_SIDE: Final = 16_384
# Classes that take a number of steps without sampling: they make or reshape noise schedules.
_NOT_SAMPLING: Final = ("Scheduler", "Sigmas")
# Where a picture or latent comes in, the likeliest name first.
_PICTURE_INPUTS: Final = (
    "images",
    "image",
    "samples",
    "latent_image",
    "latent",
    "latents",
    "pixels",
    "image1",
    "samples1",
    "destination",
)
_LATENT_INPUTS: Final = ("latent_image", "latent", "latents", "samples", "optional_latent")


def steps_of(nodes: Mapping[str, WorkflowNode], node: WorkflowNode) -> int:
    """Steps this node will sample, as its own progress will count them; 0 if it does not sample.

    A sampler whose number of steps cannot be told counts as one step.
    """
    # SaveLoRA writes its `steps` into a file name.
    if any(word in node.class_type for word in _NOT_SAMPLING) or node.class_type.startswith("Save"):
        return 0
    own = _whole(nodes, node, "steps")
    if own is not None:
        return _clamped(_part_of_schedule(nodes, node, own))
    if not _is_sampler(node):
        return 0
    return _clamped(_schedule_steps(nodes, as_link(node.inputs.get("sigmas"))))


def pictures_of(nodes: Mapping[str, WorkflowNode], node: WorkflowNode) -> int:
    """Pictures this output node will give; 0 for nodes that make other things.

    What is only previewed is kept only where nothing is saved.
    """
    if not _makes_pictures(node.class_type):
        return 0
    if "Preview" in node.class_type and any(map(_saves_pictures, islice(nodes.values(), _MAX_LOOKED_AT))):
        return 0
    return 1 if "Animated" in node.class_type else _batch_size(nodes, _picture_source(node))


def megapixels_of(nodes: Mapping[str, WorkflowNode], sampler: WorkflowNode) -> float:
    """Millions of pixels this sampler works on in each of its steps, batch and frames included; 0 if not told."""
    link = _picture_source(sampler)
    batch = _batch_size(nodes, link)
    enlarged = 1.0
    for _ in range(_MAX_HOPS):
        if link is None:
            break
        node = nodes[link.node_id]
        sides = [_whole(nodes, node, name) for name in ("width", "height")]
        if sides[0] and sides[1]:
            width, height, frames = (max(1, min(side or 1, _MAX_SIDE)) for side in (*sides, _frames(nodes, node)))
            return width * height * frames * batch * enlarged / 1e6
        enlarged *= _enlargement(node)
        link = _picture_source(node)
    return 0.0


def _makes_pictures(class_type: str) -> bool:
    return "Image" in class_type or "Animated" in class_type


def _saves_pictures(node: WorkflowNode) -> bool:
    return "Save" in node.class_type and _makes_pictures(node.class_type)


def _frames(nodes: Mapping[str, WorkflowNode], node: WorkflowNode) -> int | None:
    """Where a latent of a video is made, `length` is the number of its frames."""
    return _whole(nodes, node, "length") if "Video" in node.class_type else None


def _enlargement(node: WorkflowNode) -> float:
    """How many times the pixels a node that scales by a factor makes of those it gets."""
    factor = node.inputs.get("scale_by")
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0.01 <= factor <= 8:
        return 1.0
    return float(factor) ** 2


def _is_sampler(node: WorkflowNode) -> bool:
    """KSamplerSelect, SamplerEulerAncestral and their like choose a method; only who is given a latent samples."""
    takes_latent = any(as_link(node.inputs.get(name)) for name in _LATENT_INPUTS)
    return "Sampler" in node.class_type and (takes_latent or as_link(node.inputs.get("sigmas")) is not None)


def _part_of_schedule(nodes: Mapping[str, WorkflowNode], node: WorkflowNode, steps: int) -> int:
    """KSamplerAdvanced and its like run from `start_at_step` to `end_at_step` of a schedule of `steps`."""
    start = _whole(nodes, node, "start_at_step") or 0
    end = _whole(nodes, node, "end_at_step")
    return (steps if end is None else min(end, steps)) - start


def _schedule_steps(nodes: Mapping[str, WorkflowNode], link: Link | None) -> int:
    """Steps of the noise schedule that arrives here: its scheduler's, cut as the nodes on the way cut it."""
    way: list[tuple[WorkflowNode, int]] = []
    while link is not None and len(way) < _MAX_HOPS:
        node = nodes[link.node_id]
        way.append((node, link.slot))
        link = as_link(node.inputs.get("sigmas"))
    steps = _scheduled(nodes, way[-1][0]) if way else 1
    for node, slot in reversed(way):
        steps = _cut(nodes, node, slot, steps)
    return steps


def _scheduled(nodes: Mapping[str, WorkflowNode], node: WorkflowNode) -> int:
    """Steps a scheduler makes. ManualSigmas lists one number more than there are steps."""
    listed = node.inputs.get("sigmas")
    if isinstance(listed, str):
        return listed.count(",")
    return _whole(nodes, node, "steps") or 1


def _cut(nodes: Mapping[str, WorkflowNode], node: WorkflowNode, slot: int, steps: int) -> int:
    """The two nodes that split a schedule give its beginning at slot 0 and the rest at slot 1."""
    match node.class_type:
        case "SplitSigmas":
            beginning = _whole(nodes, node, "step") or 0
        case "SplitSigmasDenoise":
            denoise = node.inputs.get("denoise")
            beginning = steps - round(steps * min(1.0, denoise)) if isinstance(denoise, int | float) else steps
        case _:
            return steps
    beginning = max(0, min(beginning, steps))
    return beginning if slot == 0 else steps - beginning


def _batch_size(nodes: Mapping[str, WorkflowNode], link: Link | None) -> int:
    """Pictures in the batch that arrives over this link; 1 where its origin does not say."""
    factor = 1
    for _ in range(_MAX_HOPS):
        if link is None:
            break
        node = nodes[link.node_id]
        if "Repeat" in node.class_type:
            factor *= max(1, min(_whole(nodes, node, "amount") or 1, _MAX_BATCH))
        elif "Rebatch" not in node.class_type and (size := _whole(nodes, node, _size_input(node))) is not None:
            factor *= max(1, size)
            break
        link = _picture_source(node)
    return min(factor, _MAX_BATCH)


def _size_input(node: WorkflowNode) -> str:
    """ImageFromBatch and LatentFromBatch take `length` pictures out; elsewhere a length is that of a video."""
    return "length" if "FromBatch" in node.class_type else "batch_size"


def _picture_source(node: WorkflowNode) -> Link | None:
    return next((link for name in _PICTURE_INPUTS if (link := as_link(node.inputs.get(name)))), None)


def _whole(nodes: Mapping[str, WorkflowNode], node: WorkflowNode, name: str) -> int | None:
    """The whole number this input holds or is fed by a chain of primitive nodes; None if that cannot be told."""
    value: Any = node.inputs.get(name)
    for _ in range(_MAX_HOPS):
        link = as_link(value)
        if link is None:
            break
        value = _primitive(nodes[link.node_id])
    match value:
        case bool():
            return None
        case int() | float():
            return int(value)
        # ComfyUI converts numeric strings (COMFYUI_PROTOCOL section 2.1).
        case str() if value.isascii() and value.isdigit() and len(value) <= len(str(_MAX_STEPS)):
            return int(value)
        case _:
            return None


def _primitive(node: WorkflowNode) -> Any:
    """The value a primitive node passes on: PrimitiveInt has it in `value`, third-party ones in their only input."""
    if "value" in node.inputs or len(node.inputs) != 1:
        return node.inputs.get("value")
    return next(iter(node.inputs.values()))


def _clamped(steps: int) -> int:
    return max(1, min(steps, _MAX_STEPS))
