"""Sounds: latents with a length in seconds, notes made of them, and FLAC files.

Owns what flows between audio nodes and what they save. Reads WAV files of 16 bits only.
"""

from __future__ import annotations

import sys
import wave
from array import array
from functools import partial

from app.comfyui.simulator import flac, tones
from app.comfyui.simulator.nodes.base import Inputs, NodeFunction, Outputs, Run
from app.comfyui.simulator.nodes.values import Latent, Sound, Sounds

_SIDE = 64
"""Pixels of the previews of a latent that is no picture."""


def _empty_latent(_: Run, given: Inputs) -> Outputs:
    return Outputs(values=[Latent(_SIDE, _SIDE, given["batch_size"], seconds=given["seconds"])])


def _decode(_: Run, given: Inputs) -> Outputs:
    latent: Latent = given["samples"]
    played = [tones.play(f"{latent.recipe}|{index}", latent.seconds) for index in range(latent.batch_size)]
    return Outputs(values=[tuple(Sound(samples, tones.RATE_HZ) for samples in played)])


def _load(run: Run, given: Inputs) -> Outputs:
    """The first channel of a WAV file."""
    try:
        with wave.open(str(run.folders.find(given["audio"])), "rb") as opened:
            channels, width, rate_hz = opened.getnchannels(), opened.getsampwidth(), opened.getframerate()
            content = opened.readframes(opened.getnframes())
    except (wave.Error, EOFError) as exc:
        raise RuntimeError("The simulator reads WAV files only.") from exc
    if width != 2:
        raise RuntimeError("The simulator reads WAV files of 16 bits only.")
    samples = array("h", content)
    if sys.byteorder == "big":
        samples.byteswap()
    return Outputs(values=[(Sound(samples[::channels], rate_hz),)])


def _save(run: Run, given: Inputs, *, kind: str) -> Outputs:
    sounds: Sounds = given["audio"]
    prefix = given["filename_prefix"] if kind == "output" else run.folders.temp_prefix
    items = []
    for new, sound in zip(run.folders.new_files(prefix, ".flac", kind, len(sounds), (0, 0)), sounds, strict=True):
        new.path.write_bytes(flac.encode(sound.samples, sound.rate_hz))
        items.append(new.as_item())
    return Outputs(ui={"audio": items})


FUNCTIONS: dict[str, NodeFunction] = {
    "EmptyLatentAudio": _empty_latent,
    "EmptyAceStepLatentAudio": _empty_latent,
    "VAEDecodeAudio": _decode,
    "LoadAudio": _load,
    "SaveAudio": partial(_save, kind="output"),
    "PreviewAudio": partial(_save, kind="temp"),
}
