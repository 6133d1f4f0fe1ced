"""What downloaded files are called on this machine. Pure.

A name comes from the record or from the caller; never a path from the service, and nothing that means something to a
file system or a shell.
"""

from __future__ import annotations

import re
from typing import Final

MAX_CHARS: Final = 150
"""Below the 255 bytes of file systems, in any script, with room for a number."""

_UNFIT: Final = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+')
_RESERVED: Final = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\..*)?", re.IGNORECASE)
_SUFFIX: Final = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")


def safe(name: str, default: str) -> str:
    """A name for a file: the last part of `name` as far as it is fit for one, or `default`."""
    last = re.split(r"[/\\]", name)[-1]
    fit = _UNFIT.sub("_", last).strip(" .").lstrip("-~")
    if _RESERVED.fullmatch(fit):
        fit = f"_{fit}"
    stem, suffix = parted(fit)
    while len((stem + suffix).encode()) > MAX_CHARS:
        stem = stem[:-1]
    return stem + suffix if stem else default


def parted(name: str) -> tuple[str, str]:
    """Stem and extension; the extension has its dot, or is empty."""
    found = _SUFFIX.search(name)
    return (name, "") if found is None else (name[: found.start()], found[0])


def numbered(name: str, number: int) -> str:
    """The name for the `number`th file that would be called this, from 1 on."""
    stem, suffix = parted(name)
    return name if number == 1 else f"{stem}-{number}{suffix}"
