"""Times of files, as the calls that set them lay them out in memory; see utimensat(2), utime(2)."""

from __future__ import annotations

import os
import struct
import time

from .calls import Call

_UTIME_NOW, _UTIME_OMIT = (1 << 30) - 1, (1 << 30) - 2


def set_times(call: Call, position: int, path: str | int) -> None:
    """Carry out utime(2), utimes(2), futimesat(2) or utimensat(2) on a path or descriptor."""
    pointer = call.arguments[position]
    if not pointer:
        os.utime(path)
        return
    if call.name == "utime":
        seconds = struct.unpack("=2q", call.memory(pointer, 16))
        os.utime(path, ns=(seconds[0] * 10**9, seconds[1] * 10**9))
        return
    words = struct.unpack("=4q", call.memory(pointer, 32))
    unit = 1 if call.name == "utimensat" else 1000
    now = os.stat(path)
    times = []
    for seconds, fraction, old in (
        (words[0], words[1], now.st_atime_ns),
        (words[2], words[3], now.st_mtime_ns),
    ):
        if unit == 1 and fraction == _UTIME_OMIT:
            times.append(old)
        elif unit == 1 and fraction == _UTIME_NOW:
            times.append(time.time_ns())
        else:
            times.append(seconds * 10**9 + fraction * unit)
    os.utime(path, ns=(times[0], times[1]))
