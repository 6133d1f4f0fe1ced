"""What a storage's URL says. Pure; opens nothing.

    (none)                                          a folder of this machine
    s3://bucket/prefix?endpoint=...&region=...      an S3-compatible bucket
    comfyui:                                        nothing kept: files are fetched from ComfyUI when they are asked for

Credentials are settings of their own: a URL is shown in tables, in shells and in process lists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

FROM_COMFYUI: Final = "comfyui:"

_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX: Final = re.compile(r"[a-z0-9_-][a-z0-9._-]*(?:/[a-z0-9_-][a-z0-9._-]*)*|", re.ASCII)
_REGION: Final = re.compile(r"[a-z0-9-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What an s3 URL says. Without an endpoint it is AWS's of the region."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None

    @classmethod
    def of(cls, url: str) -> Bucket:
        """Read it; ValueError says what is wrong and how it is written, without quoting the URL."""
        parts = urlsplit(url)
        asked = dict(parse_qsl(parts.query, keep_blank_values=True))
        prefix = unquote(parts.path).strip("/")
        endpoint, region = asked.pop("endpoint", None), asked.pop("region", None)
        if "@" in parts.netloc:
            raise ValueError("holds credentials; give them as STORAGE_KEY_ID and STORAGE_SECRET")
        if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or not _PREFIX.fullmatch(prefix):
            raise ValueError("a storage is s3://bucket/prefix?endpoint=...&region=... (lower case), comfyui: or unset")
        if asked or parts.fragment:
            raise ValueError("an s3 URL takes endpoint and region, and nothing else")
        if endpoint is not None and not _is_endpoint(endpoint):
            raise ValueError("the endpoint is given as https://host or http://host:port")
        if region is not None and not _REGION.fullmatch(region):
            raise ValueError("the region is a name such as eu-central-1")
        return cls(parts.netloc, prefix, endpoint, region)


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        is_plain = parts.path in {"", "/"} and not parts.query and not parts.fragment and "@" not in parts.netloc
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0 and is_plain
    except ValueError:  # A port beyond 65535, or half an IPv6 address.
        return False
