"""How long a thread may run before another one that has woken gets its turn (sched_setattr(2)).

Since Linux 6.12 an ordinary thread may choose its slice (`sched_runtime`, kernel commit
857b158dc5e8), without any right: a thread with a short one gets its turn soon after it wakes, and
is taken off sooner. Older kernels take the value and do nothing with it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

_NUMBER = {"x86_64": 314, "aarch64": 274}
#: size, policy, flags, nice, priority, runtime, deadline, period (struct sched_attr).
_ATTR = struct.Struct("=IIQiIQQQ")
#: Nanoseconds; the shortest that Linux takes.
_SHORT = 100_000

_libc = ctypes.CDLL(None, use_errno=True)


def short_turns(thread: int = 0) -> None:
    """Give a thread (0: the caller's) short turns. Raises OSError."""
    _set_slice(thread, _SHORT)


def ordinary_turns(thread: int = 0) -> None:
    """Give a thread (0: the caller's) the system's own turns. Raises OSError."""
    _set_slice(thread, 0)


def _set_slice(thread: int, nanoseconds: int) -> None:
    number = _NUMBER.get(platform.machine())
    if number is None:
        return
    if os.sched_getscheduler(thread) != os.SCHED_OTHER:
        return  # It has been put behind or before everybody on purpose.
    # Priority as it is; only somebody with a right of their own may have another one.
    nice = os.getpriority(os.PRIO_PROCESS, thread)
    attributes = _ATTR.pack(_ATTR.size, os.SCHED_OTHER, 0, nice, 0, nanoseconds, 0, 0)
    buffer = ctypes.create_string_buffer(attributes, _ATTR.size)
    if _libc.syscall(number, thread, buffer, 0) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
