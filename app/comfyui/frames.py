"""The layout of ComfyUI's binary frames: where a header ends and a picture begins.

Pure. All integers are 4 bytes, big-endian, unsigned (COMFYUI_PROTOCOL section 3.3). Never interprets ids or metadata;
`messages` does.
"""

from __future__ import annotations

from typing import Final, NamedTuple

PREVIEW: Final = 1
TEXT: Final = 3
PREVIEW_WITH_METADATA: Final = 4

MIME_TYPES: Final = frozenset({"image/jpeg", "image/png", "image/webp", "image/gif"})
"""Pictures that are safe to hand to a browser under the type a frame claims."""

_MIME_TYPE_OF_FORMAT: Final = {1: "image/jpeg", 2: "image/png"}
_WORD: Final = 4


class BinaryFrame(NamedTuple):
    """A frame taken apart: `head` is the node id or metadata before `body`, empty for plain previews."""

    kind: int
    head: bytes
    body: bytes
    mime_type: str | None = None


def split(frame: bytes) -> BinaryFrame:
    """Take a frame apart. Raises ValueError for what is cut off or of no known layout; `kind_of` still names it."""
    kind = kind_of(frame)
    if kind == PREVIEW:
        mime_type = _MIME_TYPE_OF_FORMAT.get(_word(frame, _WORD))
        if mime_type is None:
            raise ValueError("unknown picture format")
        return BinaryFrame(kind, b"", frame[2 * _WORD :], mime_type)
    if kind in {TEXT, PREVIEW_WITH_METADATA}:
        end = 2 * _WORD + _word(frame, _WORD)
        if end > len(frame):
            raise ValueError("the header is cut off")
        return BinaryFrame(kind, frame[2 * _WORD : end], frame[end:])
    raise ValueError("unknown binary type")


def kind_of(frame: bytes) -> int:
    """The frame's type number. Raises ValueError for a frame too short to have one."""
    return _word(frame, 0)


def _word(frame: bytes, offset: int) -> int:
    if len(frame) < offset + _WORD:
        raise ValueError("the frame is cut off")
    return int.from_bytes(frame[offset : offset + _WORD], "big")
