"""inotify(7): tell when a name in a directory leads to another file. Calls only."""

from __future__ import annotations

import ctypes
import os
import struct

IN_ATTRIB, IN_MOVED_FROM, IN_MOVED_TO = 0x4, 0x40, 0x80
IN_CREATE, IN_DELETE, IN_Q_OVERFLOW = 0x100, 0x200, 0x4000
IN_ONLYDIR, IN_EXCL_UNLINK = 0x01000000, 0x04000000
NAME_CHANGES = IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_ONLYDIR

_libc = ctypes.CDLL(None, use_errno=True)
_HEADER = struct.Struct("iIII")


def create() -> int:
    """A non-blocking inotify descriptor. Raises OSError (EMFILE at the user's limit)."""
    return _checked(_libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))


def add(descriptor: int, directory: str, mask: int) -> int:
    """Watch a directory; the watch's number. Raises OSError (ENOSPC at the user's limit)."""
    return _checked(_libc.inotify_add_watch(descriptor, os.fsencode(directory), mask))


def remove(descriptor: int, watch: int) -> None:
    """End a watch. Raises OSError (EINVAL) for one that ended with its directory."""
    _checked(_libc.inotify_rm_watch(descriptor, watch))


def read(descriptor: int) -> list[tuple[int, int, str]]:
    """Events that wait: watch, mask, name. Empty when none does."""
    try:
        data = os.read(descriptor, 65536)
    except BlockingIOError:
        return []
    events: list[tuple[int, int, str]] = []
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        events.append((watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0"))))
        at += length
    return events


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return int(result)
