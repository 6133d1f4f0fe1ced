"""What flows between the built-in nodes: descriptions of models, texts and latents instead of tensors.

Pure values. Pictures and masks are tuples of Pillow images, one per element of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from PIL.Image import Image

if TYPE_CHECKING:
    from array import array

Pictures: TypeAlias = tuple[Image, ...]
"""An IMAGE: RGB pictures of one size."""
Masks: TypeAlias = tuple[Image, ...]
"""A MASK: grey pictures."""


@dataclass(frozen=True, slots=True)
class Model:
    """A MODEL, CLIP, VAE, CONTROL_NET or UPSCALE_MODEL: its file's name and what was done to it."""

    name: str
    changes: tuple[str, ...] = ()

    def changed(self, change: str) -> Model:
        return Model(self.name, (*self.changes, change))


@dataclass(frozen=True, slots=True)
class Guide:
    """Pictures a control net holds the painting to; `strength` is 0..10, as in ComfyUI."""

    pictures: Pictures
    strength: float


@dataclass(frozen=True, slots=True)
class Conditioning:
    """A CONDITIONING: the text, the encoder or guidance that colours it, and what control nets add."""

    text: str
    colour: str = ""
    guides: tuple[Guide, ...] = ()


@dataclass(frozen=True, slots=True)
class Latent:
    """A LATENT: `width` x `height` in pixels; the recipe decides what its picture will look like.

    `pictures` are what it was encoded from, and `strength` (0..1) how much of them was painted over. With more than one
    of `frames` it is a video, which begins with `start` if there is one; with `seconds` it is a sound.
    """

    width: int
    height: int
    batch_size: int = 1
    recipe: str = ""
    caption: str = ""
    pictures: Pictures = ()
    masks: Masks = ()
    strength: float = 1.0
    guides: tuple[Guide, ...] = ()
    frames: int = 1
    start: Pictures = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Guider:
    """A GUIDER of the custom sampler."""

    model: Model
    positive: Conditioning
    negative: Conditioning
    cfg: float


@dataclass(frozen=True, slots=True)
class Sigmas:
    """SIGMAS: how many steps, and everything else that changes the picture."""

    steps: int
    recipe: str
    denoise: float


@dataclass(frozen=True, slots=True)
class Vision:
    """A CLIP_VISION_OUTPUT: which model saw which picture."""

    model: str
    digest: str


@dataclass(frozen=True, slots=True)
class Sound:
    """One element of an AUDIO: samples of 16 bits, one channel."""

    samples: array[int]
    rate_hz: int


Sounds: TypeAlias = tuple[Sound, ...]
"""An AUDIO."""


@dataclass(frozen=True, slots=True)
class Video:
    """A VIDEO: frames, or a file as it was uploaded, which nothing here can look into."""

    frames: Pictures = ()
    fps: float = 0.0
    sounds: Sounds = ()
    file: bytes | None = None
