"""Which network addresses may be fetched from. Owns that judgement and its exceptions; never resolves or connects.

A caller's URL is fetched by us, from inside a network that the caller is not in: only what the whole world can reach
anyway may be asked, unless the setting `FETCH_ALLOW` says otherwise (server-side request forgery).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final, Self, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

PORTS: Final = frozenset({80, 443, 8080, 8443})
"""Where web servers are. Other ports belong to databases, mail and the like, and need `FETCH_ALLOW`."""

# IANA's registry of special-purpose IPv4 addresses, multicast, the reserved rest, and one cloud's service address,
# which is the only public one among them (Azure's, the same inside every of its networks).
_CLOSED_V4: Final = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "168.63.129.16/32",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)

# Of IPv6 only global unicast is open, without the special-purpose parts of it: protocol assignments with Teredo,
# documentation, and 6to4, which is a tunnel to any IPv4 address.
_OPEN_V6: Final = IPv6Network("2000::/3")
_CLOSED_V6: Final = tuple(
    map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)
# A translator's addresses for IPv4 (RFC 6052): as open as what they lead to.
_NAT64: Final = IPv6Network("64:ff9b::/96")


def is_public(address: Address) -> bool:
    """Whether the whole world can reach this address, so that asking it for somebody gives nothing away."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    embedded = _embedded(address)
    if embedded is not None:
        return is_public(embedded)
    return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may be fetched from although it is not public, or listens on another port.

    `names` are hosts in lower case, each with the one port it is allowed, or None for every port. `networks` are
    allowed on every port.
    """

    names: frozenset[tuple[str, int | None]] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> Self:
        """Read `host`, `host:port`, `address`, `[address]`, `[address]:port` and `network/bits`; ValueError
        names a wrong one.
        """
        names: set[tuple[str, int | None]] = set()
        networks: list[Network] = []
        for entry in entries:
            if (network := _network(entry)) is not None:
                networks.append(network)
            else:
                names.add(_name(entry))
        return cls(frozenset(names), tuple(networks))

    def covers_name(self, host: str, port: int) -> bool:
        """Whether this host is allowed on this port, wherever its name leads."""
        name = host.lower().rstrip(".")
        return (name, None) in self.names or (name, port) in self.names

    def covers(self, address: Address) -> bool:
        """Whether this address is allowed on every port."""
        plain = _embedded(address) if isinstance(address, IPv6Address) else None
        return any(each in network for network in self.networks for each in (address, plain) if each is not None)

    def permits(self, host: str, port: int, addresses: Iterable[Address]) -> bool:
        """Whether a host that leads to these addresses, every one of them, may be asked on this port."""
        if self.covers_name(host, port):
            return True
        return all(self.covers(each) or (port in PORTS and is_public(each)) for each in addresses)


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped or translated one leads to."""
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return IPv4Address(int(address) & 0xFFFF_FFFF) if address in _NAT64 else None


def _network(entry: str) -> Network | None:
    scheme, is_url, _ = entry.partition("://")
    if is_url:
        raise ValueError(f"{entry!r} is a URL; leave out {scheme.lower()}:// and any path, write host or host:port")
    if entry.startswith("[") and entry.endswith("]"):
        return ip_network(_bracketed(entry[1:-1], entry))
    if "/" not in entry:
        try:
            return ip_network(ip_address(entry))
        except ValueError:
            return None
    try:
        return ip_network(entry)
    except ValueError:
        raise ValueError(f"{entry!r} is no network; write it like 10.0.0.0/8, without bits of a host") from None


def _name(entry: str) -> tuple[str, int | None]:
    host, separator, port = entry.rpartition(":")
    if not separator:
        host, port = entry, ""
    elif not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{entry!r} has no port from 1 to 65535 after its colon")
    if host.startswith("[") and host.endswith("]"):
        host = str(_bracketed(host[1:-1], entry))
    elif not host or set(host) & set(":/@?#[] *"):
        raise ValueError(f"{entry!r} is no host; write host, host:port, or a network like 10.0.0.0/8")
    return host.lower().rstrip("."), int(port) if port else None


def _bracketed(inner: str, entry: str) -> IPv6Address:
    try:
        return IPv6Address(inner)
    except ValueError:
        raise ValueError(f"{entry!r} has no IPv6 address in its brackets") from None
