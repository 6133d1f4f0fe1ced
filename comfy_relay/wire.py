"""What both drivers make of httpx: requests out of ours, answers and losses of ours out of its. Does nothing itself."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import certifi  # httpx brings it, and trusts the same
import httpx
from httpx_sse import SSEError

from comfy_relay.effects import Head, Heard, Lost, Request

CHUNK_BYTES: Final = 256 * 1024

LIMITS: Final = httpx.Limits(max_connections=None, max_keepalive_connections=20)
"""Every stream that is followed holds a connection: with a limit, enough of them would keep everything else waiting."""

FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, SSEError)
"""What httpx raises where a connection fails, or an address is none."""

_UNSENT: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)
"""Those where nothing of the request has left this machine."""


class LateCertificates(ssl.SSLContext):
    """The usual certificates and those of this machine, read when a connection needs them: for services without TLS
    that is never, and reading them takes longer than several requests.
    """

    _are_read = False

    def wrap_socket(self, *args: Any, **kwargs: Any) -> ssl.SSLSocket:
        self._read()
        return super().wrap_socket(*args, **kwargs)

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        self._read()
        return super().wrap_bio(*args, **kwargs)

    def _read(self) -> None:
        if not self._are_read:
            self.load_default_certs()
            self.load_verify_locations(certifi.where())
            self._are_read = True


def certificates(verify: ssl.SSLContext | bool) -> ssl.SSLContext | bool:
    """Of `verify`, what httpx is given."""
    return LateCertificates(ssl.PROTOCOL_TLS_CLIENT) if verify is True else verify


def arguments(request: Request) -> dict[str, Any]:
    """Of `build_request`, all but the body."""
    headers = encoded(request.headers)
    if isinstance(request.body, Path):
        headers[b"Content-Length"] = str(request.body.stat().st_size).encode()
    return {
        "method": request.method,
        "url": httpx.URL(request.url).copy_merge_params(request.query) if request.query else request.url,
        "headers": headers,
        "timeout": httpx.Timeout(request.timeout_s, pool=None),
    }


def encoded(headers: Mapping[str, str]) -> dict[bytes, bytes]:
    """Headers as they are sent; those of callers may hold any letter."""
    return {name.encode(): value.encode() for name, value in headers.items()}


def pieces(path: Path) -> Iterator[bytes]:
    """A file as it is sent. Raises OSError where it does not have as many bytes as it said."""
    with path.open("rb") as file:
        left = path.stat().st_size
        while piece := file.read(CHUNK_BYTES):
            left -= len(piece)
            if left < 0:
                break
            yield piece
    if left != 0:
        raise OSError(f"{path} changed while it was sent; send it again when it is complete")


def head_of(response: httpx.Response) -> Head:
    return Head(response.status_code, dict(response.headers))


def heard(event: Any) -> Heard | None:
    """An event of httpx-sse's."""
    return None if event is None else Heard(event.id, event.data)


def lost(error: Exception) -> Lost:
    """A failure in the words of a person. Raises ValueError where the request is what is wrong: another try of it would
    fail as well.
    """
    match error:
        case httpx.LocalProtocolError():
            raise ValueError(f"the request cannot be sent as it is: {error}") from error
        case httpx.ConnectTimeout():
            why = "it takes too long to connect"
        case httpx.TimeoutException():
            why = "it gave no answer in time"
        case httpx.ConnectError():
            why = "it cannot be connected to" if "refused" in str(error) else str(error) or "no connection"
        case _:
            why = str(error) or type(error).__name__
    return Lost(why, was_sent=not isinstance(error, _UNSENT))
