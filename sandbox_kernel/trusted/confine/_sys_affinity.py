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

    def __init__(self, fill: int = 0) -> None:
        self.bytes = bytearray([fill]) * _MASK_BYTES
        self.at = ctypes.addressof((ctypes.c_char * _MASK_BYTES).from_buffer(self.bytes))
        self._processor = -1

    def only(self, processor: int) -> None:
        """Make it the set of this one."""
        if processor != self._processor:
            self.bytes[:] = bytes(_MASK_BYTES)
            self.bytes[processor >> 3] = 1 << (processor & 7)
            self._processor = processor


_ALL = _Mask(0xFF)


class _Own:
    """What a thread may run on by itself, to be given back."""

    def __init__(self) -> None:
        self._set = _Mask()
        #: The set of a thread that chose none, as seen just now: all that its cpuset has.
        self._unchosen = _Mask()
        self._seen = _Mask()
        self._back = _ALL

    def take(self, task: int) -> bool:
        """Look at a thread; False when it is gone.

        The kernel does not say whether a thread has chosen its set. Who has not follows its cpuset
        when that grows, and shall go on to: it gets all processors back.
        """
        if _get(task, _MASK_BYTES, self._set.at) < 0:
            return False
        self._back = _ALL
        if self._set.bytes != self._unchosen.bytes:
            if _set(task, _MASK_BYTES, _ALL.at) < 0 or _get(task, _MASK_BYTES, self._seen.at) < 0:
                return False
            if self._set.bytes == self._seen.bytes:
                self._unchosen.bytes[:] = self._seen.bytes
            else:
                self._back = self._set
        return True

    def forget(self) -> None:
        """Look anew the next time: a cpuset may grow, and what was all be a chosen set then."""
        self._unchosen.bytes[:] = bytes(_MASK_BYTES)

    def give_back(self, task: int) -> None:
        """Raises OSError; who has ended needs nothing."""
        if _set(task, _MASK_BYTES, self._back.at) < 0:
            number = ctypes.get_errno()
            if number != errno.ESRCH:
                raise OSError(number, os.strerror(number))


class SameProcessor:
    """Holds the calling thread and one other at a time. Not for use from several threads."""

    def __init__(self) -> None:
        self._one, self._ours, self._theirs = _Mask(), _Own(), _Own()
        self._held = False

    def hold(self, task: int) -> bool:
        """Keep this thread and another on the processor of this one; whether that is so.

        The other is to be let go before it runs anything that must not see it, or that starts
        threads or processes: they inherit the set. This thread stays until `release`.
        """
        if not self._held:
            if not self._ours.take(0):
                return False
            self._one.only(_current())
            self._held = _set(0, _MASK_BYTES, self._one.at) == 0
            if not self._held:
                self._ours.give_back(0)
                return False
        if not self._theirs.take(task):
            return False
        if _set(task, _MASK_BYTES, self._one.at) < 0:  # In another cpuset than we are.
            self._theirs.give_back(task)
            return False
        return True

    def let_go(self, task: int) -> None:
        """Give the one that `hold` took last its own processors again. Raises OSError."""
        self._theirs.give_back(task)

    def release(self) -> None:
        """Let this thread run anywhere again. To be called before it does anything slow."""
        if self._held:
            self._held = False
            self._ours.give_back(0)
            self._ours.forget()
            self._theirs.forget()
