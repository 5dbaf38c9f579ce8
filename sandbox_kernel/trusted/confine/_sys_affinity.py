"""Two processes that take turns, on one processor while they do.

To wake what sleeps on another processor takes longer than most answers do: about 50 us on a
virtual machine. So whoever waits for another process's answer may hold both on the processor that
it runs on. Source: sched_setaffinity(2).
"""

from __future__ import annotations

import ctypes
import errno
import os

_MASK_BYTES = 1024  # 8192 processors: the most that Linux can be built for on x86-64.

_libc = ctypes.CDLL(None, use_errno=True)
_get, _set = _libc.sched_getaffinity, _libc.sched_setaffinity
_get.argtypes = _set.argtypes = [ctypes.c_int, ctypes.c_size_t, ctypes.c_void_p]
_current = _libc.sched_getcpu


class _Mask:
    """Room for a set of processors, as the kernel has it."""

    def __init__(self) -> None:
        self.bytes = bytearray(_MASK_BYTES)
        self.at = ctypes.addressof((ctypes.c_char * _MASK_BYTES).from_buffer(self.bytes))
        self._processor = -1

    def only(self, processor: int) -> None:
        """Make it the set of this one."""
        if processor != self._processor:
            self.bytes[:] = bytes(_MASK_BYTES)
            self.bytes[processor >> 3] = 1 << (processor & 7)
            self._processor = processor


class SameProcessor:
    """Holds the calling thread and one other at a time. Not for use from several threads."""

    def __init__(self) -> None:
        self._one, self._ours, self._theirs = _Mask(), _Mask(), _Mask()
        self._held = False

    def hold(self, task: int) -> bool:
        """Keep this thread and another on the processor of this one; whether that is so.

        The other is to be let go before it runs anything that must not see it, or that starts
        threads or processes: they inherit the set. This thread stays until `release`.
        """
        if not self._held:
            if _get(0, _MASK_BYTES, self._ours.at) < 0:
                return False
            self._one.only(_current())
            self._held = _set(0, _MASK_BYTES, self._one.at) == 0
        # It is gone, or in another cpuset than we are, when this fails.
        return (
            self._held
            and _get(task, _MASK_BYTES, self._theirs.at) >= 0
            and _set(task, _MASK_BYTES, self._one.at) == 0
        )

    def let_go(self, task: int) -> None:
        """Give the one that `hold` took last its own processors again. Raises OSError."""
        self._give_back(task, self._theirs)

    def release(self) -> None:
        """Let this thread run anywhere again. To be called before it does anything slow."""
        if self._held:
            self._held = False
            self._give_back(0, self._ours)

    @staticmethod
    def _give_back(task: int, mask: _Mask) -> None:
        if _set(task, _MASK_BYTES, mask.at) < 0:
            number = ctypes.get_errno()
            if number != errno.ESRCH:  # It has ended.
                raise OSError(number, os.strerror(number))
