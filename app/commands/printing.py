"""Texts as they may be printed: nothing in them that steers a terminal, and no longer than there is room for. Pure."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """A text from elsewhere with nothing in it that steers a terminal: no controls, nothing that turns it."""
    if text.isprintable():
        return text
    return "".join(" " if each in "\n\t\r" else each if _is_shown(each) else "�" for each in text)


def _is_shown(character: str) -> bool:
    # Cf has the joiners that emoji and several scripts need; those that turn the direction are among the others.
    return character.isprintable() or character in "\u200c\u200d\ufe0f" or unicodedata.category(character) == "Zs"


def cells(text: str) -> int:
    """How many columns a printable text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in {"W", "F"} for each in text)
    return len(text) + wide - sum(unicodedata.category(each) in {"Mn", "Me", "Cf"} for each in text)


def shortened(text: str, width: int) -> str:
    """A printable text in at most so many columns, with `…` for what is left out."""
    if cells(text) <= width:
        return text
    kept = text[:width]
    while kept and cells(kept) > width - 1:
        kept = kept[:-1]
    return f"{kept.rstrip()}…" if width > 0 else ""
