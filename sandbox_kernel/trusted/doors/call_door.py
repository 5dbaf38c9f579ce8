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
from ._sys_listener import Listener as Fast
from .calls import Call, Vanished, error_number
from .path_calls import AT_EMPTY_PATH

CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
LINGER_SECONDS = 20e-6
LONGEST_TURN_SECONDS = 0.005


class CallDoor(Protocol):
    """A door that answers calls by name."""

    NAMES: frozenset[str]

    def handle(self, call: Call) -> None:
        """Answer a call or see to it that it will be. Raises OSError, Vanished: not answered."""


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
        self._fast = Fast(self._own)
        self._opens: dict[int, tuple[int, int]] = {}
        self._looks: dict[int, tuple[int, int]] = {}
        self._below: tuple[bytes, ...] = ()
        self._exactly: frozenset[bytes] = frozenset()
        self._read = (0, b"")
        self._poll = select.poll()
        self._poll.register(self._own, select.POLLIN)

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

    def let_run_below(
        self,
        trees: tuple[bytes, ...],
        opens: dict[str, tuple[int, int]],
        looks: dict[str, tuple[int, int]],
    ) -> None:
        """Let calls run at once whose path is one of `trees` or lies below one.

        opens: by name, the positions of the path and of the flags (a change is not let run).
        looks: the same of calls that tell of a path and open nothing; an empty path with
        AT_EMPTY_PATH means an open descriptor there. Only where Landlock decides again, or where
        what is told is no secret.
        """
        numbers = {name: number for number, name in self._names.items()}
        self._below = tuple(tree + b"/" for tree in trees)
        self._exactly = frozenset(trees)
        self._opens = {numbers[name]: at for name, at in opens.items() if name in numbers}
        self._looks = {numbers[name]: at for name, at in looks.items() if name in numbers}

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
        begun = last = time.perf_counter()
        while True:
            events = self._poll.poll(0)
            now = time.perf_counter()
            if events:
                if not events[0][1] & select.POLLIN:
                    return False
                self._read = (0, b"")
                if self._fast.receive() and not self._let_run_at_once():
                    call = self._fast.call
                    self._answer(
                        raw.Notification(call.id, call.task, call.number, tuple(call.arguments))
                    )
                last = time.perf_counter()
            elif now - last > LINGER_SECONDS:
                return True
            if now - begun > LONGEST_TURN_SECONDS:
                return True

    def _let_run_at_once(self) -> bool:
        call = self._fast.call
        where = self._opens.get(call.number)
        opens = where is not None
        if where is None:
            where = self._looks.get(call.number)
            if where is None:
                return False
        flags = call.arguments[where[1]] if where[1] >= 0 else 0
        if opens and flags & CHANGES:
            return False
        pointer = call.arguments[where[0]]
        path = self._fast.piece(pointer)
        end = path.find(b"\0")
        self._read = (pointer, path[: max(end, 0)])
        if not end:
            if opens or not flags & AT_EMPTY_PATH:
                return False
        elif end < 0 or path.find(b"..", 0, end) >= 0 or not self._in_trees(path, end):
            return False
        self._fast.let_run()
        return True

    def _in_trees(self, path: bytes, end: int) -> bool:
        return path.startswith(self._below) or path[:end] in self._exactly

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
