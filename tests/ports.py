"""Ports for a server that is started later, which nobody else takes meanwhile."""

import random
import socket
from pathlib import Path

_LOWEST = 10_000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
#: Of its own: tests seed the common one.
_random = random.SystemRandom()


def unused_ports(count: int) -> list[int]:
    """So many different ones, on which nothing listens.

    Below the range from which the system gives whoever asks for any port (ip(7)): tests that run
    beside this one ask for many.
    """
    below = int(_RANGE.read_text().split()[0])
    found: list[int] = []
    while len(found) < count:
        port = _random.randrange(_LOWEST, below)
        try:
            with socket.create_server(("127.0.0.1", port)):
                pass
        except OSError:
            continue
        if port not in found:
            found.append(port)
    return found
