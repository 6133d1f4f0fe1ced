"""Masks: made of pictures, changed, and used to keep parts of a picture as they are.

Masks are grey Pillow images, one per element of the batch; what is white in them is what they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageFilter, ImageOps

from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.values import Latent, Masks, Pictures

if TYPE_CHECKING:
    from collections.abc import Callable

_CHANNELS = {"alpha": "A", "red": "R", "green": "G", "blue": "B"}


def _load(run: Run, given: Inputs) -> Outputs:
    with Image.open(run.folders.find(given["image"])) as opened:
        channel = opened.convert("RGBA").getchannel(_CHANNELS[given["channel"]])
    return Outputs(values=[(ImageOps.invert(channel) if given["channel"] == "alpha" else channel,)])


def _from_picture(_: Run, given: Inputs) -> Outputs:
    before: Pictures = given["image"]
    return Outputs(values=[tuple(each.convert("RGBA").getchannel(_CHANNELS[given["channel"]]) for each in before)])


def _each(change: Callable[[Image.Image], Image.Image]) -> NodeFunction:
    """A node that changes every element of its mask alike."""
    return lambda _, given: Outputs(values=[tuple(change(mask) for mask in given["mask"])])


def _grow(_: Run, given: Inputs) -> Outputs:
    """White spreads by so many pixels, or draws back; corners stay square."""
    expand: int = given["expand"]
    spread = ImageFilter.MaxFilter(3) if expand > 0 else ImageFilter.MinFilter(3)
    masks: Masks = given["mask"]
    for _step in range(abs(expand)):
        masks = tuple(mask.filter(spread) for mask in masks)
    return Outputs(values=[masks])


def _condition(_: Run, given: Inputs) -> Outputs:
    """InpaintModelConditioning: the texts as they are, and the picture as a latent that is painted under the mask."""
    pixels: Pictures = given["pixels"]
    width, height = (side // 8 * 8 or 8 for side in pixels[0].size)
    masks: Masks = given["mask"] if given["noise_mask"] else ()
    latent = Latent(width, height, len(pixels), pictures=pixels, masks=masks)
    return Outputs(values=[given["positive"], given["negative"], latent])


def _composite(_: Run, given: Inputs) -> Outputs:
    """`source` laid over `destination` where the mask is white; as many pictures as there are destinations."""
    sources: Pictures = given["source"]
    masks: Masks = given.get("mask", ())
    composed = []
    for index, destination in enumerate(given["destination"]):
        source = sources[index % len(sources)]
        source = source.resize(destination.size) if given["resize_source"] else source
        mask = masks[index % len(masks)].resize(source.size) if masks else None
        picture = destination.copy()
        picture.paste(source, (given["x"], given["y"]), mask)
        composed.append(picture)
    return Outputs(values=[tuple(composed)])


FUNCTIONS: dict[str, NodeFunction] = {
    "LoadImageMask": _load,
    "ImageToMask": _from_picture,
    "MaskToImage": _each(lambda mask: mask.convert("RGB")),
    "InvertMask": _each(ImageOps.invert),
    "GrowMask": _grow,
    "InpaintModelConditioning": _condition,
    "ImageCompositeMasked": _composite,
}
