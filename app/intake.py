"""What is taken in as input, and what it is called. Pure: types, names and the record; no file is opened here.

A caller's file name is kept only to be shown again. On disks of ours a file is called by its id, at ComfyUI by its
content, so the same bytes have the same name at every server and replace nothing but themselves.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from app.filetypes import FileType, kind_of
from app.records import InputFile, OutputKind

MAX_NAME_CHARS: Final = 120
"""Of a file name that is shown again; a person reads no more of one."""

SNIFF_BYTES: Final = 4096
"""Enough of a file to tell its type; an honest picture's size is nearly always among them."""

# The extension by type. ComfyUI's loaders, and the libraries they read with, go by it in part.
_EXTENSIONS: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/bmp": "bmp",
    "image/tiff": "tiff",
    "image/avif": "avif",
    "video/mp4": "mp4",
    "video/webm": "webm",
    "video/x-matroska": "mkv",
    "video/quicktime": "mov",
    "video/x-msvideo": "avi",
    "video/ogg": "ogv",
    "audio/mpeg": "mp3",
    "audio/wav": "wav",
    "audio/flac": "flac",
    "audio/ogg": "ogg",
    "audio/mp4": "m4a",
}
_ALSO: Final = {
    "jpeg": "jpg",
    "jpe": "jpg",
    "jfif": "jpg",
    "apng": "png",
    "tif": "tiff",
    "m4v": "mp4",
    "oga": "ogg",
    "opus": "ogg",
}

ACCEPTED: Final = "PNG, JPEG, WebP, GIF, BMP, TIFF, AVIF, MP4, WebM, MKV, MOV, AVI, OGV, MP3, WAV, FLAC, OGG or M4A"
"""The types of `_EXTENSIONS`, for people."""

# Controls, separators of folders, writing-direction marks (which disguise an extension), lone surrogates.
_UNFIT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was taken in. `location` is the storage's own key; `created_at` is in seconds since the epoch.

    `width` and `height` are those of pictures, as stored (before any EXIF rotation).
    """

    id: str
    sha256: str
    kind: OutputKind
    mime_type: str
    filename: str
    size_bytes: int
    width: int | None = None
    height: int | None = None
    location: str
    created_at: float

    @property
    def input_file(self) -> InputFile:
        """The file as a workflow takes it in."""
        name = f"relay-{self.sha256[:32]}.{_EXTENSIONS[self.mime_type]}"
        return InputFile(name, self.location, self.mime_type, self.size_bytes)


def accepted_type(head: bytes) -> FileType | None:
    """The type of a file that begins like this, or None for one that is not taken. A name has no say in it."""
    found = kind_of("", head)
    return found if found.mime_type in _EXTENSIONS else None


def shown_name(given: str | None, mime_type: str) -> str:
    """The caller's file name without what could harm whoever meets it, with an extension that tells the truth."""
    name = _UNFIT.sub("", (given or "").replace("\\", "/").rpartition("/")[2]).strip(" .")
    extension = _EXTENSIONS[mime_type]
    stem, dot, last = name.rpartition(".")
    if dot and stem and extension in {last.lower(), _ALSO.get(last.lower())}:
        extension = last
    else:
        stem = name
    stem = stem[: MAX_NAME_CHARS - len(extension) - 1].rstrip(" .") or mime_type.partition("/")[0]
    return f"{stem}.{extension}"


def picture_size(head: bytes) -> tuple[int, int] | None:
    """Width and height of a WebP by its header (RFC 9649), None for anything else.

    Pillow makes room for all the pixels of a WebP before it tells how many there are.
    """
    if len(head) < 30 or head[:4] != b"RIFF" or head[8:12] != b"WEBP":
        return None
    match head[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(head[24:27], "little"), 1 + int.from_bytes(head[27:30], "little")
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            return int.from_bytes(head[26:28], "little") & 0x3FFF, int.from_bytes(head[28:30], "little") & 0x3FFF
        case _:
            return None
