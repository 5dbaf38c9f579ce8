"""How a running cell is interrupted, synchronous or awaiting.

The supervisor sends SIGINT for a person's interrupt and SIGURG for "look at the channel" (a limit
was reached, or a question that need not wait for the cell). Python runs the handlers in the main
thread between two bytecodes, and there are these situations:

| the main thread is in                    | what happens                                         |
|------------------------------------------|------------------------------------------------------|
| code of the cell (or of its callbacks)   | the exception is raised right there                  |
| the event loop, a cell awaits            | the cell's task is cancelled, and the `CancelledError`|
|                                          | is turned into the exception that was meant          |
| the kernel's own code, before a cell     | raised in place of the cell                          |
| the kernel's own code, after a cell      | nothing                                              |
| the midst of a half message              | held back until that is over                         |

Plain ipykernel cancels only when the loop gets its turn and wakes no waiting `await`.
"""

from __future__ import annotations

import asyncio
import signal
from asyncio import events
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from .bridge import Guard

_CALLBACK = events.Handle._run.__code__


class Interrupts:
    """The signal handlers of the worker; one object for its whole life."""

    def __init__(self, guard: Guard, look: Callable[[], BaseException | None]) -> None:
        """`look` reads the channel and gives the exception to raise in the cell, if any."""
        self._guard = guard
        self._look = look
        self._awaiting: asyncio.Future[object] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._kernel_code = 0
        self._before_cell = False
        #: What is to be raised in place of the cell that is about to run.
        self._early: BaseException | None = None
        #: What the cancelled cell is to report instead of `CancelledError`.
        self.meant: BaseException | None = None

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Set the handlers (again): a cell may have replaced them."""
        self._loop = loop
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGURG, self._on_look)

    @contextmanager
    def own_code(self) -> Iterator[None]:
        """The kernel's own code between and around cells: an interrupt does nothing here."""
        self._kernel_code += 1
        try:
            yield
        finally:
            self._kernel_code -= 1

    def before_cell(self) -> None:
        """From here to the next `cell_code` an interrupt is meant for the cell that follows."""
        self._before_cell, self._early = True, None

    @contextmanager
    def cell_code(self) -> Iterator[None]:
        """Inside `own_code`: the part that runs a cell, where interrupts are wanted again.

        Raises what came since `before_cell`.
        """
        held, self._kernel_code = self._kernel_code, 0
        try:
            self._before_cell = False
            early, self._early = self._early, None
            if early is not None:
                raise early
            yield
        finally:
            self._kernel_code = held

    @contextmanager
    def awaiting(self, future: asyncio.Future[object]) -> Iterator[None]:
        """The cell runs as `future` and may be suspended in an `await`."""
        before, self._awaiting = self._awaiting, future
        try:
            yield
        finally:
            self._awaiting = before

    def take_meant(self) -> BaseException | None:
        """The exception that a cancellation stood for; forgets it."""
        meant, self.meant = self.meant, None
        return meant

    def _on_interrupt(self, _number: int, frame: FrameType | None) -> None:
        self._deliver(KeyboardInterrupt(), frame)

    def _on_look(self, _number: int, frame: FrameType | None) -> None:
        if self._guard.held:
            self._guard.after(lambda: self._on_look(_number, frame))
            return
        error = self._look()
        if error is not None:
            self._deliver(error, frame)

    def _deliver(self, error: BaseException, frame: FrameType | None) -> None:
        in_callback = _inside(frame, _CALLBACK)
        suspended = self._awaiting
        if suspended is not None and not suspended.done() and self._loop is not None:
            if asyncio.tasks.current_task(self._loop) is not suspended:
                self.meant = error
                self._loop.call_soon_threadsafe(suspended.cancel)
                if not in_callback or self._kernel_code:
                    return
        elif self._kernel_code or not in_callback:
            if self._before_cell:
                self._early = error
            return
        if self._guard.held:
            self._guard.after(lambda: self._raise(error))
            return
        raise error

    @staticmethod
    def _raise(error: BaseException) -> None:
        raise error


def _inside(frame: FrameType | None, code: object) -> bool:
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False
