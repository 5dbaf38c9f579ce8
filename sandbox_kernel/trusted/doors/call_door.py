"""What answers a worker's listener: each waiting call goes to the door that it belongs to.

Serves on the supervisor's event loop and never blocks it. Calls that a cell makes in bursts
(10,000 opens) come one after another from one thread: after an answer the next one is awaited for
a moment, which saves a turn of the loop for each.
"""

from __future__ import annotations

import errno
import os
import select
import time
from collections.abc import Callable
from typing import Protocol

from ..confine import _sys_notify as raw
from ..confine.broker import Broker, Listener
from ..confine.syscall_numbers import TABLES
from ._sys_listener import Listener as FastListener
from .calls import Call, Vanished, error_number
from .path_calls import AT_EMPTY_PATH, AT_FDCWD

CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
LINGER_NANOSECONDS = 100_000
LONGEST_TURN_SECONDS = 0.005
_LOW = 0xFFFFFFFF
_ALMOST_A_SECOND = 999_999_999

#: Called with task, directory descriptor, path and flags of a call that opens for reading.
Opener = Callable[[int, int, bytes, int], int | None]


class CallDoor(Protocol):
    """A door that answers calls by name."""

    NAMES: frozenset[str]

    def handle(self, call: Call) -> None:
        """Answer a call or see to it that it will be. Raises OSError, Vanished: not answered."""


def _nothing(task: int, directory: int, path: bytes, flags: int) -> int | None:
    return None


class Dispatcher:
    """The door behind one listener; see confine.broker.Door.

    Until `attach` gives it more, it is the launcher's own minimal door: what the walls' self-test
    meets.
    """

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self._rest = Broker(listener)
        self._own = os.dup(listener.fd)
        self._names = {number: name for name, number in TABLES[listener.machine].items()}
        self._doors: dict[str, CallDoor] = {}
        self._fast = FastListener(self._own)
        self._opens: dict[int, tuple[int, int, int]] = {}
        self._looks: dict[int, tuple[int, int, int]] = {}
        self._opener: Opener = _nothing
        self._below: tuple[bytes, ...] = ()
        self._exactly: frozenset[bytes] = frozenset()
        self._read = (0, b"")

    @property
    def forks(self) -> int:
        """How many forks the supervisor has ordered and not yet seen."""
        return self._rest.forks

    @forks.setter
    def forks(self, count: int) -> None:
        self._rest.forks = count

    @property
    def may_fork(self) -> Callable[[], bool] | None:
        """Whether a cell may start one more process; see confine.broker.Door."""
        return self._rest.may_fork

    @may_fork.setter
    def may_fork(self, decides: Callable[[], bool] | None) -> None:
        self._rest.may_fork = decides

    def attach(self, door: CallDoor) -> None:
        """Let a door answer its calls from now on."""
        self._doors.update(dict.fromkeys(door.NAMES, door))

    def answer_at_once(
        self,
        trees: tuple[bytes, ...],
        opens: dict[str, tuple[int, int, int]],
        looks: dict[str, tuple[int, int, int]],
        opener: Opener,
    ) -> None:
        """Answer the calls that come by the thousand before any door looks at them.

        trees: a call runs whose path is one of them or lies below one; only where Landlock decides
        again, or where what is told is no secret. opens: calls that open, by name, with the
        positions of descriptor (-1: none), path and flags; those that change anything are not
        answered here. looks: the same of calls that tell of a path and open nothing; an empty path
        with AT_EMPTY_PATH means an open descriptor there. opener: gives a descriptor for a path
        outside the trees, or None where it does not know.
        """
        numbers = {name: number for number, name in self._names.items()}
        self._below = tuple(tree + b"/" for tree in trees)
        self._exactly = frozenset(trees)
        self._opens = {numbers[name]: at for name, at in opens.items() if name in numbers}
        self._looks = {numbers[name]: at for name, at in looks.items() if name in numbers}
        self._opener = opener

    def rest(self, call: Call) -> None:
        """Have the launcher's minimal door answer a call."""
        self._rest.answer(raw.Notification(call.id, call.task, call.number, call.arguments))

    def close(self) -> None:
        """The worker is gone, or another door takes over."""
        self._doors.clear()
        if self._own >= 0:
            os.close(self._own)
            self._own = -1

    def serve(self) -> bool:
        """Answer what waits. False: the listener is dead for good."""
        if self._own < 0:
            return False
        try:
            return self._serve_for_a_moment()
        finally:
            self._fast.rest()

    def serve_for(self, seconds: float) -> None:
        """Answer calls for so long, and wait between them: for who cannot go back to the loop."""
        end = time.monotonic() + seconds
        alive = self._own >= 0
        while (left := end - time.monotonic()) > 0:
            if not alive:
                time.sleep(left)
            elif self._fast.wait(min(int(left * 1e9), _ALMOST_A_SECOND)):
                alive = self.serve()

    def _serve_for_a_moment(self) -> bool:
        begun = time.perf_counter()
        fast, first = self._fast, self._fast.FIRST_ARGUMENT
        waits = 0
        while events := fast.wait(waits):
            if not events & select.POLLIN:
                return False
            self._read = (0, b"")
            if fast.receive() and not self._quickly_answered():
                fast.release()
                arguments = tuple(fast.words[first:])
                self._answer(raw.Notification(fast.words[0], fast.task, fast.number, arguments))
            if time.perf_counter() - begun > LONGEST_TURN_SECONDS:
                break
            waits = LINGER_NANOSECONDS
        return True

    def _quickly_answered(self) -> bool:
        try:
            return self._answered_at_once()
        except BaseException:
            self._fast.refuse(errno.EIO)  # A fault of ours must not leave the worker waiting.
            raise

    def _answered_at_once(self) -> bool:
        fast = self._fast
        where = self._opens.get(fast.number)
        opens = where is not None
        if where is None:
            where = self._looks.get(fast.number)
            if where is None:
                return False
        first = fast.FIRST_ARGUMENT
        directory_at, path_at, flags_at = where
        flags = fast.words[first + flags_at] & _LOW if flags_at >= 0 else 0
        if opens and flags & CHANGES:
            return False
        pointer = fast.words[first + path_at]
        piece = fast.piece(pointer)
        path = piece[: max(piece.find(b"\0"), 0)]
        self._read = (pointer, path)
        if path:
            if b".." not in path and (path.startswith(self._below) or path in self._exactly):
                fast.let_run()
                return True
            return opens and self._opened(directory_at, path, flags)
        if opens or not flags & AT_EMPTY_PATH or piece[:1] != b"\0":
            return False
        fast.let_run()
        return True

    def _opened(self, directory_at: int, path: bytes, flags: int) -> bool:
        fast = self._fast
        directory = AT_FDCWD
        if directory_at >= 0:
            directory = fast.words[fast.FIRST_ARGUMENT + directory_at] & _LOW
            directory -= (directory & 0x80000000) << 1
        try:
            descriptor = self._opener(fast.task, directory, path, flags)
        except OSError as error:
            fast.refuse(error_number(error))
            return True
        if descriptor is None:
            return False
        try:
            fast.give(descriptor, flags & os.O_CLOEXEC)
        except OSError as error:  # Its table is full: EMFILE.
            fast.refuse(error_number(error))
        finally:
            os.close(descriptor)
        return True

    def _answer(self, notification: raw.Notification) -> None:
        name = self._names[notification.number]
        door = self._doors.get(name)
        if door is None:
            self._rest.answer(notification)
            return
        call = Call(self._own, *notification[:3], name, notification.arguments, self._read)
        try:
            door.handle(call)
        except Vanished:
            return
        except OSError as error:
            call.refuse(error_number(error))
        except BaseException:
            call.refuse(errno.EIO)  # A fault of ours must not leave the worker waiting.
            raise
