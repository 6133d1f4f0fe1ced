"""Videos: latents with frames, and files of H.264 that any player shows.

Owns what flows between video nodes and what they save. Cannot look into a video that was uploaded: that is only passed
on, as it is.
"""

from __future__ import annotations

from dataclasses import replace

from app.comfyui.simulator.mp4 import movie
from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.saving import one_file
from app.comfyui.simulator.nodes.values import Conditioning, Latent, Pictures, Video, Vision


def _empty_latent(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[_latent(given)])


def _latent(given: Inputs) -> Latent:
    """Wan and Hunyuan make 4n + 1 frames; other lengths are rounded down."""
    frames = (given["length"] - 1) // 4 * 4 + 1
    start: Pictures = given.get("start_image", ())
    return Latent(given["width"], given["height"], given["batch_size"], frames=frames, start=start)


def _from_picture(_: Run, given: Inputs) -> Outputs:
    """WanImageToVideo: both texts know what the vision model saw."""
    seen: Vision | None = given.get("clip_vision_output")
    texts: list[Conditioning] = [given["positive"], given["negative"]]
    if seen is not None:
        texts = [replace(text, colour=f"{text.colour}|{seen.model}:{seen.digest}") for text in texts]
    return Outputs(values=[*texts, _latent(given)])


def _create(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[Video(given["images"], given["fps"], given.get("audio", ()))])


def _load(run: Run, given: Inputs) -> Outputs:
    return Outputs(values=[Video(file=run.folders.find(given["file"]).read_bytes())])


def _take_apart(_: Run, given: Inputs) -> Outputs:
    video: Video = given["video"]
    if video.file is not None:
        raise RuntimeError("The simulator cannot decode videos.")
    return Outputs(values=[video.frames, video.sounds or None, video.fps])


def _save(run: Run, given: Inputs) -> Outputs:
    """An MP4 without sound; an uploaded file is saved as it came."""
    video: Video = given["video"]
    size = video.frames[0].size if video.frames else (0, 0)
    content = movie(video.frames, video.fps) if video.file is None else video.file
    new = one_file(run, given["filename_prefix"], ".mp4", size)
    new.path.write_bytes(content)
    return Outputs(ui={"images": [new.as_item()], "animated": [True]})


FUNCTIONS: dict[str, NodeFunction] = {
    "EmptyHunyuanLatentVideo": _empty_latent,
    "WanImageToVideo": _from_picture,
    "Wan22ImageToVideoLatent": _empty_latent,
    "CreateVideo": _create,
    "LoadVideo": _load,
    "GetVideoComponents": _take_apart,
    "SaveVideo": _save,
}
