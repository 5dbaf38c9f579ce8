"""Socket addresses as the kernel lays them out in memory, to and from values.

Sources: ip(7), ipv6(7), unix(7). The port and the IPv4 and IPv6 addresses are in network order,
the family in host order.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass

MAX_LENGTH = 128  # sizeof(struct sockaddr_storage)

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class BadAddress(ValueError):
    """Bytes that are no address of a family this door knows."""


@dataclass(frozen=True, slots=True)
class InetAddress:
    """An IPv4 or IPv6 address with its port. An IPv4-mapped one is given as plain IPv4.

    family: AF_INET or AF_INET6 as the worker's socket has it, whatever `host` is.
    scope: interface index of a link-local IPv6 address, else 0.
    """

    family: int
    host: IpAddress
    port: int
    scope: int = 0


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix socket's name: a path, or (`abstract`) a name without the leading zero byte."""

    name: bytes
    abstract: bool


@dataclass(frozen=True, slots=True)
class Unspecified:
    """AF_UNSPEC: `connect` with it dissolves an association."""


Address = InetAddress | UnixAddress | Unspecified


def parse(raw: bytes) -> Address:
    """The address in `raw`; raises BadAddress for a short or a foreign one."""
    if len(raw) < 2 or len(raw) > MAX_LENGTH:
        raise BadAddress(f"{len(raw)} bytes")
    family = struct.unpack_from("=H", raw)[0]
    if family == socket.AF_INET:
        if len(raw) < 8:
            raise BadAddress("short AF_INET address")
        port = struct.unpack_from("!H", raw, 2)[0]
        return InetAddress(family, ipaddress.IPv4Address(raw[4:8]), port)
    if family == socket.AF_INET6:
        if len(raw) < 24:
            raise BadAddress("short AF_INET6 address")
        port = struct.unpack_from("!H", raw, 2)[0]
        scope = struct.unpack_from("=I", raw, 24)[0] if len(raw) >= 28 else 0
        host = ipaddress.IPv6Address(raw[8:24])
        return InetAddress(family, plain(host), port, scope)
    if family == socket.AF_UNIX:
        return _parse_unix(raw[2:])
    if family == socket.AF_UNSPEC:
        return Unspecified()
    raise BadAddress(f"family {family}")


def _parse_unix(name: bytes) -> UnixAddress:
    if not name:
        return UnixAddress(b"", abstract=True)
    if name[0] == 0:
        return UnixAddress(name[1:], abstract=True)
    return UnixAddress(name.split(b"\0", 1)[0], abstract=False)


def plain(host: IpAddress) -> IpAddress:
    """`host`, with an IPv4 address that is written as IPv6 (mapped, or ::a.b.c.d) unwrapped."""
    if isinstance(host, ipaddress.IPv6Address):
        if host.ipv4_mapped is not None:
            return host.ipv4_mapped
        value = int(host)
        if 1 < value < 1 << 32:  # the deprecated IPv4-compatible form, RFC 4291 2.5.5.1
            return ipaddress.IPv4Address(value)
    return host


def pack(host: IpAddress, port: int, *, family: int | None = None, scope: int = 0) -> bytes:
    """The bytes of an address for `connect` or `bind`.

    family: AF_INET6 with an IPv4 host gives the mapped form; None takes the host's own family.
    """
    if isinstance(host, ipaddress.IPv4Address) and family != socket.AF_INET6:
        return struct.pack("=H", socket.AF_INET) + struct.pack("!H", port) + host.packed + bytes(8)
    if isinstance(host, ipaddress.IPv4Address):
        packed = bytes(10) + b"\xff\xff" + host.packed
    else:
        packed = host.packed
    return (
        struct.pack("=H", socket.AF_INET6)
        + struct.pack("!HI", port, 0)
        + packed
        + struct.pack("=I", scope)
    )
