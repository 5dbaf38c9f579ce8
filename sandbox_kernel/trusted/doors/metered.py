"""Connections whose bytes are counted: the worker holds one end of a pair, we pump the other.

A grant with `max_bytes` counts both directions together, over all its connections. The byte that
would go beyond it ends the connection.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

from ...policy.kinds.sockets import SocketEntry
from ...policy.problems import Origin
from ..capabilities.verdict import Denied

PIECE_BYTES = 65_536


@dataclass
class Meter:
    """What a grant may still move. `left` is in bytes."""

    left: int


class Meters:
    """One meter for each right with `max_bytes`, over all of its connections."""

    def __init__(self) -> None:
        self._meters: dict[SocketEntry, Meter] = {}

    def of(self, entry: SocketEntry) -> Meter:
        """The meter of a right; made at its first use."""
        return self._meters.setdefault(entry, Meter(entry.max_bytes or 0))


def used_up(entry: SocketEntry, origin: Origin) -> Denied:
    """What is told when a meter has ended a connection."""
    return Denied(
        code="sockets.max_bytes",
        kind="sockets",
        action=entry.use,
        resource=entry.endpoint,
        rule=f"max_bytes {entry.max_bytes} is used up ({origin.place})",
        origin=origin,
        remedy="Ask for more bytes.",
    )


async def pump(
    inside: socket.socket, outside: socket.socket, meter: Meter, exhausted: Callable[[], None]
) -> None:
    """Carry bytes both ways until both sides have ended or the meter is used up.

    Takes both sockets over. `exhausted` is called when the meter ended it.
    """
    for end in (inside, outside):
        end.setblocking(False)
    try:
        ways = [
            asyncio.ensure_future(_one_way(inside, outside, meter)),
            asyncio.ensure_future(_one_way(outside, inside, meter)),
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        if any(isinstance(way.exception(), _UsedUp) for way in done):
            exhausted()
    finally:
        inside.close()
        outside.close()


class _UsedUp(Exception):
    """The meter is at its end."""


async def _one_way(source: socket.socket, sink: socket.socket, meter: Meter) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, PIECE_BYTES):
        passed = data[: meter.left]
        meter.left -= len(passed)
        await loop.sock_sendall(sink, passed)
        if len(passed) < len(data):
            raise _UsedUp
    sink.shutdown(socket.SHUT_WR)
