"""Serve the worker's resolver over one end of a socket pair; see `dns` for the answers."""

from __future__ import annotations

import asyncio
import socket

from . import dns

IDLE_SECONDS = 30.0


async def serve(ours: socket.socket, lookup: dns.Lookup) -> None:
    """Answer queries until the worker closes its end, is silent for long, or sends nonsense.

    Takes the socket over.
    """
    loop = asyncio.get_running_loop()
    ours.setblocking(False)
    buffer = bytearray()
    with ours:
        try:
            while True:
                data = await asyncio.wait_for(loop.sock_recv(ours, 4096), IDLE_SECONDS)
                if not data:
                    return
                buffer += data
                for query in dns.frames(buffer):
                    await loop.sock_sendall(ours, dns.framed(dns.answer(query, lookup)))
        except (dns.BadQuery, ConnectionError, TimeoutError):
            return
