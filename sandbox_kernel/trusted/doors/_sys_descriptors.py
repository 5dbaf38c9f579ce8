"""Descriptors of another process: take a duplicate, put a socket back into its epoll sets.

Calls only. Sources: pidfd_getfd(2), epoll_ctl(2), unshare(2). An epoll set knows a file by its
descriptor *number* too, so a registration is made under the worker's number, in a thread of our
own whose descriptor table is private.
"""

from __future__ import annotations

import ctypes
import os
import struct
import threading

_CLONE_FILES = 0x400
_NR_PIDFD_GETFD = 438
_EPOLL_CTL_ADD = 1

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def pidfd_getfd(pidfd: int, descriptor: int) -> int:
    """A duplicate of `descriptor` of the process behind `pidfd`, close-on-exec. Raises OSError."""
    result = _libc.syscall(
        ctypes.c_long(_NR_PIDFD_GETFD), ctypes.c_int(pidfd), ctypes.c_int(descriptor), 0
    )
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)


def register_as(epoll: int, file: int, number: int, events: int, data: int) -> None:
    """Add our descriptor `file` to our duplicate `epoll` of an epoll set as if it had `number`.

    Raises OSError.
    """
    failed: list[int] = []

    def register() -> None:
        if _libc.unshare(ctypes.c_int(_CLONE_FILES)) < 0:
            failed.append(ctypes.get_errno())
            return
        # Only this thread's table from here on: `number` may be one that the process uses.
        set_copy, file_copy = epoll, file
        if number in (epoll, file):
            set_copy, file_copy = os.dup(epoll), os.dup(file)
            if number in (set_copy, file_copy):
                set_copy, file_copy = os.dup(set_copy), os.dup(file_copy)
        os.dup2(file_copy, number)
        event = struct.pack("=IQ", events, data)
        if _libc.epoll_ctl(set_copy, _EPOLL_CTL_ADD, number, event) < 0:
            failed.append(ctypes.get_errno())

    thread = threading.Thread(target=register)
    thread.start()
    thread.join()
    if failed:
        raise OSError(failed[0], os.strerror(failed[0]))
