"""Reads data URLs (RFC 2397). Pure; never judges what is inside, and leaves the type it announces unread."""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote, unquote_to_bytes

# A multiple of four characters of base64, and of as many bytes as cost a few milliseconds at most.
_SLICE_CHARS: Final = 1024 * 1024
_BASE64: Final = ";base64"


def decoded(url: str) -> Iterator[bytes]:
    """The content in pieces, made one by one; ValueError for what is no data URL, perhaps after some pieces.

    As lenient as browsers: white space, missing padding, the URL-safe alphabet and percent-encoding are read.
    """
    head, comma, content = url.partition(",")
    if not comma or not head[:5].lower() == "data:":
        raise ValueError("a data URL looks like data:image/png;base64,...")
    if not head.rstrip().lower().endswith(_BASE64):
        yield unquote_to_bytes(content)
        return
    text = _plain(content)
    for start in range(0, len(text), _SLICE_CHARS):
        yield binascii.a2b_base64(text[start : start + _SLICE_CHARS], strict_mode=True)


def _plain(content: str) -> str:
    """Base64 as the standard library wants it."""
    if "%" in content:
        content = unquote(content)
    content = "".join(content.split()).rstrip("=").replace("-", "+").replace("_", "/")
    return content + "=" * (-len(content) % 4)
