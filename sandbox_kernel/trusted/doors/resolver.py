"""How the trusted side looks up the real addresses of a granted name."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence

from .sockaddr import IpAddress, plain

Resolver = Callable[[str], Sequence[str]]
"""Called in a thread with a host name: its addresses, best first. Raises OSError for none."""

RESOLVE_SECONDS = 15.0


def system_resolver(name: str) -> Sequence[str]:
    """The addresses that this host's own resolver gives, in the order of RFC 6724."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def addresses(resolver: Resolver, name: str, family: int) -> list[IpAddress]:
    """The addresses of `name`, those of the wanted family first.

    Raises OSError when there is none, TimeoutError after RESOLVE_SECONDS.
    """
    found = await asyncio.wait_for(asyncio.to_thread(resolver, name), RESOLVE_SECONDS)
    parsed = [plain(ipaddress.ip_address(text.partition("%")[0])) for text in found]
    if not parsed:
        raise OSError(f"{name}: no address")
    version = 6 if family == socket.AF_INET6 else 4
    return sorted(parsed, key=lambda address: address.version != version)
