"""The site's own proxy: reach a granted host through CONNECT (RFC 9110 9.3.6).

Where the person's environment names an HTTP proxy, direct connections to the outside usually
fail. The supervisor then asks that proxy for a tunnel; the worker sees a connected socket and
speaks TLS through it with the real host name. Granting a host never grants the proxy.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass

MOST_REPLY_BYTES = 16_384
TUNNEL_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where the proxy is, and the credentials for it."""

    host: str
    port: int
    user: str = ""
    password: str = ""


ProxyFor = Callable[[str, int], Proxy | None]
"""Called with a granted host and port: the proxy to use, None for a direct connection."""


def no_proxy(host: str, port: int) -> Proxy | None:
    """Every connection is direct."""
    return None


def environment_proxy() -> ProxyFor:
    """What HTTPS_PROXY, ALL_PROXY and NO_PROXY say now, in the supervisor's environment.

    As for curl and the standard library, names in small letters win (they sort last); the latter's
    own reader would bring its whole HTTP client into every supervisor.
    """
    named = {name.lower(): value for name, value in sorted(os.environ.items())}
    url = named.get("https_proxy") or named.get("all_proxy")
    no = named.get("no_proxy", "")
    parts = urllib.parse.urlsplit(url if url and "://" in url else f"http://{url or ''}")
    if parts.scheme != "http" or not parts.hostname:
        return no_proxy
    proxy = Proxy(
        parts.hostname,
        parts.port or 80,
        urllib.parse.unquote(parts.username or ""),
        urllib.parse.unquote(parts.password or ""),
    )
    return lambda host, port: None if _bypassed(host, port, no) else proxy


def _bypassed(host: str, port: int, no: str) -> bool:
    """Whether NO_PROXY names the host: a suffix, `host:port`, or `*`."""
    for item in (part.strip().lstrip(".").lower() for part in no.split(",")):
        if item == "*" or (item and f".{host}".endswith(f".{item}")) or item == f"{host}:{port}":
            return True
    return False


async def tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """A connected, non-blocking socket to `host` through the proxy. Raises OSError."""
    async with asyncio.timeout(TUNNEL_SECONDS):
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(proxy.host, proxy.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, address)
            await loop.sock_sendall(connection, _request(proxy, host, port))
            await _accepted(loop, connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _request(proxy: Proxy, host: str, port: int) -> bytes:
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.user:
        secret = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        lines.append(f"Proxy-Authorization: Basic {secret}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


async def _accepted(loop: asyncio.AbstractEventLoop, connection: socket.socket) -> None:
    """Read the proxy's answer, byte by byte at its end: what follows belongs to the worker."""
    reply = b""
    while not reply.endswith(b"\r\n\r\n"):
        data = await loop.sock_recv(connection, 1)
        reply += data
        if not data or len(reply) > MOST_REPLY_BYTES:
            raise ConnectionError("the proxy gave no answer")
    status = reply.split(b" ", 2)[1:2]
    if not status or not status[0].startswith(b"2"):
        raise ConnectionRefusedError(f"the proxy said {reply.splitlines()[0]!r}")
