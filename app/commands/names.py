"""What kept files are called: names a person can read, that are safe on every disk, whoever wrote the prompt. Pure."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath
from typing import Final

MAX_WORDS_CHARS: Final = 48

_APART: Final = re.compile(r"[\W_]+")
_SUFFIX: Final = re.compile(r"\.[a-z0-9]{1,8}")
_BY_TYPE: Final = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "video/mp4": ".mp4",
    "video/webm": ".webm",
    "audio/flac": ".flac",
    "audio/mpeg": ".mp3",
    "audio/wav": ".wav",
    "text/plain": ".txt",
    "application/json": ".json",
    "model/gltf-binary": ".glb",
}
# Windows opens a device by these names, whatever comes after the dot.
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)


def words(text: str | None) -> str:
    """The beginning of a text as part of a name: letters and digits of any script, joined by dashes; may be empty."""
    plain = _APART.sub("-", unicodedata.normalize("NFKC", text or "").lower()).strip("-")
    if len(plain) > MAX_WORDS_CHARS:
        plain = plain[: MAX_WORDS_CHARS + 1].rpartition("-")[0] or plain
    # A letter has up to four bytes, and a name at most 255 of them.
    plain = plain.encode()[: MAX_WORDS_CHARS * 2].decode(errors="ignore").strip("-")
    return f"{plain}-" if _DEVICES.fullmatch(plain) else plain


def suffix(filename: str, mime_type: str) -> str:
    """By the type the service told from the content; where it is none of the usual ones, that of the name."""
    own = PurePath(filename).suffix.lower()
    return _BY_TYPE.get(mime_type) or (own if _SUFFIX.fullmatch(own) else ".bin")


def is_of_a_file(name: str) -> bool:
    """Whether a name ends as those of files do that generations make; `results.v2` is a folder."""
    return PurePath(name).suffix.lower() in {*_BY_TYPE.values(), ".jpeg", ".tiff", ".mov", ".mkv"}


def stem(prompt: str | None, template: str | None, seed: int | None, place: int | None = None) -> str:
    """`0007-a-lighthouse-at-dusk-42`: the place counted from 1, where there is one, what it shows, and its seed."""
    parts = [f"{place:04d}" if place is not None else "", words(prompt) or words(template) or "generation"]
    return "-".join([part for part in parts if part] + ([str(seed)] if seed is not None else []))


def file_name(stem: str, number: int, count: int, suffix: str, again: int = 0) -> str:
    """Of the `number`th of `count` files, from 0; `again` > 0 is for names that are taken."""
    nth = f"-{number + 1}" if count > 1 else ""
    return f"{stem}{nth}{f'_{again + 1}' if again else ''}{suffix}"
