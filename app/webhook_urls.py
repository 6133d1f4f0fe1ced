"""The URLs of receivers: what can be seen to be wrong with one without asking the network. Never resolves a name."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from yarl import URL

from app.addresses import Allowed

MAX_URL_CHARS: Final = 2048


def parsed(text: str) -> URL:
    """The URL without its fragment. ValueError, fit for a caller's eyes, for one that cannot be called."""
    if len(text) > MAX_URL_CHARS:
        raise ValueError(f"has more than {MAX_URL_CHARS} characters; send a shorter one")
    try:
        url = URL(text)
        port = url.port
    except (ValueError, TypeError, UnicodeError):
        raise ValueError("cannot be read; write it like https://example.com/hooks/comfy") from None
    if url.scheme not in {"http", "https"} or not url.host or not port or not text.isprintable() or " " in text:
        raise ValueError("must begin with http:// or https:// and a host")
    if url.user is not None or url.password is not None:
        raise ValueError("carries a user name or a password; leave them out, each delivery is signed instead")
    return url.with_fragment(None)


def problem_of(text: str, allowed: Allowed) -> str | None:
    """Why a receiver of this URL would never be told anything; None: nothing that can be seen."""
    try:
        url = parsed(text)
    except ValueError as error:
        return str(error)
    host, port = url.host or "", url.port or 0
    return closed(url) if _is_surely_closed(host, port, allowed) else None


def closed(url: URL) -> str:
    """What is said of a host or a port that is not open to the public."""
    port = url.port or 0
    host = f"[{url.host}]" if ":" in (url.host or "") else url.host
    return (
        f"leads to a host or to a port ({port}) that is not open to the public, which webhooks are not sent to;"
        f" have COMFY_RELAY_WEBHOOK_ALLOW name it as {host}:{port}"
    )


def lane_of(text: str) -> str:
    """What is slow or down together with this URL: the same without its query."""
    try:
        return str(URL(text).with_query(None).with_fragment(None))
    except (ValueError, TypeError, UnicodeError):
        return text


def _is_surely_closed(host: str, port: int, allowed: Allowed) -> bool:
    try:
        addresses = [ip_address(host)]
    except ValueError:
        name = host.lower().rstrip(".")
        is_here = name == "localhost" or name.endswith(".localhost")
        # For all that is known of any other name yet, it leads to the most public address there is.
        addresses = [ip_address("127.0.0.1" if is_here else "1.1.1.1")]
    return not allowed.permits(host, port, addresses)
