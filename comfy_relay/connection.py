"""Where the service is, and how it is spoken to. The only module that reads the environment."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from comfy_relay.arguments import header_fields, header_text, text
from comfy_relay.exchange import Core

URL: Final = "COMFY_RELAY_URL"
KEY: Final = "COMFY_RELAY_KEY"
HERE: Final = "http://127.0.0.1:8000"


def core(url: str | None, timeout_s: float, retry_for_s: float) -> Core:
    """What the operations of a client share. Raises TypeError and ValueError for a URL that is none."""
    given = ((url and text("url", url)) or os.environ.get(URL) or HERE).strip()
    base = (given if "://" in given else f"http://{given}").rstrip("/")
    if not _is_address(base):
        raise ValueError(f"{given!r} is no address of a service; give one such as {HERE}")
    return Core(
        base=base,
        timeout_s=timeout_s,
        retry_for_s=retry_for_s,
        clock=time.monotonic,
        jitter=random.random,
        new_key=lambda: str(uuid.uuid4()),
    )


def _is_address(base: str) -> bool:
    try:
        parts = urlsplit(base)
        is_whole = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return is_whole and base.isprintable() and not parts.query and not parts.fragment


def headers(key: str | None, more: Mapping[str, str] | None) -> dict[str, str]:
    """The headers of every request. Raises TypeError and ValueError for what no header can hold.

    The key goes as `Authorization`, which HTTP libraries leave out where they are redirected to somebody else.
    """
    key = os.environ.get(KEY) if key is None else key
    sent = {"User-Agent": "comfy-relay-python", **header_fields("headers", more or {})}
    if key:
        sent["Authorization"] = f"Bearer {header_text('key', key)}"
    return sent
