"""Output nodes: files in `output` and `temp`, and the ui values that name them.

Saved pictures carry the graph and `extra_pnginfo` in text chunks, as ComfyUI's do, and the simulator's name besides.
"""

from __future__ import annotations

import io
import json
from array import array
from functools import partial
from hashlib import shake_256
from typing import TYPE_CHECKING

from PIL import PngImagePlugin

from app.comfyui.simulator import safetensors
from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.values import Latent, Pictures
from app.comfyui.simulator.pictures import LABEL

if TYPE_CHECKING:
    from app.comfyui.simulator.folders import NewFile

_COMPRESS_SAVED, _COMPRESS_PREVIEW = 4, 1
_LATENT_CHANNELS = 4


def _save_pngs(run: Run, given: Inputs, *, kind: str) -> Outputs:
    shown: Pictures = given["images"]
    prefix = given["filename_prefix"] if kind == "output" else run.folders.temp_prefix
    level = _COMPRESS_SAVED if kind == "output" else _COMPRESS_PREVIEW
    metadata = _metadata(run)
    items = []
    for new, picture in zip(run.folders.new_files(prefix, ".png", kind, len(shown), shown[0].size), shown, strict=True):
        picture.save(new.path, "PNG", pnginfo=metadata, compress_level=level)
        items.append(new.as_item())
    return Outputs(ui={"images": items})


def _metadata(run: Run) -> PngImagePlugin.PngInfo:
    metadata = PngImagePlugin.PngInfo()
    metadata.add_text("prompt", json.dumps(run.graph))
    for name, value in run.extra_pnginfo.items():
        metadata.add_text(name, json.dumps(value))
    metadata.add_text("Software", LABEL)
    return metadata


def _save_animation(run: Run, given: Inputs, *, image_format: str, suffix: str) -> Outputs:
    frames: Pictures = given["images"]
    new = one_file(run, given["filename_prefix"], suffix, frames[0].size)
    out = io.BytesIO()
    duration_ms = round(1000 / given["fps"])
    frames[0].save(out, image_format, save_all=True, append_images=frames[1:], duration=duration_ms)
    new.path.write_bytes(out.getvalue())
    return Outputs(ui={"images": [new.as_item()], "animated": [len(frames) != 1]})


def _save_latent(run: Run, given: Inputs) -> Outputs:
    """A safetensors file of the shape and names a real one has; its numbers are made up from the recipe."""
    latent: Latent = given["samples"]
    shape = (latent.batch_size, _LATENT_CHANNELS, max(1, latent.height // 8), max(1, latent.width // 8))
    noise = shake_256(latent.recipe.encode()).digest(shape[0] * shape[1] * shape[2] * shape[3])
    tensors = {
        "latent_tensor": (shape, array("f", [(level - 128) / 64 for level in noise])),
        "latent_format_version_0": ((0,), array("f")),
    }
    new = one_file(run, given["filename_prefix"], ".latent", (latent.width, latent.height))
    new.path.write_bytes(safetensors.encode(tensors, {"prompt": json.dumps(run.graph), "simulator": LABEL}))
    return Outputs(ui={"latents": [new.as_item()]})


def one_file(run: Run, prefix: str, suffix: str, size: tuple[int, int] = (0, 0), kind: str = "output") -> NewFile:
    """Where a node that saves a single file puts it."""
    return next(iter(run.folders.new_files(prefix, suffix, kind, 1, size)))


def _preview_any(_: Run, given: Inputs) -> Outputs:
    source = given.get("source")
    is_plain = isinstance(source, str | int | float | bool)
    return Outputs(ui={"text": [str(source) if is_plain else repr(source)]})


FUNCTIONS: dict[str, NodeFunction] = {
    "SaveImage": partial(_save_pngs, kind="output"),
    "PreviewImage": partial(_save_pngs, kind="temp"),
    "SaveAnimatedWEBP": partial(_save_animation, image_format="WEBP", suffix=".webp"),
    "SaveAnimatedPNG": partial(_save_animation, image_format="PNG", suffix=".png"),
    "SaveLatent": _save_latent,
    "PreviewAny": _preview_any,
}
