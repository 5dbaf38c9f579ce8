"""Hosts, ports, and what kind of address an address is."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_kernel.policy.kinds.hosts import (
    HostError,
    category,
    parse_address,
    parse_endpoint,
    parse_host,
    parse_host_pattern,
    parse_ports,
)
from sandbox_kernel.policy.kinds.sockets import SocketEntry, meet


@pytest.mark.parametrize(
    "spelling",
    [
        "127.0.0.1", "2130706433", "0x7f000001", "0X7F.1", "127.1", "127.0.1", "0177.0.0.1",
        "017700000001", "127.0.0.1.", "::ffff:127.0.0.1", "[::ffff:7f00:1]", "１２７.0.0.1",
        "127。0。0。1", " 127.0.0.1",
    ],
)  # fmt: skip
def test_every_spelling_of_an_address_is_one_address(spelling: str) -> None:
    assert parse_host(spelling) == ipaddress.ip_address("127.0.0.1")


@given(st.integers(0, 2**32 - 1), st.sampled_from(["{}", "0x{:x}", "0{:o}"]))
def test_a_number_is_the_address_that_the_resolver_makes_of_it(number: int, form: str) -> None:
    spelling = form.format(number)

    assert str(parse_host(spelling)) == socket.inet_ntoa(socket.inet_aton(spelling))


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Example.ORG", "example.org"),
        ("example.org.", "example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("my_host", "my_host"),
        ("a1", "a1"),
        ("1a.example", "1a.example"),
    ],
)
def test_a_name_has_one_form(spelling: str, name: str) -> None:
    assert parse_host(spelling) == name


@pytest.mark.parametrize(
    "spelling",
    ["", ".", "a..b", "-a.org", "a b", "a\nb", "256.1.1.1.1", "1.2.3.400", "09.1.1.1", "::g",
     "x" * 64 + ".org", "a@b", "a/b", "%00", "08"],
)  # fmt: skip
def test_what_is_no_host_is_refused(spelling: str) -> None:
    with pytest.raises(HostError):
        parse_host(spelling)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("8.8.8.8", "public"),
        ("2606:4700::1111", "public"),
        ("127.0.0.1", "loopback"),
        ("127.255.0.9", "loopback"),
        ("0.0.0.0", "loopback"),
        ("::", "loopback"),
        ("::1", "loopback"),
        ("10.0.0.5", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("fd12::1", "private"),
        ("fec0::1", "private"),
        ("100.64.1.1", "shared"),
        ("169.254.1.1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("169.254.169.254", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::ffff:10.0.0.5", "private"),
        ("::ffff:169.254.169.254", "metadata"),
        ("64:ff9b::7f00:1", "loopback"),
        ("64:ff9b::a00:5", "private"),
        ("64:ff9b::808:808", "public"),
        ("64:ff9b:1::a9fe:a9fe", "metadata"),
        ("2002:7f00:1::", "loopback"),
        ("2002:a9fe:a9fe::1", "metadata"),
        ("2002:808:808::1", "public"),
        ("2001:0:808:808:0:0:80ff:fffe", "loopback"),
        ("::127.0.0.1", "loopback"),
        ("2001:db8:1::5efe:a00:5", "private"),
        ("2606:4700::5efe:a00:5", "private"),
    ],
)
def test_an_address_is_of_the_kind_of_the_place_it_leads_to(address: str, kind: str) -> None:
    assert category(parse_address(address)) == kind


@given(st.ip_addresses())
def test_only_global_addresses_are_public(address: ipaddress.IPv4Address) -> None:
    # Addresses that embed another one are of its kind; the library calls some of them private.
    embeds = address.version == 6 and (
        address in ipaddress.ip_network("64:ff9b:1::/48")
        or address in ipaddress.ip_network("2002::/16")
        or address in ipaddress.ip_network("2001::/32")
    )
    if category(address) == "public" and not embeds:
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("example.org:443", "example.org:443"),
        ("*.example.org:*", "*.example.org:*"),
        ("*:8000-8010", "*:8000-8010"),
        ("10.0.0.0/8:22", "10.0.0.0/8:22"),
        ("0x7f.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("[fd00::/8]:80", "[fd00::/8]:80"),
    ],
)
def test_an_endpoint_reads_as_it_was_written(written: str, shown: str) -> None:
    host, ports = parse_endpoint(written)

    assert f"{host}:{ports}" == shown


@pytest.mark.parametrize(
    "written", ["", ":", "a", "a:", ":1", "::1:80", "a:1:2", "a:70000", "a:0", "a:1-0", "a:http"]
)
def test_what_is_no_endpoint_is_refused(written: str) -> None:
    with pytest.raises(HostError):
        parse_endpoint(written)


def entry(written: str, private: bool = False) -> SocketEntry:
    return SocketEntry("connect", *parse_endpoint(written), private)


@pytest.mark.parametrize(
    ("a", "b", "both"),
    [
        ("example.org:443", "*:443", "example.org:443"),
        ("example.org:443", "*.org:443", "example.org:443"),
        ("org:443", "*.org:443", None),
        ("*.a.example:*", "*.example:80-90", "*.a.example:80-90"),
        ("*.a.example:1", "*.b.example:1", None),
        ("8.8.8.8:53", "*:*", "8.8.8.8:53"),
        ("127.0.0.1:80", "*:*", None),
        ("localhost:80", "*:*", None),
        ("localhost:80", "127.0.0.0/8:80", None),
        ("10.1.0.0/16:22", "10.0.0.0/8:*", "10.1.0.0/16:22"),
        ("10.1.2.3:22", "10.0.0.0/8:*", "10.1.2.3:22"),
        ("8.0.0.0/8:22", "*:*", None),
        ("example.org:80", "example.org:443", None),
        ("example.org:443", "10.0.0.0/8:443", None),
    ],
)
def test_what_two_lines_share(a: str, b: str, both: str | None) -> None:
    for left, right in ((a, b), (b, a)):
        met = meet(entry(left), entry(right))
        assert (met.endpoint if met else None) == both


def test_private_addresses_are_shared_only_by_lines_that_both_say_so() -> None:
    assert meet(entry("127.0.0.1:80"), entry("*:*", private=True)) == entry("127.0.0.1:80")
    assert meet(entry("169.254.169.254:80"), entry("*:*", private=True)) is None
    met = meet(entry("example.org:80", private=True), entry("*:*"))
    assert met is not None
    assert not met.private


def test_ports_and_hosts_are_parsed_alone_too() -> None:
    assert 8005 in parse_ports("8000-8010")
    assert parse_host_pattern("*.Example.org").covers_name("a.b.example.org")
    assert not parse_host_pattern("*.example.org").covers_name("badexample.org")
