"""One system call that waits for a door's answer, and the ways of answering it.

A door decides at once or hands the call to a task on the event loop; whoever has the call answers
it exactly once. What the worker's memory says is read once, and counts only if the caller was
still waiting after the reading (its process id could mean another process by then).
"""

from __future__ import annotations

import errno
from dataclasses import dataclass

from ..confine import _sys_notify as raw


class Vanished(Exception):
    """The caller died or was interrupted before it could be answered."""


@dataclass(frozen=True, slots=True)
class Call:
    """A waiting call.

    listener: the door's own duplicate of the listener. read: an address and the string that was
    read there already, b"" where none was.
    """

    listener: int
    id: int
    task: int
    number: int
    name: str
    arguments: tuple[int, ...]
    read: tuple[int, bytes] = (0, b"")

    def int_argument(self, index: int) -> int:
        """An argument of type int."""
        value = self.arguments[index] & 0xFFFFFFFF
        return value - (1 << 32) if value & 0x80000000 else value

    def memory(self, address: int, length: int) -> bytes:
        """Up to `length` bytes of the caller's memory. Raises Vanished, OSError."""
        data = raw.read_memory(self.task, address, length)
        self.check()
        return data

    def path(self, index: int) -> bytes:
        """The path that an argument points to. Raises Vanished, OSError."""
        address, data = self.read
        if not data or address != self.arguments[index]:
            data = raw.read_path(self.task, self.arguments[index])
        self.check()
        return data

    def check(self) -> None:
        """Raise Vanished unless the caller still waits."""
        if not raw.still_waiting(self.listener, self.id):
            raise Vanished

    def refuse(self, number: int) -> None:
        """The call fails with this errno."""
        raw.refuse(self.listener, self.id, number)

    def result(self, value: int = 0) -> None:
        """The call returns `value` without being run."""
        raw.answer(self.listener, self.id, value)

    def let_run(self) -> None:
        """The kernel runs the call: only where memory that can still change decides nothing."""
        raw.let_run(self.listener, self.id)

    def give(self, descriptor: int, *, close_on_exec: bool) -> None:
        """The call returns a duplicate of our descriptor."""
        raw.inject(self.listener, self.id, descriptor, close_on_exec=close_on_exec)

    def put(self, descriptor: int, number: int, *, close_on_exec: bool) -> None:
        """Put a duplicate of our descriptor at the caller's `number`; the call goes on waiting.

        Raises Vanished.
        """
        try:
            raw.replace(self.listener, self.id, descriptor, number, close_on_exec=close_on_exec)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINPROGRESS):
                raise Vanished from None
            raise


def error_number(error: OSError) -> int:
    """The errno to hand on; EIO for an error that has none."""
    return error.errno or errno.EIO
