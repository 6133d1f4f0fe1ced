"""What flows between the built-in nodes: descriptions of models, texts and latents instead of tensors.

Pure values. Pictures and masks are tuples of Pillow images, one per element of the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from PIL.Image import Image

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
class Conditioning:
    """A CONDITIONING: the text, and the encoder or guidance that colours it."""

    text: str
    colour: str = ""


@dataclass(frozen=True, slots=True)
class Latent:
    """A LATENT: `width` x `height` in pixels; the recipe decides what its picture will look like.

    `pictures` are what it was encoded from, and `strength` (0..1) how much of them was painted over.
    """

    width: int
    height: int
    batch_size: int = 1
    recipe: str = ""
    caption: str = ""
    pictures: Pictures = ()
    masks: Masks = ()
    strength: float = 1.0


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
