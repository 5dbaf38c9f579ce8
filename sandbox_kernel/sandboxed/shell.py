"""IPython's shell and kernel, fitted to a worker that has no sockets and no home.

Everything that ipykernel does well stays as it is (completion, inspection, display, comms,
`input()`, history, top-level await). Overridden is what belongs to the supervisor (status, abort,
shutdown) and what reaches for the person's files.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import threading
import types
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from IPython.core.error import UsageError
from traitlets import Any as AnyTrait
from traitlets.config import Config

from .api import LimitExceeded
from .ballast import Ballast
from .bridge import Link
from .interrupts import Interrupts
from .ipykernel_parts import IPythonKernel, ZMQInteractiveShell
from .module_files import note_modules
from .session import IOPUB, STDIN, LinkSession

#: A traceback of more frames is shown by its first and last `_FRAMES_KEPT` ones.
_MOST_FRAMES, _FRAMES_KEPT = 3000, 50


class WorkerShell(ZMQInteractiveShell):
    """The shell whose namespace the cells live in."""

    interrupts: Interrupts
    ballast: Ballast
    #: Whether the modules that word a traceback have been used.
    has_worded_error = False

    def init_virtualenv(self) -> None:
        """The worker's interpreter is the environment's own; nothing to activate."""

    def ask_exit(self) -> None:
        """`exit()` and `quit()` end their cell; the session belongs to the person's front end."""
        raise SystemExit("exit() ends this cell only; stop or restart the kernel from its menu.")

    def enable_gui(self, gui: Any = None) -> None:
        """Called by `%gui` and `%matplotlib`; inline figures ask for no toolkit (None)."""
        if gui not in (None, "asyncio"):
            raise UsageError(f"%gui {gui}: no display here. Figures show with %matplotlib inline")
        self.active_eventloop = gui

    async def run_code(self, code_obj: Any, result: Any = None, *, async_: bool = False) -> bool:
        """As IPython's; an `await` that was cancelled reports why it was cancelled."""
        self.ballast.take()
        try:
            failed = await super().run_code(code_obj, result, async_=async_)
        finally:
            self.ballast.let_go_if_short()
        if result is not None and isinstance(result.error_in_exec, asyncio.CancelledError):
            meant = self.interrupts.take_meant()
            if meant is not None:
                result.error_in_exec = meant
        return bool(failed)

    def showtraceback(self, exc_tuple: Any = None, *args: Any, **kwargs: Any) -> None:
        """As IPython's; see `run_code`."""
        self.ballast.let_go_if_short()
        if _is_of_memory(sys.exc_info()[1] if exc_tuple is None else exc_tuple[1]):
            self.ballast.let_go()
        note_modules()
        _shorten_all(sys.exc_info()[1] if exc_tuple is None else exc_tuple[1])
        _, value, trace = self._get_exc_info(exc_tuple)
        meant = self.interrupts.meant
        if isinstance(value, asyncio.CancelledError) and meant is not None:
            exc_tuple = (type(meant), meant, trace)
        super().showtraceback(exc_tuple, *args, **kwargs)
        self.has_worded_error = True
        if _is_of_memory(value):
            _let_frames_go(value)
            sys.last_traceback = self.InteractiveTB.tb = None


def _is_of_memory(error: BaseException | None) -> bool:
    told = isinstance(error, LimitExceeded) and str(error).startswith("memory:")
    return told or isinstance(error, MemoryError)


def _let_frames_go(error: BaseException | None) -> None:
    """Free what the calls that failed for want of memory still hold.

    The last error is kept for `%debug`, and all variables of its calls with it: there would be no
    room for the next cell, nor for a copy of the session.
    """
    for each in _chain(error):
        each.__traceback__ = None


def _chain(error: BaseException | None) -> list[BaseException]:
    """The error and all those that it came from."""
    found: dict[int, BaseException] = {}
    pending = [error]
    while pending:
        error = pending.pop()
        if isinstance(error, BaseException) and id(error) not in found:
            found[id(error)] = error
            pending += [error.__cause__, error.__context__]
    return list(found.values())


def _shorten_all(error: BaseException | None) -> None:
    for each in _chain(error):
        _shorten(each.__traceback__)


def _shorten(trace: types.TracebackType | None) -> None:
    """Cut the middle out of a traceback of very deep recursion, which nobody could format.

    A million frames take IPython minutes; a RecursionError at the usual depth stays whole.
    """
    frames = 0
    head: types.TracebackType | None = None
    tail: deque[types.TracebackType] = deque(maxlen=_FRAMES_KEPT)
    while trace is not None:
        frames += 1
        head = trace if frames == _FRAMES_KEPT else head
        tail.append(trace)
        trace = trace.tb_next
    if frames > _MOST_FRAMES and head is not None:
        head.tb_next = tail[0]


class WorkerKernel(IPythonKernel):
    """ipykernel's kernel without sockets, threads of its own, or the last word on anything."""

    shell_class = WorkerShell
    worker_link: Link = AnyTrait()
    interrupts: Interrupts = AnyTrait()
    read_line: Callable[[str, int, Callable[[], object]], str] = AnyTrait()
    _supports_kernel_subshells = property(lambda self: False)
    _lines_wanted = itertools.count(1)

    def _publish_status(self, *args: Any, **kwargs: Any) -> None:
        """The supervisor says when the kernel is busy."""

    def _publish_status_and_flush(self, *args: Any, **kwargs: Any) -> None:
        """The supervisor says when the kernel is busy."""

    def _publish_execute_input(self, *args: Any, **kwargs: Any) -> None:
        """The supervisor echoes the cell's source."""

    def _abort_queues(self, subshell_id: str | None = None) -> None:
        """The supervisor holds the queue."""

    def _cancel_on_sigint(self, future: asyncio.Future[Any]) -> Any:
        """Called by `do_execute` around a cell that may await."""
        return self.interrupts.awaiting(future)

    def _input_request(self, prompt: str, ident: Any, parent: Any, password: bool = False) -> str:
        """Called by `input()` and `getpass()`: ask the supervisor and wait for the line."""
        assert self.shell is not None
        assert self.session is not None
        self.shell.display_pub._flush_streams()
        number = next(self._lines_wanted)
        wanted = {"prompt": prompt, "password": password, "number": number}
        ask = partial(self.session.send, STDIN, "input_request", wanted, parent=parent)
        value = self.read_line(parent["header"]["msg_id"], number, ask)
        if value == "\x04":
            raise EOFError
        return value


def build(
    link: Link, session: LinkSession, interrupts: Interrupts, loop: asyncio.AbstractEventLoop
) -> WorkerKernel:
    """The kernel object of this worker; there is one a process.

    History lives in memory and dies with the worker: nothing of the person's IPython directory
    (start-up files, configuration, history) is looked for.
    """
    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.InteractiveShell.autocall = 0
    kernel = WorkerKernel.instance(
        config=config,
        log=logging.getLogger("sandbox_kernel.worker"),
        session=session,
        iopub_socket=IOPUB,
        stdin_socket=STDIN,
        # ipykernel compares threads through this object; there is one thread here.
        shell_channel_thread=types.SimpleNamespace(parent_thread=threading.main_thread()),
        worker_link=link,
        interrupts=interrupts,
    )
    kernel.io_loop = types.SimpleNamespace(
        add_callback=lambda f, *a: loop.call_soon_threadsafe(f, *a), stop=lambda: None
    )
    kernel._execute_sleep = 0
    assert kernel.shell is not None
    kernel.shell.interrupts = interrupts
    kernel.shell.ballast = Ballast()
    return kernel
