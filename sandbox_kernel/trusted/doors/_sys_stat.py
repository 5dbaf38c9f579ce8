"""The raw results of stat calls, to be laid down in another process's memory. Calls only.

Sources: fstatat(2), statx(2), process_vm_writev(2). The layout is the kernel's own for this
machine; nothing here reads it.
"""

from __future__ import annotations

import ctypes
import os
import platform

_X86 = platform.machine() == "x86_64"
_NR_NEWFSTATAT = 262 if _X86 else 79
_NR_STATX = 332 if _X86 else 291
_AT_EMPTY_PATH = 0x1000
_STAT_BYTES = 144 if _X86 else 128
_STATX_BYTES = 256

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.process_vm_writev.restype = ctypes.c_ssize_t


class _Span(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def stat_bytes(descriptor: int) -> bytes:
    """`struct stat` of an open descriptor."""
    buffer = ctypes.create_string_buffer(_STAT_BYTES)
    _checked(
        _libc.syscall(
            ctypes.c_long(_NR_NEWFSTATAT), ctypes.c_int(descriptor), b"", buffer, _AT_EMPTY_PATH
        )
    )
    return buffer.raw


def statx_bytes(descriptor: int, mask: int) -> bytes:
    """`struct statx` of an open descriptor."""
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    _checked(
        _libc.syscall(
            ctypes.c_long(_NR_STATX),
            ctypes.c_int(descriptor),
            b"",
            ctypes.c_int(_AT_EMPTY_PATH),
            ctypes.c_uint(mask & 0x7FFFFFFF),
            buffer,
        )
    )
    return buffer.raw


def write_memory(task: int, address: int, data: bytes) -> None:
    """Put `data` into another process's memory. Raises OSError (EFAULT for a bad address)."""
    buffer = ctypes.create_string_buffer(data, len(data))
    here = _Span(ctypes.addressof(buffer), len(data))
    there = _Span(address, len(data))
    done = _checked(
        _libc.process_vm_writev(
            ctypes.c_int(task),
            ctypes.byref(here),
            1,
            ctypes.byref(there),
            1,
            ctypes.c_ulong(0),
        )
    )
    if done != len(data):
        raise OSError(14, os.strerror(14))
