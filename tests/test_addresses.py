"""What the whole world can reach may be fetched from; everything else only where the operator says so."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as some

from app.addresses import Allowed, is_public

CLOSED = [
    *("0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.255.254"),
    *("168.63.129.16", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1"),
    *("192.168.1.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.255"),
    *("240.0.0.1", "255.255.255.255"),
    *("::", "::1", "::7f00:1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
    *("64:ff9b:1::808:808", "100::1", "2001::1", "2001:0:53aa:64c:0:5efe:7f00:1", "2001:20::1", "2001:db8::1"),
    *("2002:7f00:1::", "2002:808:808::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0"),
    *("fec0::1", "ff02::1"),
]
OPEN = [
    *("1.1.1.1", "8.8.8.8", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.15.0.1", "172.32.0.1", "223.1.1.1"),
    *("2606:4700:4700::1111", "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2400:cb00::1"),
]


@pytest.mark.parametrize("address", CLOSED)
def test_an_address_that_is_not_the_worlds_is_closed(address: str) -> None:
    assert not is_public(ip_address(address))
    assert not Allowed().permits("host", 80, [ip_address(address)])


@pytest.mark.parametrize("address", OPEN)
def test_an_address_of_the_world_is_open_on_the_ports_of_web_servers(address: str) -> None:
    allowed = Allowed()

    assert is_public(ip_address(address))
    for port in (80, 443, 8080, 8443):
        assert allowed.permits("host", port, [ip_address(address)])
    for port in (0, 22, 25, 3306, 6379, 8000, 8188):
        assert not allowed.permits("host", port, [ip_address(address)])


@given(some.integers(0, 2**32 - 1))
def test_what_is_wrapped_in_ipv6_is_as_open_as_it_is_bare_and_tunnels_are_closed(number: int) -> None:
    bare = IPv4Address(number)
    mapped, translated = ip_address(f"::ffff:{bare}"), ip_address(f"64:ff9b::{bare}")
    tunneled = IPv6Address((0x2002 << 112) | (number << 80))

    assert is_public(mapped) == is_public(bare)
    assert is_public(translated) == is_public(bare)
    assert not is_public(tunneled)
    assert not is_public(ip_address(f"::{bare}"))


@given(some.ip_addresses(v=4))
def test_nothing_is_open_that_the_standard_library_calls_private(address: IPv4Address) -> None:
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert not is_public(address)


def test_one_closed_address_among_open_ones_closes_the_name() -> None:
    assert not Allowed().permits("host", 80, [ip_address("8.8.8.8"), ip_address("10.0.0.1")])


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("files.lan", "files.lan", 9000, "10.0.0.1"),
        ("Files.LAN.", "files.lan", 80, "10.0.0.1"),
        ("files.lan:9000", "FILES.lan.", 9000, "10.0.0.1"),
        ("10.0.0.0/8", "whatever", 9000, "10.9.9.9"),
        ("10.0.0.0/8", "whatever", 80, "::ffff:10.9.9.9"),
        ("10.0.0.1", "whatever", 22, "10.0.0.1"),
        ("fd00::/8", "whatever", 80, "fd00::1"),
        ("::1", "whatever", 80, "::1"),
        ("127.0.0.1:9000", "127.0.0.1", 9000, "127.0.0.1"),
        ("[::1]:9000", "::1", 9000, "::1"),
        ("[::1]", "::1", 9000, "::1"),
    ],
)
def test_what_is_allowed_may_be_asked(entry: str, host: str, port: int, address: str) -> None:
    assert Allowed.of([entry]).permits(host, port, [ip_address(address)])


@pytest.mark.parametrize(
    ("entry", "host", "port", "address"),
    [
        ("files.lan:9000", "files.lan", 9001, "10.0.0.1"),
        ("files.lan", "other.lan", 80, "10.0.0.1"),
        ("files.lan", "x.files.lan", 80, "10.0.0.1"),
        ("10.0.0.0/8", "whatever", 22, "11.0.0.1"),
        ("10.0.0.0/8", "whatever", 80, "127.0.0.1"),
        ("127.0.0.1:9000", "127.0.0.1", 9001, "127.0.0.1"),
        ("127.0.0.1:9000", "other", 9000, "127.0.0.1"),
    ],
)
def test_what_is_allowed_opens_nothing_else(entry: str, host: str, port: int, address: str) -> None:
    assert not Allowed.of([entry]).permits(host, port, [ip_address(address)])


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "host:",
        "host:http",
        "host:0",
        "host:65536",
        "http://host",
        "a b",
        "*.lan",
        "[x]:80",
        "[x]",
    ],
)
def test_an_entry_that_cannot_be_meant_is_refused_by_its_name(entry: str) -> None:
    with pytest.raises(ValueError, match=r".+") as raised:
        Allowed.of(["fine.lan", entry])

    assert repr(entry) in str(raised.value)


@pytest.mark.parametrize("entry", ["http://127.0.0.1:9100", "https://files.lan", "HTTP://[::1]:9100/hooks"])
def test_a_url_where_a_host_belongs_is_told_to_leave_its_scheme_out(entry: str) -> None:
    with pytest.raises(ValueError, match=r"leave out https?://") as raised:
        Allowed.of([entry])

    assert repr(entry) in str(raised.value)
