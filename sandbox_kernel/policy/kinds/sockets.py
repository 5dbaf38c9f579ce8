"""Rights to sockets: a use, a host, ports."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Literal

from .hosts import ANY_HOST, HostPattern, Ports, category

Use = Literal["connect", "listen", "udp"]


@dataclass(frozen=True)
class SocketEntry:
    """One use of hosts and ports.

    `private` lets a name lead to loopback, private and link-local addresses.  `max_bytes` counts
    both directions; `expires_at` is in seconds since the epoch, `lasts` in seconds from when a
    right to it starts.
    """

    use: Use
    host: HostPattern
    ports: Ports
    private: bool = False
    max_bytes: int | None = None
    expires_at: float | None = None
    lasts: float | None = None

    @property
    def endpoint(self) -> str:
        """`host:port` as written in a line."""
        return f"{self.host}:{self.ports}"


def meet(a: SocketEntry, b: SocketEntry) -> SocketEntry | None:
    """What both allow."""
    if a.use != b.use:
        return None
    host = _meet_hosts(a, b)
    ports = a.ports.meet(b.ports)
    if host is None or ports is None:
        return None
    return SocketEntry(
        a.use,
        host,
        ports,
        a.private and b.private,
        min((m for m in (a.max_bytes, b.max_bytes) if m is not None), default=None),
        min((m for m in (a.expires_at, b.expires_at) if m is not None), default=None),
        min((m for m in (a.lasts, b.lasts) if m is not None), default=None),
    )


def written(entry: SocketEntry) -> dict[str, object]:
    """The entry in the vocabulary of metadata."""
    text: dict[str, object] = {entry.use: entry.endpoint}
    if entry.private:
        text["private"] = True
    if entry.max_bytes is not None:
        text["max_bytes"] = f"{entry.max_bytes} B"
    return text


def _meet_hosts(a: SocketEntry, b: SocketEntry) -> HostPattern | None:
    if a.host == b.host:
        return a.host
    for wide, narrow in ((a, b), (b, a)):
        if _host_covers(wide, narrow.host):
            return narrow.host
    return None


def _host_covers(wide: SocketEntry, narrow: HostPattern) -> bool:
    """Whether every host of `narrow` is allowed by `wide` just as `narrow` would allow it."""
    networks = narrow.networks
    if networks:
        if wide.host == ANY_HOST:
            return all(_all_reachable(wide, network) for network in networks)
        return all(
            any(_subnet(network, outer) for outer in wide.host.networks) for network in networks
        )
    if narrow.kind == "below":
        return wide.host == ANY_HOST or (
            wide.host.kind == "below" and f".{narrow.text}".endswith(f".{wide.host.text}")
        )
    return narrow.kind == "name" and wide.host.covers_name(narrow.text)


def _all_reachable(
    wide: SocketEntry, network: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    """Whether `*` covers a network: only one address of an ordinary kind is sure."""
    if network.num_addresses != 1:
        return False
    return reachable_by_name(category(network.network_address), wide.private)


def reachable_by_name(kind: str, private: bool) -> bool:
    """Whether a grant by name covers an address of this category."""
    return kind == "public" or (private and kind in ("loopback", "private", "link-local", "shared"))


def _subnet(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network,
    outer: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def refuses(refused: SocketEntry, entry: SocketEntry) -> bool:
    """Whether a refusal covers the whole entry; part of one is for each decision to see."""
    if refused.use != entry.use:
        return False
    if refused.ports.meet(entry.ports) != entry.ports:
        return False
    # A refusal means all addresses, the special ones too.
    wide = SocketEntry(refused.use, refused.host, refused.ports, private=True)
    return refused.host in (ANY_HOST, entry.host) or _host_covers(wide, entry.host)
