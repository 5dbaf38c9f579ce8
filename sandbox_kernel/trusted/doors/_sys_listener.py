"""A listener's calls with buffers that are made once: an import makes thousands of them.

Calls only; the same as confine._sys_notify's, at a third of their time. Sources:
seccomp_unotify(2), proc_pid_mem(5), <linux/seccomp.h>. Not for use from several threads.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct

_RECEIVE, _SEND, _ADD = 0xC0502100, 0xC0182101, 0x40182103
_CONTINUE = 1
_ADD_AND_SEND = 2
PIECE_BYTES = 512
_PAGE_BYTES = 4096
_CALL_BYTES = 80
_NOTHING = bytes(_CALL_BYTES)
_answer = struct.Struct("=QqiI")
_added = struct.Struct("=QIIII")
_LOW = 0xFFFFFFFF


_libc = ctypes.CDLL(None, use_errno=True)
_ioctl = _libc.ioctl
_ioctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p]


class Listener:
    """One listener, and the waiting call that `receive` took last.

    words: that call as 64-bit words: its id, task, number (see the properties), the instruction
    pointer, and from FIRST_ARGUMENT on its six arguments.
    """

    FIRST_ARGUMENT = 4

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._call = bytearray(_CALL_BYTES)
        self._call_at = ctypes.addressof((ctypes.c_char * _CALL_BYTES).from_buffer(self._call))
        self.words = memoryview(self._call).cast("Q")
        self._memory: tuple[int, int] | None = None

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
        if _ioctl(self._descriptor, _RECEIVE, self._call_at) < 0:
            number = ctypes.get_errno()
            if number in (errno.ENOENT, errno.EINTR):
                return False
            raise OSError(number, os.strerror(number))
        return True

    def piece(self, address: int) -> bytes:
        """Up to PIECE_BYTES of the caller's memory, not past the end of a page; or nothing."""
        task = self.task
        try:
            if self._memory is None or self._memory[0] != task:
                self.forget_memory()
                opened = os.open(f"/proc/{task}/mem", os.O_RDONLY | os.O_CLOEXEC)
                self._memory = (task, opened)
            length = min(PIECE_BYTES, _PAGE_BYTES - (address & (_PAGE_BYTES - 1)))
            return os.pread(self._memory[1], length, address)
        except (OSError, OverflowError):  # It is gone, or nothing is mapped there.
            return b""

    def forget_memory(self) -> None:
        """Close what `piece` keeps open between calls: a number means another task some day."""
        if self._memory is not None:
            os.close(self._memory[1])
            self._memory = None

    def let_run(self) -> None:
        """The kernel runs the call that was received last; see confine._sys_notify.let_run."""
        self._send(_SEND, _answer.pack(self.words[0], 0, 0, _CONTINUE))

    def refuse(self, number: int) -> None:
        """The call that was received last fails with this errno."""
        self._send(_SEND, _answer.pack(self.words[0], 0, -number, 0))

    def give(self, descriptor: int, flags: int) -> None:
        """The call that was received last returns a duplicate of our descriptor.

        `flags` are those of the new descriptor: O_CLOEXEC or none.
        """
        self._send(_ADD, _added.pack(self.words[0], _ADD_AND_SEND, descriptor, 0, flags))

    def _send(self, request: int, packed: bytes) -> None:
        if _ioctl(self._descriptor, request, packed) < 0:
            number = ctypes.get_errno()
            if number != errno.ENOENT:  # The thread died while we decided.
                raise OSError(number, os.strerror(number))
