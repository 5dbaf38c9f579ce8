"""A listener's calls with buffers that are made once: an import makes thousands of them.

Calls only; the same as confine._sys_notify's, at a third of their time. Sources:
seccomp_unotify(2), proc_pid_mem(5), ppoll(2), <linux/seccomp.h>. Not for use from several
threads.

The caller and the listener take turns on one processor: the listener asks for wake-ups on the
current one (SECCOMP_IOCTL_NOTIF_SET_FLAGS, Linux 6.6), and where the kernel does not do so, while a
descriptor is put into the caller, both are held there until that is done (`give`). On two virtual
processors an open took 60 us with it, and 170 without.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import struct

from ..confine._sys_affinity import SameProcessor

_RECEIVE, _SEND, _ADD, _SET_FLAGS = 0xC0502100, 0xC0182101, 0x40182103, 0x40082104
_SYNC_WAKE_UP = 1
_CONTINUE = 1
_ADD_AND_SEND = 2
PIECE_BYTES = 512
_PAGE_BYTES = 4096
_CALL_BYTES = 80
_NOTHING = bytes(_CALL_BYTES)
_answer = struct.Struct("=QqiI")
_added = struct.Struct("=QIIII")
_poll = struct.Struct("=ihh")
_time = struct.Struct("=qq")
_LOW = 0xFFFFFFFF


_libc = ctypes.CDLL(None, use_errno=True)
_ppoll = _libc.ppoll
_ppoll.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_void_p]


class Listener:
    """One listener, and the waiting call that `receive` took last.

    words: that call as 64-bit words: its id, task, number (see the properties), the instruction
    pointer, and from FIRST_ARGUMENT on its six arguments.
    """

    FIRST_ARGUMENT = 4

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._call = bytearray(_CALL_BYTES)
        self._sent, self._given = bytearray(_answer.size), bytearray(_added.size)
        self.words = memoryview(self._call).cast("Q")
        self._memory: tuple[int, int] | None = None
        self._waits = bytearray(_poll.pack(descriptor, select.POLLIN, 0))
        self._waits_at = ctypes.addressof((ctypes.c_char * _poll.size).from_buffer(self._waits))
        self._nanoseconds = 0
        self._time = bytearray(_time.size)
        self._time_at = ctypes.addressof((ctypes.c_char * _time.size).from_buffer(self._time))
        self._turns = SameProcessor()
        self._shares = _wakes_here(descriptor)

    def wait(self, nanoseconds: int) -> int:
        """Wait for a call: the events of poll(2), 0 when none came in time (below a second)."""
        if nanoseconds != self._nanoseconds:
            _time.pack_into(self._time, 0, 0, nanoseconds)
            self._nanoseconds = nanoseconds
        count = _ppoll(self._waits_at, 1, self._time_at, None)
        return _poll.unpack_from(self._waits)[2] if count > 0 else 0

    @property
    def task(self) -> int:
        """The calling thread, in our pid namespace."""
        return self.words[1] & _LOW

    @property
    def number(self) -> int:
        """Which system call it is."""
        return self.words[2] & _LOW

    def receive(self) -> bool:
        """Take the next waiting call; False when it was gone before. Raises OSError."""
        self._call[:] = _NOTHING
        try:
            fcntl.ioctl(self._descriptor, _RECEIVE, self._call, True)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return False
            raise
        return True

    def piece(self, address: int) -> bytes:
        """Up to PIECE_BYTES of the caller's memory, not past the end of a page; or nothing."""
        task = self.task
        try:
            if self._memory is None or self._memory[0] != task:
                self._forget_memory()
                opened = os.open(f"/proc/{task}/mem", os.O_RDONLY | os.O_CLOEXEC)
                self._memory = (task, opened)
            length = min(PIECE_BYTES, _PAGE_BYTES - (address & (_PAGE_BYTES - 1)))
            return os.pread(self._memory[1], length, address)
        except (OSError, OverflowError):  # It is gone, or nothing is mapped there.
            return b""

    def rest(self) -> None:
        """Let go what is kept from one call of a burst to the next."""
        self.release()
        self._forget_memory()

    def _forget_memory(self) -> None:
        # A number means another task some day.
        if self._memory is not None:
            os.close(self._memory[1])
            self._memory = None

    def let_run(self) -> None:
        """The kernel runs the call that was received last; see confine._sys_notify.let_run."""
        self._send(0, 0, _CONTINUE)

    def refuse(self, number: int) -> None:
        """The call that was received last fails with this errno."""
        self._send(0, -number, 0)

    def give(self, descriptor: int, flags: int) -> None:
        """The call that was received last returns a duplicate of our descriptor.

        `flags` are those of the new descriptor: O_CLOEXEC or none.
        """
        task = self.task
        if self._shares and self._turns.hold(task):
            try:
                added = self._add(0, descriptor, flags)
            finally:
                self._turns.let_go(task)  # It has run nothing of its own.
            if added >= 0:
                self._send(added, 0, 0)
        else:
            self._add(_ADD_AND_SEND, descriptor, flags)

    def release(self) -> None:
        """Let this thread run anywhere again, as what it starts does. Before anything slow."""
        self._turns.release()

    def _send(self, value: int, error: int, flags: int) -> None:
        _answer.pack_into(self._sent, 0, self.words[0], value, error, flags)
        self._ioctl(_SEND, self._sent)

    def _add(self, how: int, descriptor: int, flags: int) -> int:
        """The number of the new descriptor there; -1 where the caller has died."""
        _added.pack_into(self._given, 0, self.words[0], how, descriptor, 0, flags)
        return self._ioctl(_ADD, self._given)

    def _ioctl(self, request: int, packed: bytearray) -> int:
        try:
            return int(fcntl.ioctl(self._descriptor, request, packed, True))
        except OSError as error:
            if error.errno != errno.ENOENT:  # The thread died while we decided.
                raise
        return -1


def _wakes_here(descriptor: int) -> bool:
    """Have the listener wake its callers on this processor; whether the kernel does so."""
    try:
        fcntl.ioctl(descriptor, _SET_FLAGS, _SYNC_WAKE_UP)
    except OSError:  # Before Linux 6.6, or of another make.
        return False
    return True
