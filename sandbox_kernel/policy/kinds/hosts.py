"""Hosts and ports as written in a socket line, and what kind of address an address is.

| written                   | covers                                              |
|---------------------------|-----------------------------------------------------|
| `api.example.org`         | this name                                           |
| `*.example.org`           | every name below it, not `example.org` itself       |
| `*`                       | every name and every public address                 |
| `192.0.2.7`, `2001:db8::1`| this address                                        |
| `10.1.0.0/16`             | the addresses of this network                       |
| `localhost`               | 127.0.0.1 and ::1, and the name                     |

An address has many spellings (`0x7f000001`, `127.1`, `0177.0.0.1`, `::ffff:127.0.0.1`); all are
brought to one form before anything is compared, by the rules of inet_aton(3).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

Category = Literal[
    "public", "loopback", "private", "link-local", "shared", "multicast", "metadata", "reserved"
]

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_LOCALHOST = tuple(ipaddress.ip_network(text) for text in ("127.0.0.1/32", "::1/128"))

# Services that hand out credentials to whoever can reach them; never covered by `private`.
_METADATA = tuple(
    ipaddress.ip_address(text)
    for text in (
        "169.254.169.254",  # AWS, Azure, Google, OpenStack, DigitalOcean
        "169.254.170.2",  # AWS ECS task credentials
        "169.254.170.23",  # AWS EKS pod identity
        "169.254.169.123",  # AWS time, same link-local service range
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure wire server
        "192.0.0.192",  # Oracle
        "fd00:ec2::254",  # AWS over IPv6
        "fd00:ec2::23",  # AWS EKS pod identity over IPv6
        "fd20:ce::254",  # Google over IPv6
    )
)
_SHARED = ipaddress.ip_network("100.64.0.0/10")
# RFC 6052, RFC 8215: the last 32 bits of the first, and of the usual form of the second, are an
# IPv4 address.
_NAT64 = tuple(ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48"))
_COMPATIBLE = ipaddress.ip_network("::/96")
# RFC 2765: what a stateless translator made of an IPv4 address.
_TRANSLATED = ipaddress.ip_network("::ffff:0:0:0/96")
# RFC 9637 and RFC 9602: documentation, and segment routing within one network. The tables of
# older Pythons have them as global.
_NOT_GLOBAL = tuple(ipaddress.ip_network(text) for text in ("3fff::/20", "5f00::/16"))
_ISATAP = (0x00005EFE, 0x02005EFE)


class HostError(ValueError):
    """The text is no host, port or endpoint; the message says what would be one."""


@dataclass(frozen=True, order=True)
class HostPattern:
    """`kind` says how to read `text`: a name, a suffix of names, a network, or anything."""

    kind: Literal["any", "below", "name", "network"]
    text: str = ""

    def covers_name(self, name: str) -> bool:
        """Whether a normal name (see `parse_host`) is covered."""
        if self.kind == "below":
            return name.endswith("." + self.text)
        return self.kind == "any" or (self.kind == "name" and name == self.text)

    @property
    def networks(self) -> tuple[Network, ...]:
        """The addresses that are named as such, not by a name that leads to them."""
        if self.kind == "network":
            return (ipaddress.ip_network(self.text),)
        if self == LOCALHOST:
            return _LOCALHOST
        return ()

    def covers_address(self, address: Address) -> bool:
        """Whether the address is named as such."""
        return any(
            address.version == network.version and address in network for network in self.networks
        )

    def __str__(self) -> str:
        if self.kind == "any":
            return "*"
        if self.kind == "network":
            network = ipaddress.ip_network(self.text)
            one = network.num_addresses == 1
            text = str(network.network_address) if one else self.text
            return f"[{text}]" if network.version == 6 else text
        return f"*.{self.text}" if self.kind == "below" else self.text


LOCALHOST = HostPattern("name", "localhost")
ANY_HOST = HostPattern("any")


@dataclass(frozen=True, order=True)
class Ports:
    """Ports from `low` to `high`, both included."""

    low: int
    high: int

    def __contains__(self, port: int) -> bool:
        return self.low <= port <= self.high

    def meet(self, other: Ports) -> Ports | None:
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Ports(low, high) if low <= high else None

    def __str__(self) -> str:
        if (self.low, self.high) == (1, 65535):
            return "*"
        return str(self.low) if self.low == self.high else f"{self.low}-{self.high}"


def parse_endpoint(written: str) -> tuple[HostPattern, Ports]:
    """Read `host:port`; raises HostError that says what is wrong with it."""
    host, colon, port = written.rpartition(":")
    if not colon or not host or (":" in host and not host.startswith("[")):
        raise HostError(f"{written!r}: write host:port (an IPv6 address in brackets)")
    return parse_host_pattern(host), parse_ports(port)


def parse_ports(written: str) -> Ports:
    """Read a port, a range, or `*`."""
    if written == "*":
        return Ports(1, 65535)
    match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", written, re.ASCII)
    if match:
        low, high = int(match[1]), int(match[2] or match[1])
        if 1 <= low <= high <= 65535:
            return Ports(low, high)
    raise HostError(f"{written!r} is no port: write 443, 8000-8010 or *")


def parse_host_pattern(written: str) -> HostPattern:
    """Read the host of a line; raises HostError."""
    text = written.removeprefix("[").removesuffix("]") if written.startswith("[") else written
    if text == "*":
        return ANY_HOST
    if "/" in text:
        try:
            return HostPattern("network", str(ipaddress.ip_network(text)))
        except ValueError as error:
            raise HostError(f"{written!r} is no network: {error}") from None
    below = text.startswith("*.")
    host = parse_host(text[2:] if below else text)
    if not isinstance(host, str):
        if below:
            raise HostError(f"{written!r}: a wildcard stands before a name")
        return HostPattern("network", str(ipaddress.ip_network(host)))
    return HostPattern("below" if below else "name", host)


def parse_host(written: str) -> Address | str:
    """One form of a host as a program names it: an address, or a lower-case ASCII name.

    Every spelling of an address that a resolver accepts is an address here, so that none of them
    passes as a name.  Raises HostError for what is neither.
    """
    text = written.strip().removeprefix("[").removesuffix("]")
    text = re.sub(r"[\u3002\uff0e\uff61]", ".", text).removesuffix(".")
    if ":" in text:
        try:
            return _plain(ipaddress.IPv6Address(text.partition("%")[0]))
        except ValueError:
            raise HostError(f"{written!r} is no address") from None
    number = _inet_aton(text)
    if number is not None:
        return ipaddress.IPv4Address(number)
    try:
        name = text.encode("idna").decode("ascii").lower() if not text.isascii() else text.lower()
    except UnicodeError:
        raise HostError(f"{written!r} is no host name") from None
    number = _inet_aton(name)
    if number is not None:
        return ipaddress.IPv4Address(number)
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise HostError(f"{written!r} is no host name")
    if re.fullmatch(r"[0-9]+|0x[0-9a-f]*", labels[-1]):
        raise HostError(f"{written!r} is neither an address nor a name")
    return name


def parse_address(written: str) -> Address:
    """As `parse_host`, for what must be an address."""
    host = parse_host(written)
    if isinstance(host, str):
        raise HostError(f"{written!r} is no address")
    return host


def category(address: Address) -> Category:
    """What kind of place an address leads to; an address inside another one counts.

    Only `public` may be reached through a name without more ado.
    """
    address = _plain(address)
    if isinstance(address, ipaddress.IPv6Address):
        inner = _embedded(address)
        if inner is not None and (found := category(inner)) != "public":
            return found
    if address in _METADATA:
        return "metadata"
    if address.is_loopback or address.is_unspecified:
        # Connecting to 0.0.0.0 or :: reaches the own host on Linux.
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.version == 4 and address in _SHARED:
        return "shared"
    if isinstance(address, ipaddress.IPv6Address):
        if address.is_site_local:
            return "private"
        if address in ipaddress.ip_network("fc00::/7"):
            return "private"
        if any(address in network for network in _NOT_GLOBAL):
            return "reserved"
        if any(address in network for network in _NAT64) or address.sixtofour or address.teredo:
            return "public"
    elif address.is_private and not address.is_reserved:
        return "private"
    return "public" if address.is_global else "reserved"


def forms(address: Address) -> tuple[Address, ...]:
    """An address, and the one inside it to which a translator or tunnel would lead.

    For what is refused: a network stays closed by every way there.
    """
    address = _plain(address)
    inner = _embedded(address) if isinstance(address, ipaddress.IPv6Address) else None
    return (address,) if inner is None else (address, inner)


def _plain(address: Address) -> Address:
    """An IPv4 address written as IPv6 is the IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address to which a translator or tunnel would lead."""
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    low = int(address) & 0xFFFFFFFF
    if any(address in network for network in _NAT64):
        return ipaddress.IPv4Address(low)
    if (address in _COMPATIBLE and low > 1) or address in _TRANSLATED:
        return ipaddress.IPv4Address(low)
    if (int(address) >> 32) & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(low)
    return None


def _inet_aton(text: str) -> int | None:
    """The 32-bit number of every form that inet_aton(3) takes, else None."""
    parts = text.split(".")
    if len(parts) > 4:
        return None
    numbers = []
    for part in parts:
        if re.fullmatch(r"0[xX][0-9a-fA-F]+", part):
            numbers.append(int(part, 16))
        elif re.fullmatch(r"0[0-7]*", part):
            numbers.append(int(part, 8))
        elif re.fullmatch(r"[1-9][0-9]{0,9}", part, re.ASCII):  # No address has more digits.
            numbers.append(int(part))
        else:
            return None
    *heads, last = numbers
    if any(head > 255 for head in heads) or last >= 256 ** (4 - len(heads)):
        return None
    value = last
    for index, head in enumerate(heads):
        value |= head << (8 * (3 - index))
    return value
