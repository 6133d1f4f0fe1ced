"""Draws the simulator's pictures: small landscapes that depend on their recipe alone and say where they are from.

Pure. The same recipe and size give the same pixels. Cheap enough to draw while somebody waits: the sky is a tiny
picture enlarged, the rest a handful of polygons.
"""

from __future__ import annotations

import colorsys
import io
import math
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from collections.abc import Mapping

LABEL = "ComfyUI simulator"
PREVIEW_PIXELS = 512
"""ComfyUI fits previews into a square of this side, enlarging smaller ones (section 3.3)."""
_SMALLEST_LABELLED = 32
_Colour = tuple[int, int, int]
_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def paint(recipe: str, size: tuple[int, int], caption: str = "") -> Image.Image:
    """A labelled RGB picture of `size` pixels."""
    picture = landscape(recipe, size)
    if min(size) >= _SMALLEST_LABELLED:
        _letter(picture, caption)
    return picture


def landscape(recipe: str, size: tuple[int, int]) -> Image.Image:
    """A sky, a sun and three ranges of hills, without any text."""
    chance = Random(blake2b(recipe.encode(), digest_size=16).digest())  # noqa: S311  # colours, not secrets
    hue = chance.random()
    picture = _sky(chance, hue).resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)
    _draw_sun(draw, chance, size, hue)
    for depth in range(3):
        draw.polygon(
            _hills(chance, size, depth), fill=_colour(hue + 0.06 * depth, 0.45 + 0.15 * depth, 0.62 - 0.19 * depth)
        )
    return picture


def unfinished(recipe: str, size: tuple[int, int], fraction: float) -> Image.Image:
    """What a preview shows when `fraction` (0..1) of the steps is done: first blots, then the landscape."""
    small = _thumbnail(recipe, size)
    side = max(2, round(2 + fraction * max(small.size)))
    blots = small.resize((min(side, small.width), min(side, small.height)), Image.Resampling.BILINEAR)
    return blots.resize(_fitted(size), Image.Resampling.BILINEAR)


def blend(before: Image.Image, after: Image.Image, strength: float, mask: Image.Image | None) -> Image.Image:
    """`after` painted over `before`, `strength` 0..1, only where the mask is white."""
    mixed = Image.blend(before, after, strength)
    if mask is None:
        return mixed
    return Image.composite(mixed, before, mask.convert("L").resize(before.size).filter(ImageFilter.BoxBlur(2)))


def guided(picture: Image.Image, hint: Image.Image, strength: float) -> Image.Image:
    """The outlines of `hint` drawn over `picture`, the plainer the higher `strength` is (0..1)."""
    outlines = hint.convert("L").resize(picture.size).filter(ImageFilter.FIND_EDGES)
    drawn = outlines.point(lambda edge: round(min(255, 3 * edge) * min(1.0, strength)))
    return Image.composite(Image.new("RGB", picture.size, (255, 255, 255)), picture, drawn)


def encode(picture: Image.Image, image_format: str) -> bytes:
    """JPEG or PNG bytes, fast rather than small."""
    out = io.BytesIO()
    if image_format == "JPEG":
        picture.convert("RGB").save(out, "JPEG", quality=90)
    else:
        picture.save(out, image_format, **({"compress_level": 1} if image_format == "PNG" else {}))
    return out.getvalue()


def description(texts: Mapping[str, str]) -> str:
    """A recipe out of named parts, such as seed and steps."""
    return "|".join(f"{name}={text}" for name, text in texts.items())


@lru_cache(maxsize=16)
def _thumbnail(recipe: str, size: tuple[int, int]) -> Image.Image:
    scale = 96 / max(size)
    return landscape(recipe, (max(1, round(size[0] * scale)), max(1, round(size[1] * scale))))


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    scale = PREVIEW_PIXELS / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _colour(hue: float, saturation: float, value: float) -> _Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _sky(chance: Random, hue: float) -> Image.Image:
    sky = Image.new("RGB", (4, 4))
    for row in range(4):
        for column in range(4):
            colour = _colour(hue + 0.5 + 0.08 * chance.random(), 0.75 - 0.17 * row, 0.55 + 0.13 * row)
            sky.putpixel((column, row), colour)
    return sky


def _draw_sun(draw: ImageDraw.ImageDraw, chance: Random, size: tuple[int, int], hue: float) -> None:
    width, height = size
    radius = min(size) * (0.08 + 0.08 * chance.random())
    x, y = width * (0.15 + 0.7 * chance.random()), height * (0.18 + 0.25 * chance.random())
    for ring, value in ((1.35, 0.93), (1.0, 1.0)):
        box = (x - radius * ring, y - radius * ring, x + radius * ring, y + radius * ring)
        draw.ellipse(box, fill=_colour(hue + 0.12, 0.25 / ring, value))


def _hills(chance: Random, size: tuple[int, int], depth: int) -> list[tuple[float, float]]:
    width, height = size
    base, swing = height * (0.55 + 0.15 * depth), height * 0.09
    waves = [(chance.uniform(1, 4), chance.uniform(0, math.tau)) for _ in range(2)]
    points = 24
    line = [
        (
            width * index / points,
            base + swing * sum(math.sin(rate * math.pi * index / points + shift) for rate, shift in waves) / 2,
        )
        for index in range(points + 1)
    ]
    return [*line, (width, height), (0, height)]


def _letter(picture: Image.Image, caption: str) -> None:
    draw = ImageDraw.Draw(picture)
    font, line = _font(min(picture.size))
    words = [LABEL] if picture.width > len(LABEL) * line * 0.62 else LABEL.split()
    for row, text in enumerate(words):
        _write(draw, (3, 2 + row * line), text, font)
    letters = max(1, round((picture.width - 6) / (line * 0.58)))
    lines = [caption[start : start + letters] for start in range(0, min(len(caption), 2 * letters), letters)]
    for row, text in enumerate(reversed(lines)):
        _write(draw, (3, picture.height - (row + 1) * line - 3), text, font)


def _write(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, font: _Font) -> None:
    readable = text if isinstance(font, ImageFont.FreeTypeFont) else text.encode("latin-1", "replace").decode("latin-1")
    draw.text((at[0] + 1, at[1] + 1), readable, fill=(0, 0, 0), font=font)
    draw.text(at, readable, fill=(255, 255, 255), font=font)


@lru_cache(maxsize=8)
def _font(side: int) -> tuple[_Font, int]:
    if side < 192:
        return ImageFont.load_default_imagefont(), 11
    size = max(12, min(28, side // 32))
    return ImageFont.load_default(size), round(size * 1.25)
