"""Pictures as a terminal takes them. Owns the two protocols and the half blocks; decides nothing about when.

Sources: the graphics protocol page of kitty's documentation, and "Images" of iTerm2's. A picture that cannot be
decoded is none: a preview is no reason to fail.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from PIL import Image, UnidentifiedImageError

from app.commands.terminal import Pictures

MAX_COLUMNS: Final = 40
MAX_ROWS: Final = 16
MAX_PIXELS: Final = 40_000_000
SIDE: Final = 512
"""Pixels at most to a side of what is sent to a terminal: enough for its forty columns."""

Colour: TypeAlias = tuple[int, int, int]
"""Red, green and blue, 0..255 each."""

_PIECE: Final = 4096
"""Bytes of a piece of kitty's protocol."""

_ID: Final = 0x6372
"""Of our picture; one shown again under it takes its place."""


class Area(NamedTuple):
    """Columns and rows of a terminal."""

    columns: int
    rows: int


def area_of(columns: int, rows: int) -> Area | None:
    """How large a picture may be in a terminal of this size; None where there is no room."""
    area = Area(min(MAX_COLUMNS, columns - 2), min(MAX_ROWS, rows - 8))
    return area if area.columns >= 16 and area.rows >= 6 else None


def drawn(picture: bytes, protocol: Pictures, area: Area, *, has_true_colour: bool = True) -> str:
    """What to write at the upper left corner of the area; empty where it is no picture. The cursor may end anywhere."""
    image = _opened(picture)
    if image is None:
        return ""
    fitted = _fitted(image, area)
    match protocol:
        case Pictures.KITTY:
            return _kitty(_png(image), fitted)
        case Pictures.ITERM:
            return _iterm(_png(image), fitted)
        case Pictures.BLOCKS:
            return _blocks(image, fitted, _true_colour if has_true_colour else _one_of_256)
        case Pictures.NONE:
            return ""


def _blocks(image: Image.Image, area: Area, colour: Callable[[Colour], str]) -> str:
    """Each cell is two pixels, one above the other: the upper half block in one colour on the other."""
    small = image.resize((area.columns, area.rows * 2), Image.Resampling.BOX)
    raw = small.tobytes()
    pixels = [(raw[at], raw[at + 1], raw[at + 2]) for at in range(0, len(raw), 3)]
    rows = []
    for y in range(0, area.rows * 2, 2):
        upper, lower = (pixels[(y + n) * area.columns :][: area.columns] for n in (0, 1))
        cells = (f"\x1b[38;{colour(a)};48;{colour(b)}m▀" for a, b in zip(upper, lower, strict=True))
        rows.append("".join(cells) + "\x1b[0m")
    return "\x1b[1B\r".join(rows)


def _true_colour(colour: Colour) -> str:
    return "2;{};{};{}".format(*colour)


def _one_of_256(colour: Colour) -> str:
    red, green, blue = (round(part / 255 * 5) for part in colour)
    return f"5;{16 + 36 * red + 6 * green + blue}"


def _opened(picture: bytes) -> Image.Image | None:
    try:
        with Image.open(io.BytesIO(picture), formats=("JPEG", "PNG", "WEBP")) as found:
            if found.width * found.height > MAX_PIXELS:
                return None
            found.draft("RGB", (SIDE, SIDE))
            image = found.convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    image.thumbnail((SIDE, SIDE))
    return image


def _fitted(image: Image.Image, area: Area) -> Area:
    """The part of the area that has the picture's proportions; a cell is twice as high as it is wide."""
    scale = min(area.columns / image.width, 2 * area.rows / image.height)
    return Area(max(1, round(image.width * scale)), max(1, round(image.height * scale / 2)))


def _png(image: Image.Image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG", compress_level=1)
    return content.getvalue()


def _kitty(content: bytes, area: Area) -> str:
    """Quiet (q=2), so that nothing comes back as if typed; the cursor stays (C=1)."""
    text = base64.b64encode(content).decode()
    pieces = [text[at : at + _PIECE] for at in range(0, len(text), _PIECE)]
    head = f"a=T,f=100,i={_ID},p=1,q=2,C=1,c={area.columns},r={area.rows},"
    written = []
    for number, piece in enumerate(pieces):
        more = int(number < len(pieces) - 1)
        written.append(f"\x1b_G{head if number == 0 else ''}m={more};{piece}\x1b\\")
    return "".join(written)


def _iterm(content: bytes, area: Area) -> str:
    size = f"width={area.columns};height={area.rows};preserveAspectRatio=1"
    return f"\x1b]1337;File=inline=1;size={len(content)};{size}:{base64.b64encode(content).decode()}\x07"
