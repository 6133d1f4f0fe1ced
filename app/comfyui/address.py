"""Where a ComfyUI server is: one URL turned into the URLs and headers its routes and its socket need.

Pure. Credentials in the URL become a header at once, so that no URL that is sent, logged or shown carries them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Address:
    """`root` is `http(s)://host:port/prefix` without a slash at the end and without credentials."""

    root: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def http(self, path: str) -> str:
        """The URL of a route; `path` begins with a slash and is encoded already."""
        return self.root + path

    def websocket(self, client_id: str) -> str:
        """The URL of the socket that is called `client_id`."""
        return f"ws{self.root.removeprefix('http')}/ws?clientId={quote(client_id, safe='')}"


def parse_address(url: str) -> Address:
    """Read a server's URL: http or https, perhaps `user:password@`, perhaps a path in front of ComfyUI's own routes.

    Raises ValueError, whose text never repeats the URL.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("a ComfyUI server is named by an http:// or https:// URL with a host")
    if parts.query or parts.fragment:
        raise ValueError("the URL of a ComfyUI server has no query and no fragment")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = f":{parts.port}" if parts.port is not None else ""
    root = f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"
    return Address(root, _authorization(parts.username, parts.password))


def _authorization(user: str | None, password: str | None) -> dict[str, str]:
    if user is None and password is None:
        return {}
    pair = f"{unquote(user or '')}:{unquote(password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
