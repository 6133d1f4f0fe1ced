"""Lets something move in a picture: a ball that crosses it, on a way and in a colour that depend on the recipe.

Pure. The same recipe, picture and number of frames give the same pixels. Little of the picture changes from one frame
to the next, which keeps the files small that `h264` makes of it.
"""

from __future__ import annotations

import colorsys
import math
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

from PIL import ImageDraw

if TYPE_CHECKING:
    from PIL.Image import Image


def frames_of(recipe: str, picture: Image, count: int, first: Image | None = None) -> list[Image]:
    """`count` frames of the size of `picture`; `first`, if any, is shown before the ball comes."""
    chance = Random(blake2b(recipe.encode(), digest_size=16).digest())  # noqa: S311  # a ball's way, not a secret
    red, green, blue = colorsys.hsv_to_rgb(chance.random(), 0.7, 1.0)
    colour = round(red * 255), round(green * 255), round(blue * 255)
    way = _Way(chance.random(), chance.random(), chance.uniform(0.5, 2.0), chance.random() < 0.5)
    shown = [first] if first is not None else []
    moving = [_with_ball(picture, way.at(index / max(1, count - 1)), colour) for index in range(len(shown), count)]
    return shown + moving


@dataclass(frozen=True, slots=True)
class _Way:
    """From one side to the other, up and down; all but `turns` are 0..1."""

    height: float
    swing: float
    turns: float
    is_from_left: bool

    def at(self, progress: float) -> tuple[float, float]:
        """Where the ball is, in parts of the picture."""
        x = progress if self.is_from_left else 1 - progress
        return x, 0.25 + 0.5 * self.height + 0.2 * self.swing * math.sin(self.turns * math.tau * progress)


def _with_ball(picture: Image, at: tuple[float, float], colour: tuple[int, int, int]) -> Image:
    frame = picture.copy()
    radius = max(1.0, min(picture.size) / 24)
    x, y = radius + at[0] * (picture.width - 2 * radius), at[1] * picture.height
    ImageDraw.Draw(frame).ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return frame
