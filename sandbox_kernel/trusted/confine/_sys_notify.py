"""Raw calls of a seccomp notification listener (seccomp_unotify(2)): receive, answer, inject.

Calls only. A notification's `pid` is a thread of the worker in the caller's own pid namespace.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from typing import NamedTuple

_RECV, _SEND, _ID_VALID, _ADDFD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_FLAG_CONTINUE = 1
_ADDFD_FLAG_SETFD, _ADDFD_FLAG_SEND = 1, 2

_libc = ctypes.CDLL(None, use_errno=True)
_libc.process_vm_readv.restype = ctypes.c_ssize_t


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Notification(NamedTuple):
    """A system call that waits for an answer; `arguments` are its six registers."""

    id: int
    pid: int
    number: int
    arguments: tuple[int, ...]


def receive(listener: int) -> Notification | None:
    """The next waiting call; None when its thread died before it could be read."""
    buffer = bytearray(80)
    try:
        fcntl.ioctl(listener, _RECV, buffer, True)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    ident, pid, _, number, _, _, *arguments = struct.unpack("=QIIiIQ6Q", buffer)
    return Notification(ident, pid, number, tuple(arguments))


def _send(listener: int, packed: bytes) -> None:
    try:
        fcntl.ioctl(listener, _SEND, packed)
    except OSError as error:
        if error.errno != errno.ENOENT:  # The thread died while we decided.
            raise


def refuse(listener: int, ident: int, code: int) -> None:
    """The call returns -`code`."""
    _send(listener, struct.pack("=QqiI", ident, 0, -code, 0))


def answer(listener: int, ident: int, value: int) -> None:
    """The call returns `value` without being run."""
    _send(listener, struct.pack("=QqiI", ident, value, 0, 0))


def let_run(listener: int, ident: int) -> None:
    """The kernel runs the call after all.

    Safe only where memory that the caller can still change decides nothing: registers, or a
    second check behind (Landlock).
    """
    _send(listener, struct.pack("=QqiI", ident, 0, 0, _FLAG_CONTINUE))


def still_waiting(listener: int, ident: int) -> bool:
    """Whether the pid of a notification still means the thread that made the call."""
    try:
        fcntl.ioctl(listener, _ID_VALID, struct.pack("=Q", ident))
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        return False
    return True


def inject(listener: int, ident: int, fd: int, *, close_on_exec: bool) -> None:
    """The call returns a new descriptor that is a duplicate of `fd`, in one step (Linux 5.14)."""
    flags = os.O_CLOEXEC if close_on_exec else 0
    packed = struct.pack("=QIIII", ident, _ADDFD_FLAG_SEND, fd, 0, flags)
    try:
        fcntl.ioctl(listener, _ADDFD, packed)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise


def replace(listener: int, ident: int, fd: int, target: int, *, close_on_exec: bool) -> None:
    """Put a duplicate of `fd` at descriptor `target` of the caller, which goes on waiting."""
    flags = os.O_CLOEXEC if close_on_exec else 0
    packed = struct.pack("=QIIII", ident, _ADDFD_FLAG_SETFD, fd, target, flags)
    fcntl.ioctl(listener, _ADDFD, packed)


def read_memory(pid: int, address: int, length: int) -> bytes:
    """Up to `length` bytes of another process's memory (process_vm_readv(2))."""
    buffer = ctypes.create_string_buffer(length)
    here = _Span(ctypes.addressof(buffer), length)
    there = _Span(address, length)
    got = _libc.process_vm_readv(
        ctypes.c_int(pid), ctypes.byref(here), 1, ctypes.byref(there), 1, ctypes.c_ulong(0)
    )
    if got < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"process_vm_readv: {os.strerror(code)}")
    return buffer.raw[:got]


def read_path(pid: int, address: int, longest: int = 4096) -> bytes:
    """A NUL-terminated string of another process, never reading across a page it may not have.

    Raises OSError(ENAMETOOLONG) as the kernel does for a longer path.
    """
    out = b""
    while len(out) < longest:
        chunk = read_memory(pid, address + len(out), 256 - ((address + len(out)) & 255))
        end = chunk.find(b"\0")
        if end >= 0:
            return out + chunk[:end]
        out += chunk
    raise OSError(errno.ENAMETOOLONG, "path too long")
