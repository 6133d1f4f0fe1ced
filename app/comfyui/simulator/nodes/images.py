"""Pictures: decoded from latents, loaded from files, changed in size.

The only nodes that draw. Pictures are Pillow images, one per element of the batch.
"""

from __future__ import annotations

from PIL import Image, ImageOps, ImageSequence

from app.comfyui.simulator import motion, pictures
from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.values import Latent, Masks, Pictures

# A picture without transparency has no mask of its own: ComfyUI gives one of this size.
_NO_MASK_SIZE = (64, 64)
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
    drawn = [_drawn(latent, index) for index in range(latent.batch_size)]
    if latent.frames == 1:
        return Outputs(values=[tuple(drawn)])
    return Outputs(values=[tuple(frame for picture in drawn for frame in _filmed(latent, picture))])


def _drawn(latent: Latent, index: int) -> Image.Image:
    """One picture of a batch: painted anew, or over what was encoded."""
    size = (latent.width, latent.height)
    before = latent.pictures[min(index, len(latent.pictures) - 1)].resize(size) if latent.pictures else None
    if not latent.recipe:
        return before or Image.new("RGB", size, (127, 127, 127))
    painted = pictures.paint(f"{latent.recipe}|{index}", size, latent.caption)
    for guide in latent.guides:
        painted = pictures.guided(painted, guide.pictures[min(index, len(guide.pictures) - 1)], guide.strength)
    if before is None:
        return painted
    mask = latent.masks[min(index, len(latent.masks) - 1)] if latent.masks else None
    return pictures.blend(before, painted, latent.strength, mask)


def _filmed(latent: Latent, picture: Image.Image) -> list[Image.Image]:
    """The frames of a video of this picture, or of the one that it begins with."""
    if not latent.start:
        return motion.frames_of(latent.recipe, picture, latent.frames)
    first = ImageOps.fit(latent.start[0], picture.size, Image.Resampling.BILINEAR)
    return motion.frames_of(latent.recipe, first, latent.frames, first)


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
    """All frames of an animation that have the size of the first, as ComfyUI takes them."""
    with Image.open(run.folders.find(given["image"])) as opened:
        frames = [_upright(frame) for frame in ImageSequence.Iterator(opened)]
    shown = [frame for frame in frames if frame.size == frames[0].size]
    return Outputs(values=[tuple(frame.convert("RGB") for frame in shown), tuple(map(_transparency, shown))])


def _upright(frame: Image.Image) -> Image.Image:
    """As a camera held it, with 8 bits a channel."""
    turned = ImageOps.exif_transpose(frame)
    if turned.mode.startswith("I"):
        return turned.convert("I").point(lambda level: level * (1 / 255)).convert("L")
    return turned.convert("RGBA") if turned.has_transparency_data else turned.convert("RGB")


def _transparency(frame: Image.Image) -> Image.Image:
    """White where the picture is transparent."""
    return ImageOps.invert(frame.getchannel("A")) if frame.mode == "RGBA" else Image.new("L", _NO_MASK_SIZE, 0)


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


def _repeat(_: Run, given: Inputs) -> Outputs:
    before: Pictures = given["image"]
    return Outputs(values=[before * given["amount"]])


def _invert(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[tuple(ImageOps.invert(picture) for picture in given["image"])])


FUNCTIONS: dict[str, NodeFunction] = {
    "VAEDecode": _decode,
    "VAEDecodeTiled": _decode,
    "VAEEncode": _encode,
    "VAEEncodeForInpaint": _encode,
    "EmptyImage": _empty_image,
    "LoadImage": _load_image,
    "ImageScale": _resize,
    "ImageScaleBy": _scale,
    "ImageUpscaleWithModel": _enlarge,
    "ImageInvert": _invert,
    "RepeatImageBatch": _repeat,
}
