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
from .calls import Call, Vanished, error_number

LINGER_SECONDS = 60e-6
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
                call = raw.receive(self._own)
                if call is not None:
                    self._answer(call)
                last = time.perf_counter()
            elif now - last > LINGER_SECONDS:
                return True
            if now - begun > LONGEST_TURN_SECONDS:
                return True

    def _answer(self, notification: raw.Notification) -> None:
        name = self._names[notification.number]
        door = self._doors.get(name)
        if door is None:
            self._rest.answer(notification)
            return
        call = Call(self._own, *notification[:3], name, notification.arguments)
        try:
            door.handle(call)
        except Vanished:
            return
        except OSError as error:
            call.refuse(error_number(error) or errno.EACCES)
