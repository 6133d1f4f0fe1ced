"""Where a host leads, judged before anybody connects. Owns the lookup of names and connections to what was judged.

The name is resolved here, every address of it is judged, and the connection goes to those addresses and no others: a
name that leads elsewhere a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from app.addresses import Allowed

if TYPE_CHECKING:
    import ssl

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""From host and port to addresses as text; OSError (or UnicodeError) for a name that leads nowhere."""


class HostUnknown(Exception):
    """The name leads nowhere."""


class HostClosed(Exception):
    """The host, or the port, is not open to the public, and no setting allows it."""


class Guard:
    """`lookups` names are looked up at a time. `resolve` is for those who know better where names lead."""

    def __init__(self, allowed: Allowed, *, lookups: int, resolve: Resolve | None = None) -> None:
        self._allowed = allowed
        # Threads of its own: lookups that hang must not take those that read and write files.
        self._threads = ThreadPoolExecutor(lookups, thread_name_prefix="resolve")
        self._resolve = resolve or self._look_up

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Where the host leads, if it may be asked at all. Raises HostUnknown, HostClosed."""
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise HostUnknown(host) from error
        if not addresses or not self._allowed.permits(host, port, map(ip_address, addresses)):
            raise HostClosed(host)
        return addresses

    def close(self) -> None:
        """Give the threads back; a lookup that hangs ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        loop = asyncio.get_running_loop()
        kind = socket.SOCK_STREAM
        found = await loop.run_in_executor(self._threads, lambda: socket.getaddrinfo(host, port, type=kind))
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def session_to(addresses: Sequence[str], headers: dict[str, str], tls: ssl.SSLContext | None) -> aiohttp.ClientSession:
    """A session for one request, whatever its host, to these addresses. It says nothing of us but these headers."""
    connector = aiohttp.TCPConnector(
        resolver=_Pinned(addresses), use_dns_cache=False, force_close=True, limit=1, ssl=tls or True
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        auto_decompress=False,
        trust_env=False,
        timeout=aiohttp.ClientTimeout(total=None),
    )


class _Pinned(AbstractResolver):
    """Answers every question with the addresses that were judged."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """There is nothing to close."""
