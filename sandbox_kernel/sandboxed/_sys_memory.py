"""Calls about this process's memory: madvise(2) with MADV_POPULATE_WRITE, and malloc_trim(3)."""

from __future__ import annotations

import ctypes

_POPULATE_WRITE = 23
#: Without giving the interpreter's lock away: a call takes some microseconds.
_libc = ctypes.PyDLL(None)
_madvise = _libc.madvise
_madvise.argtypes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)


def populate(address: int, size: int) -> bool:
    """Make these pages writable. False where the kernel cannot (before Linux 5.14), or refuses.

    What stands in them is not touched: it is as if each had been written to with what it has.
    """
    return int(_madvise(address, size, _POPULATE_WRITE)) == 0


def give_back() -> None:
    """Give pages that the allocator holds for later back to the system, where it knows how.

    It takes some milliseconds for a gigabyte. Only glibc has it; others do it by themselves.
    """
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
