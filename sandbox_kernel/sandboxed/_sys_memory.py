"""Have pages of this process made writable ahead of time: madvise(2), MADV_POPULATE_WRITE.

The call only. What stands in the pages is not touched: it is as if each had been written to with
what it has.
"""

from __future__ import annotations

import ctypes

_POPULATE_WRITE = 23
#: Without giving the interpreter's lock away: a call takes some microseconds.
_madvise = ctypes.PyDLL(None).madvise
_madvise.argtypes = (ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int)


def populate(address: int, size: int) -> bool:
    """Make these pages writable. False where the kernel cannot (before Linux 5.14), or refuses."""
    return int(_madvise(address, size, _POPULATE_WRITE)) == 0
