"""Fetches what a caller's URL names, from addresses the whole world may ask. Never looks into a file.

Where the host leads is judged before it is asked, see `guarding`; each redirect is judged anew. What is sent says
nothing of us: no cookies, no credentials, no proxy of the environment.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

import aiohttp
from yarl import URL

from app.addresses import Allowed
from app.errors import BadSource
from app.guarding import Guard, HostClosed, HostUnknown, Resolve, session_to

if TYPE_CHECKING:
    import ssl

MAX_REDIRECTS: Final = 3
MAX_AT_ONCE: Final = 8
"""Fetches under way; the next ones wait, and their waiting counts as part of their time."""

CHUNK_BYTES: Final = 256 * 1024
MAX_URL_CHARS: Final = 4096

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_HEADERS: Final = {
    "User-Agent": "comfy-relay",
    "Accept": "image/*, video/*, audio/*, */*;q=0.1",
    # Pictures do not shrink, and a compressed answer would have to be unpacked before its size is known.
    "Accept-Encoding": "identity",
}
_UPLOAD: Final = "or upload the file and send its id"


@dataclass(frozen=True, slots=True)
class Found:
    """An open answer. Read `chunks` once, inside the block; `filename` is the last part of the URL's path."""

    filename: str | None
    chunks: AsyncIterator[bytes]


class Fetcher:
    """`timeout_s` bounds a fetch as a whole, from the wait for a turn to the last byte.

    `resolve` and `tls` are for those who know better than the system where names lead and whom to trust.
    """

    def __init__(
        self,
        allowed: Allowed,
        *,
        timeout_s: float,
        max_bytes: int,
        resolve: Resolve | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._guard = Guard(allowed, lookups=MAX_AT_ONCE, resolve=resolve)
        self._timeout_s, self._max_bytes, self._tls = timeout_s, max_bytes, tls
        self._turns = asyncio.Semaphore(MAX_AT_ONCE)

    @asynccontextmanager
    async def open(self, url: str) -> AsyncIterator[Found]:
        """Ask for `url`; the answer is closed at the end of the block. Raises BadSource, also while it is read."""
        target = _target(url)
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit, self._turns, AsyncExitStack() as stack:
                response = await self._followed(stack, target)
                yield Found(_filename(response.url), self._chunks(response))
        except TimeoutError as error:
            if not limit.expired():
                raise
            raise BadSource(f"The host took longer than {self._timeout_s:g} s; try again, {_UPLOAD}.") from error

    def close(self) -> None:
        """Give the threads back; a lookup that hangs ends by itself."""
        self._guard.close()

    async def _followed(self, stack: AsyncExitStack, target: URL) -> aiohttp.ClientResponse:
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._asked(stack, target)
            if response.status not in _REDIRECTS:
                return self._checked(response)
            target = _next_target(target, response.headers.get("Location"))
            response.close()
        raise BadSource(f"The URL redirects more than {MAX_REDIRECTS} times; send the URL it ends at.")

    async def _asked(self, stack: AsyncExitStack, target: URL) -> aiohttp.ClientResponse:
        addresses = await self._addresses(target)
        session = await stack.enter_async_context(session_to(addresses, _HEADERS, self._tls))
        try:
            response = await session.get(target, allow_redirects=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise BadSource(_reason(error)) from error
        stack.callback(response.close)
        return response

    async def _addresses(self, target: URL) -> Sequence[str]:
        """Where the host of the URL leads, if it may be asked at all. The text of a refusal never says where."""
        try:
            return await self._guard.addresses(target.host or "", target.port or 0)
        except HostUnknown as error:
            raise BadSource(f"The URL's host is unknown; check its name, {_UPLOAD}.") from error
        except HostClosed as error:
            raise BadSource(
                "The URL's host or port is not open to the public, so it is not fetched from here; upload the file and"
                " send its id, or have COMFY_RELAY_FETCH_ALLOW name the host."
            ) from error

    def _checked(self, response: aiohttp.ClientResponse) -> aiohttp.ClientResponse:
        if response.status != 200:
            raise BadSource(f"The URL answered with status {response.status}; check it, {_UPLOAD}.")
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in {"", "identity"}:
            raise BadSource("The URL answered with a compressed body, which it was asked not to; upload the file.")
        if (response.content_length or 0) > self._max_bytes:
            raise BadSource(f"The file has more than the {self._max_bytes} bytes that are taken; send a smaller one.")
        return response

    async def _chunks(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise BadSource(f"The file broke off while it was fetched; try again, {_UPLOAD}.") from error


def _target(text: str) -> URL:
    """The URL to ask. aiohttp gets this very object, so nobody reads another host into it than was judged."""
    if len(text) > MAX_URL_CHARS:
        raise BadSource(f"The URL has more than {MAX_URL_CHARS} characters; upload the file and send its id.")
    try:
        url = URL(text)
    except (ValueError, TypeError, UnicodeError) as error:
        raise BadSource(f"The URL cannot be read; write it like https://host/picture.png, {_UPLOAD}.") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise BadSource(f"A URL begins with http:// or https:// and a host; correct it, {_UPLOAD}.")
    if url.user is not None or url.password is not None:
        raise BadSource("The URL carries a user name or a password; upload the file and send its id.")
    return url.with_fragment(None)


def _next_target(asked: URL, location: str | None) -> URL:
    if not location:
        raise BadSource(f"The URL redirects to nowhere; check it, {_UPLOAD}.")
    try:
        joined = str(asked.join(URL(location)))
    except (ValueError, TypeError, UnicodeError) as error:
        raise BadSource(f"The URL redirects to one that cannot be read; check it, {_UPLOAD}.") from error
    target = _target(joined)
    if asked.scheme == "https" and target.scheme == "http":
        raise BadSource("The URL redirects from https to http; send a URL that stays on https.")
    return target


def _filename(url: URL) -> str | None:
    return unquote(url.raw_path.rpartition("/")[2], errors="replace") or None


def _reason(error: Exception) -> str:
    """Why no answer came, without the address that the error's own text would give away."""
    match error:
        case aiohttp.ClientSSLError():
            return f"The URL's host has no certificate that is valid for it; check the name, {_UPLOAD}."
        case aiohttp.ClientConnectorError():
            return f"The URL's host takes no connection; check host and port, {_UPLOAD}."
        case _:
            return f"The URL's host gave no answer that is HTTP; check host and port, {_UPLOAD}."
