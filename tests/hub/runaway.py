"""Cells that take all the processor time that they can get, and what that does to somebody else."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

from tests.hub.people import Kernel

#: A hundred threads that compute without the interpreter's lock, or as many as there may be.
RUNAWAY = """
import hashlib, threading
def spin():
    data = bytes(1 << 22)
    while True:
        hashlib.sha256(data)
for _ in range(100):
    try:
        threading.Thread(target=spin, daemon=True).start()
    except RuntimeError:
        break
spin()
"""
ROUNDS, TRIPS = 6, 30


def round_trip(kernel: Kernel) -> float:
    """Seconds from sending a cell to its reply and its last message."""
    begin = time.perf_counter()
    reply, _ = kernel.run("pass")
    assert reply["status"] == "ok", reply
    return time.perf_counter() - begin


def slowdown(kernel: Kernel, start: Callable[[], None], stop: Callable[[], None]) -> float:
    """How many times longer a round trip takes while the runaways run: medians, interleaved."""
    beside: list[float] = []
    alone: list[float] = []
    for _ in range(ROUNDS):
        stop()
        alone += trips(kernel)
        start()
        beside += trips(kernel)
    stop()
    return statistics.median(beside) / statistics.median(alone)


def trips(kernel: Kernel) -> Sequence[float]:
    round_trip(kernel)
    return [round_trip(kernel) for _ in range(TRIPS)]
