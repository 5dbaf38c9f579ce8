"""Synthetic addresses, socket addresses, and the worker's resolver, as values."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_kernel.trusted.doors import dns
from sandbox_kernel.trusted.doors.names import BadName, SyntheticNames, normal_name
from sandbox_kernel.trusted.doors.sockaddr import (
    BadAddress,
    InetAddress,
    IpAddress,
    UnixAddress,
    Unspecified,
    pack,
    parse,
)


def test_a_name_keeps_its_addresses() -> None:
    table = SyntheticNames()
    four, six = table.addresses("API.example.org.")
    assert table.addresses("api.example.org") == (four, six)
    assert table.name(four) == table.name(six) == "api.example.org"
    assert four in ipaddress.ip_network("198.18.0.0/15")
    assert table.addresses("other.example.org")[0] != four


def test_an_address_that_was_never_given_means_nothing() -> None:
    table = SyntheticNames()
    assert table.name(ipaddress.ip_address("198.18.0.9")) is None
    assert table.name(ipaddress.ip_address("10.0.0.1")) is None
    assert table.is_synthetic(ipaddress.ip_address("198.19.255.255"))
    assert not table.is_synthetic(ipaddress.ip_address("198.20.0.0"))


@pytest.mark.parametrize("name", ["", ".", "a..b", "a b", "x" * 64, "a." * 130, "a/b", "a\nb"])
def test_text_that_is_no_host_name_is_refused(name: str) -> None:
    with pytest.raises(BadName):
        normal_name(name)


def test_an_international_name_is_encoded() -> None:
    assert normal_name("Bücher.example") == "xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (
            struct.pack("=H", 2) + b"\x01\xbb" + bytes([10, 0, 0, 1]) + bytes(8),
            InetAddress(2, ipaddress.ip_address("10.0.0.1"), 443),
        ),
        (
            struct.pack("=H", 10) + b"\0\x50" + bytes(4) + b"\0" * 15 + b"\1" + bytes(4),
            InetAddress(10, ipaddress.ip_address("::1"), 80),
        ),
        (
            struct.pack("=H", 10)
            + b"\0\x50"
            + bytes(4)
            + bytes(10)
            + b"\xff\xff\x7f\0\0\1"
            + bytes(4),
            InetAddress(10, ipaddress.ip_address("127.0.0.1"), 80),
        ),
        (struct.pack("=H", 1) + b"/tmp/x\0junk", UnixAddress(b"/tmp/x", abstract=False)),
        (struct.pack("=H", 1) + b"\0name\0x", UnixAddress(b"name\0x", abstract=True)),
        (struct.pack("=H", 0) + bytes(14), Unspecified()),
    ],
)
def test_addresses_are_read(raw: bytes, expected: object) -> None:
    assert parse(raw) == expected


@pytest.mark.parametrize(
    "raw",
    [b"", b"\2", struct.pack("=H", 2) + b"\0\1", struct.pack("=H", 10) + bytes(10), b"\x10\0" * 4],
)
def test_bytes_that_are_no_address_are_refused(raw: bytes) -> None:
    with pytest.raises(BadAddress):
        parse(raw)


@given(st.binary(max_size=140))
def test_any_bytes_are_an_address_or_refused(raw: bytes) -> None:
    try:
        parse(raw)
    except BadAddress:
        return


@given(st.ip_addresses(), st.integers(0, 65535))
def test_packed_addresses_read_back(host: IpAddress, port: int) -> None:
    again = parse(pack(host, port))
    assert isinstance(again, InetAddress)
    assert again.port == port
    if host.version == 4:
        assert parse(pack(host, port, family=socket.AF_INET6)) == InetAddress(10, host, port)


def query(name: str, kind: int = 1, *, identifier: int = 7) -> bytes:
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
    head = struct.pack("!HHHHHH", identifier, 0x0100, 1, 0, 0, 0)
    return head + labels + b"\0" + struct.pack("!HH", kind, 1)


def lookup(name: str) -> tuple[IpAddress, ...] | None:
    if name == "granted.test":
        return (ipaddress.ip_address("198.18.0.1"), ipaddress.ip_address("2001:2::1"))
    return None


@pytest.mark.parametrize(
    ("kind", "packed"),
    [
        (dns.TYPE_A, bytes([198, 18, 0, 1])),
        (dns.TYPE_AAAA, bytes.fromhex("20010002") + bytes(11) + b"\1"),
    ],
)
def test_a_granted_name_is_answered(kind: int, packed: bytes) -> None:
    reply = dns.answer(query("Granted.TEST", kind), lookup)
    assert struct.unpack_from("!HHHH", reply) == (7, 0x8580, 1, 1)
    assert reply.endswith(struct.pack("!H", len(packed)) + packed)


def test_other_types_of_a_granted_name_are_empty() -> None:
    assert struct.unpack_from("!HHHH", dns.answer(query("granted.test", 15), lookup))[3] == 0


def test_an_ungranted_name_is_refused() -> None:
    reply = dns.answer(query("secret-data.evil.test"), lookup)
    assert struct.unpack_from("!HHHH", reply) == (7, 0x8580 | dns.REFUSED, 1, 0)


def test_a_malformed_query_is_a_format_error() -> None:
    reply = dns.answer(query("granted.test")[:-3], lookup)
    assert struct.unpack_from("!HH", reply) == (7, 0x8000 | dns.FORMAT_ERROR)
    with pytest.raises(dns.BadQuery):
        dns.answer(b"\0", lookup)


@given(st.binary(min_size=12, max_size=100))
def test_any_bytes_get_an_answer(message: bytes) -> None:
    assert dns.answer(message, lookup)[:2] == message[:2]


def test_frames_are_taken_when_complete() -> None:
    one = dns.framed(query("a.test"))
    buffer = bytearray(one + one[:5])
    assert list(dns.frames(buffer)) == [query("a.test")]
    assert bytes(buffer) == one[:5]
    with pytest.raises(dns.BadQuery):
        list(dns.frames(bytearray(b"\xff\xff")))
