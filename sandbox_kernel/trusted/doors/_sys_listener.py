"""A listener's calls with buffers that are made once: an import makes ten thousand of them.

Calls only; the same as confine._sys_notify's `receive`, `let_run` and `read_path`, at a third of
their time. Sources: seccomp_unotify(2), process_vm_readv(2). Not for use from several threads.
"""

from __future__ import annotations

import ctypes
import errno
import os

_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
PIECE_BYTES = 512
_PAGE_BYTES = 4096


class _Call(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("task", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("number", ctypes.c_int32),
        ("machine", ctypes.c_uint32),
        ("address", ctypes.c_uint64),
        ("arguments", ctypes.c_uint64 * 6),
    )


class _Answer(ctypes.Structure):
    _fields_ = (
        ("id", ctypes.c_uint64),
        ("value", ctypes.c_int64),
        ("error", ctypes.c_int32),
        ("flags", ctypes.c_uint32),
    )


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


_libc = ctypes.CDLL(None, use_errno=True)
_ioctl = _libc.ioctl
_ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]
_read = _libc.process_vm_readv
_read.restype = ctypes.c_ssize_t
_read.argtypes = [
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_void_p,
    ctypes.c_ulong,
    ctypes.c_ulong,
]


class Listener:
    """One listener. `call` is the waiting call that `receive` took last."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.call = _Call()
        self._call_at = ctypes.addressof(self.call)
        self._call_size = ctypes.sizeof(self.call)
        self._answer = _Answer(0, 0, 0, _CONTINUE)
        self._answer_at = ctypes.addressof(self._answer)
        self._piece = ctypes.create_string_buffer(PIECE_BYTES)
        self._piece_at = ctypes.addressof(self._piece)
        self._here, self._there = _Span(self._piece_at, 0), _Span(0, 0)
        self._here_at = ctypes.addressof(self._here)
        self._there_at = ctypes.addressof(self._there)

    def receive(self) -> bool:
        """Take the next waiting call; False when it was gone before. Raises OSError."""
        ctypes.memset(self._call_at, 0, self._call_size)
        if _ioctl(self._descriptor, _RECEIVE, self._call_at) < 0:
            number = ctypes.get_errno()
            if number in (errno.ENOENT, errno.EINTR):
                return False
            raise OSError(number, os.strerror(number))
        return True

    def piece(self, address: int) -> bytes:
        """Up to PIECE_BYTES of the caller's memory, not past the end of a page; or nothing."""
        length = min(PIECE_BYTES, _PAGE_BYTES - (address & (_PAGE_BYTES - 1)))
        self._here.length = self._there.length = length
        self._there.base = address
        got = _read(self.call.task, self._here_at, 1, self._there_at, 1, 0)
        return ctypes.string_at(self._piece_at, got) if got > 0 else b""

    def let_run(self) -> None:
        """The kernel runs the call that was received last; see confine._sys_notify.let_run."""
        self._answer.id = self.call.id
        if _ioctl(self._descriptor, _SEND, self._answer_at) < 0:
            number = ctypes.get_errno()
            if number != errno.ENOENT:  # The thread died while we decided.
                raise OSError(number, os.strerror(number))
