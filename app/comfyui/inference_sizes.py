"""How large, how long and how many: the sizes a graph begins with and the factors it grows by.

Pure. Owns what is known of the nodes that make empty latents, encode pictures and put videos together; names as
`/object_info` of 0.8.0 shows them. A size that other nodes repeat, as ModelSamplingFlux and CLIPTextEncodeSDXL do, is
one parameter that goes to all of them, so that they cannot drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from app.comfyui.inference_reading import label
from app.comfyui.inference_roles import ROLES, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.comfyui.inference_reading import Place, Reading
    from app.comfyui.inference_sampling import Stage
    from app.comfyui.workflow import WorkflowNode

# Nodes with a width and height of a part of the picture, or of another picture: they do not follow its size.
_OWN_SIZE: Final = ("Crop", "Mask", "Pad", "Composite", "Area", "GLIGEN", "Load", "Tile", "Webcam", "Tracks")
_RESIZING: Final = ("Scale", "Upscale", "Resize")
_LENGTHS: Final = ("length", "video_frames", "num_frames")
_RATES: Final = ("fps", "frame_rate")
_SECONDS: Final = ("seconds", "seconds_total")
_FACTORS: Final = ("scale_by", "upscale_by")


def size_findings(reading: Reading, found: Sequence[Stage]) -> Iterator[Finding]:
    """Width, height, length, seconds and batch of the first sampler, width and height of what later ones begin with."""
    first = _beginning(reading, found)
    yield from _extents(reading, first, 1)
    for stage in found[1:]:
        yield from _extents(reading, stage.latents, stage.number)
    frames = [node for node in first if "FromBatch" not in node.class_type]
    followers = [node for node in reading.live if "FromBatch" not in node.class_type]
    yield from _repeated(reading, "length", frames, followers, _LENGTHS, (*_LENGTHS, "frames_number"))
    sources = [*first, *reading.with_input("seconds_total")]
    yield from _repeated(reading, "seconds", sources, reading.live, _SECONDS, _SECONDS)
    # Nodes near the output first: the rate a video is saved with is the one that is seen.
    yield from _repeated(reading, "fps", reversed(reading.live), reading.live, _RATES, _RATES)
    yield from _batch(reading, first)
    yield from _factors(reading)


def _beginning(reading: Reading, found: Sequence[Stage]) -> list[WorkflowNode]:
    """Where sizes are set: above the first sampler's latent, or anywhere if nothing is sampled."""
    if not found:
        return [node for node in reading.live if not _is_any(node, _OWN_SIZE)]
    is_empty = not found[0].continues
    return [*found[0].latents, *(node for node in reading.live if is_empty and node.class_type.startswith("Empty"))]


def _extents(reading: Reading, nodes: Iterable[WorkflowNode], number: int) -> Iterator[Finding]:
    sized = (
        (node, width, height)
        for node in nodes
        if not _is_any(node, _OWN_SIZE)
        and (width := reading.number(node, "width")) is not None
        and (height := reading.number(node, "height")) is not None
    )
    node, width, height = next(sized, (None, None, None))
    if node is None or width is None or height is None:
        return
    follows = [] if number > 1 else [each for each in reading.live if _may_follow(each) and each is not node]
    reason = f"size of {label(node)}"
    if width.at == height.at:
        yield Finding("size", (width, height), reason, number)
        return
    pair = (reading.value(width.at), reading.value(height.at))
    same = [each for each in follows if _pair(reading, each, "") == pair]
    targets = [each for each in follows if _pair(reading, each, "target_") == pair]
    for role, place in (("width", width), ("height", height)):
        others = [reading.number(each, role) for each in same]
        others += [reading.number(each, f"target_{role}") for each in targets]
        description = "" if number == 1 else f"{ROLES[role].description[:-1]} for the next pass."
        yield Finding(role, (place, *(each for each in others if each is not None)), reason, number, description)


def _pair(reading: Reading, node: WorkflowNode, prefix: str) -> tuple[object, object] | None:
    width, height = reading.number(node, f"{prefix}width"), reading.number(node, f"{prefix}height")
    return None if width is None or height is None else (reading.value(width.at), reading.value(height.at))


def _may_follow(node: WorkflowNode) -> bool:
    return not _is_any(node, (*_OWN_SIZE, *_RESIZING))


def _repeated(
    reading: Reading,
    role: str,
    sources: Iterable[WorkflowNode],
    followers: Iterable[WorkflowNode],
    names: tuple[str, ...],
    follower_names: tuple[str, ...],
) -> Iterator[Finding]:
    """The first of `sources` that has such an input, and all followers that say the same."""
    first = next((place for node in sources if (place := reading.number(node, *names)) is not None), None)
    if first is None:
        return
    value = reading.value(first.at)
    others: Iterable[Place | None] = (reading.number(node, *follower_names) for node in followers)
    same = [place for place in others if place is not None and reading.value(place.at) == value]
    yield Finding(role, tuple(dict.fromkeys((first, *same))), reading.why(first, *same))


def _batch(reading: Reading, nodes: Sequence[WorkflowNode]) -> Iterator[Finding]:
    """`amount` of RepeatLatentBatch makes a batch where a picture comes in; branches that begin alike stay alike."""
    for node in nodes:
        place = _amount(reading, node)
        if place is not None:
            alike = [_amount(reading, each) for each in nodes if each.class_type == node.class_type]
            same = [each for each in alike if each is not None and reading.value(each.at) == reading.value(place.at)]
            places = tuple(dict.fromkeys((place, *same)))
            yield Finding("batchSize", places, reading.why(*places))
            return


def _amount(reading: Reading, node: WorkflowNode) -> Place | None:
    if "Rebatch" in node.class_type:
        return None
    return reading.number(node, "amount" if "Repeat" in node.class_type else "batch_size")


def _factors(reading: Reading) -> Iterator[Finding]:
    places = [place for node in reading.with_input(*_FACTORS) if (place := reading.number(node, *_FACTORS)) is not None]
    for number, place in enumerate(places, start=1):
        yield Finding("scaleBy", (place,), reading.why(place), number)


def _is_any(node: WorkflowNode, words: tuple[str, ...]) -> bool:
    return any(word in node.class_type for word in words)
