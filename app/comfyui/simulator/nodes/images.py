"""Pictures: decoded from latents, loaded from files, changed in size.

The only nodes that draw. Pictures are Pillow images, one per element of the batch.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from app.comfyui.simulator import pictures
from app.comfyui.simulator.folders import Outside
from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.values import Latent, Masks, Pictures

if TYPE_CHECKING:
    from app.comfyui.simulator.folders import Folders

LOADS_FILES = ("LoadImage", "LoadImageMask")
_CHANNELS = {"alpha": "A", "red": "R", "green": "G", "blue": "B"}
_ENLARGED_BY_MODEL = 4
_RESAMPLING = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def _decode(_: Run, given: Inputs) -> Outputs:
    latent: Latent = given["samples"]
    return Outputs(values=[tuple(_drawn(latent, index) for index in range(latent.batch_size))])


def _drawn(latent: Latent, index: int) -> Image.Image:
    """One picture of a batch: painted anew, or over what was encoded."""
    size = (latent.width, latent.height)
    before = latent.pictures[min(index, len(latent.pictures) - 1)].resize(size) if latent.pictures else None
    if not latent.recipe:
        return before or Image.new("RGB", size, (127, 127, 127))
    painted = pictures.paint(f"{latent.recipe}|{index}", size, latent.caption)
    if before is None:
        return painted
    mask = latent.masks[min(index, len(latent.masks) - 1)] if latent.masks else None
    return pictures.blend(before, painted, latent.strength, mask)


def _encode(_: Run, given: Inputs) -> Outputs:
    pixels: Pictures = given["pixels"]
    masks: Masks = given.get("mask", ())
    width, height = pixels[0].size
    return Outputs(
        values=[Latent(width // 8 * 8 or 8, height // 8 * 8 or 8, len(pixels), pictures=pixels, masks=masks)]
    )


def _empty_image(_: Run, given: Inputs) -> Outputs:
    colour = given["color"]
    picture = Image.new("RGB", (given["width"], given["height"]), (colour >> 16 & 255, colour >> 8 & 255, colour & 255))
    return Outputs(values=[(picture,) * given["batch_size"]])


def _load_image(run: Run, given: Inputs) -> Outputs:
    with Image.open(run.folders.find(given["image"])) as opened:
        whole = ImageOps.exif_transpose(opened).convert("RGBA")
    return Outputs(values=[(whole.convert("RGB"),), (ImageOps.invert(whole.getchannel("A")),)])


def _load_mask(run: Run, given: Inputs) -> Outputs:
    with Image.open(run.folders.find(given["image"])) as opened:
        channel = opened.convert("RGBA").getchannel(_CHANNELS[given["channel"]])
    return Outputs(values=[(ImageOps.invert(channel) if given["channel"] == "alpha" else channel,)])


def file_complaint(folders: Folders, given: Inputs) -> str | None:
    """Why a file cannot be loaded, told when the prompt is posted."""
    try:
        is_there = isinstance(given.get("image"), str) and folders.find(given["image"]).is_file()
    except Outside:
        is_there = False
    return None if is_there or isinstance(given.get("image"), list) else f"Invalid image file: {given.get('image')}"


def file_fingerprint(folders: Folders, given: Inputs) -> str | None:
    """The file's content: another picture of the same name is not taken from the cache."""
    try:
        return sha256(folders.find(given["image"]).read_bytes()).hexdigest()
    except (OSError, TypeError, KeyError, Outside):
        return None


def _resize(_: Run, given: Inputs) -> Outputs:
    before: Pictures = given["image"]
    width, height = _completed(before[0].size, given["width"], given["height"])
    method = _RESAMPLING[given["upscale_method"]]
    if given["crop"] == "center":
        return Outputs(values=[tuple(ImageOps.fit(picture, (width, height), method) for picture in before)])
    return Outputs(values=[tuple(picture.resize((width, height), method) for picture in before)])


def _completed(before: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """A side of 0 follows from the other one."""
    if not width and not height:
        return before
    return width or max(1, round(before[0] * height / before[1])), height or max(
        1, round(before[1] * width / before[0])
    )


def _scale(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[_scaled(given["image"], given["scale_by"], _RESAMPLING[given["upscale_method"]])])


def _enlarge(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[_scaled(given["image"], _ENLARGED_BY_MODEL, Image.Resampling.BICUBIC)])


def _scaled(before: Pictures, by: float, method: Image.Resampling) -> Pictures:
    size = max(1, round(before[0].width * by)), max(1, round(before[0].height * by))
    return tuple(picture.resize(size, method) for picture in before)


def _invert(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[tuple(ImageOps.invert(picture) for picture in given["image"])])


FUNCTIONS: dict[str, NodeFunction] = {
    "VAEDecode": _decode,
    "VAEDecodeTiled": _decode,
    "VAEEncode": _encode,
    "VAEEncodeForInpaint": _encode,
    "EmptyImage": _empty_image,
    "LoadImage": _load_image,
    "LoadImageMask": _load_mask,
    "ImageScale": _resize,
    "ImageScaleBy": _scale,
    "ImageUpscaleWithModel": _enlarge,
    "ImageInvert": _invert,
}
