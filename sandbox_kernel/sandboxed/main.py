"""The worker process: import, seal, build the shell, work on requests until the supervisor goes.

Started by the launcher as `python -P -m sandbox_kernel.sandboxed CHANNEL_FD SEAL_FD`. Once
`seal` has returned, nothing in this process is trusted by anybody.
"""

from __future__ import annotations

import _thread
import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from ..shared.messages import (
    Breach,
    CopyTaken,
    Finished,
    InputDropped,
    InputGiven,
    Interrupted,
    Ready,
    Reply,
    Request,
    Settings,
    TakeCopy,
)
from . import streams
from ._sys_threads import raise_in
from .api import LimitExceeded
from .ballast import has_room
from .bridge import ChannelClosed, Guard, Link, unread
from .folder import Folder
from .interrupts import Interrupts
from .left_running import drop_pending, left_running, take_off_hooks
from .module_files import note_modules
from .own_rights import OwnRights
from .session import SHELL, LinkSession
from .shell import WorkerKernel, build
from .snapshot import Copies, loop_descriptors, renew_loop

#: Requests in which the person's own code runs.
_RUN_CELLS = frozenset({"execute_request", "comm_open", "comm_msg", "comm_close"})

#: Seconds after a new copy until the one of before is gone.
_REAP_AFTER = 0.1
#: Seconds of idleness after which what a first error needs is made ready, and bytes that it takes.
_WARM_AFTER, _WARM_TAKES = 0.3, 4_000_000
#: Seconds until a worker that has no memory left tries again what it must do.
_ROOM_AFTER = 0.05


class Worker:
    """Takes requests from the link and runs them on the kernel, one after another.

    Comm messages and completeness checks may come while a cell runs: the former are served when
    the cell awaits, the latter at once (from the SIGURG handler).
    """

    def __init__(self, channel: socket.socket) -> None:
        self.guard = Guard()
        self.link = Link(channel, self.guard)
        self.session = LinkSession(self.link)
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self.interrupts = Interrupts(self.guard, self._look)
        self.link.on_foreign = self._tell_main
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: str | None = None
        self._read_again: asyncio.TimerHandle | None = None
        out, err, self.flusher = streams.streams(self.session)
        sys.stdout, sys.stderr = out, err
        self.out, self.err = out, err
        self.kernel: WorkerKernel = build(self.link, self.session, self.interrupts, self.loop)
        self.kernel.read_line = self._read_line
        self.folder = Folder()
        self.rights = OwnRights(self.kernel.shell, self._ask)
        self.copies = Copies((self.link.lock, out.lock, err.lock), self._flush, self._own)

    def run(self) -> None:
        """Serve until the supervisor closes the channel."""
        self.loop.add_reader(self.link.fileno(), self._readable)
        self.interrupts.install(self.loop)
        gc.freeze()  # It also keeps a copy of this process from touching the pages.
        gc.enable()
        self.link.send(Ready())
        self.loop.call_later(_WARM_AFTER, self._warm)
        while True:
            try:
                self.loop.run_forever()
                return
            except KeyboardInterrupt:
                continue  # It hit a background task between cells, which it has ended.
            except MemoryError:
                # The loop itself: what was due is still due, and the variables are worth keeping.
                self.kernel.shell.ballast.let_go()
                time.sleep(_ROOM_AFTER)
            except BaseException as error:
                if type(error).__name__ != "LimitExceeded":
                    raise

    def _ask(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask the supervisor on behalf of a cell; its rights may be others afterwards."""
        body = self.link.ask(command, arguments)
        self._take_settings()
        return body

    def _take_settings(self) -> None:
        for message, _ in self.link.take(Settings):
            self.rights.follow(message.body)
            if self._running is None:
                self.folder.leave()

    def _warm(self) -> None:
        """When idle: have the modules imported that word a traceback.

        A cell that is stopped by a limit has its grace for ending, and not for these imports. They
        hold up the event loop, on which tasks that a cell left behind may go on: those come first.
        A full worker keeps the little that it has for its next cell.
        """
        if self.kernel.shell.has_worded_error:
            return
        if self._running is not None or asyncio.all_tasks(self.loop) or not has_room(_WARM_TAKES):
            self.loop.call_later(_WARM_AFTER, self._warm)
            return
        with self.interrupts.own_code():
            try:
                raise LookupError
            except LookupError:
                note_modules()
                self.kernel.shell.InteractiveTB.structured_traceback(*sys.exc_info())

    def _flush(self) -> None:
        self.out.flush()
        self.err.flush()

    def _own(self) -> frozenset[int]:
        """Descriptors of the kernel's own, which a copy gives up without a word."""
        return frozenset((1, 2, self.link.fileno(), *loop_descriptors(self.loop)))

    def _readable(self) -> None:
        if self._read_again is not None:
            self._read_again.cancel()
            self._read_again = None
        with self.interrupts.own_code():
            try:
                self._poll()
                self._start_arrived()
            except (ChannelClosed, OSError):
                self.loop.stop()
            except MemoryError:
                time.sleep(_ROOM_AFTER)  # Nothing that came is lost, and the loop would ask anew.
                self._read_again = self.loop.call_later(_ROOM_AFTER, self._readable)

    def _poll(self) -> None:
        """Take in what has arrived; with what is held for this, where there is no memory."""
        try:
            self.link.poll()
        except MemoryError:
            self.kernel.shell.ballast.let_go()
            self.link.poll()

    def _start_arrived(self) -> None:
        self._take_settings()
        for message, _ in self.link.take(TakeCopy):
            self._take_copy(message)
        requests = self.link.take(Request)
        try:
            while requests:
                self._start(*requests[0])
                del requests[0]
        finally:
            self.link.put_back(requests)
        for breach, _ in self.link.take(Breach):
            if breach.idle:
                self._stop_threads(breach.text)
        self.link.take(InputGiven)  # Late, as any other breach: the cell that it is for is over.

    def _start(self, message: Request, buffers: list[bytes]) -> None:
        if message.type == "is_complete_request":
            self._answer_is_complete(message)  # It waits for no cell that came with it.
            return
        task = self.loop.create_task(self._serve(message, buffers))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, request: Request, buffers: list[bytes]) -> None:
        with self.interrupts.own_code():
            to = str(request.header.get("msg_id", ""))
            message = {
                "header": request.header,
                "parent_header": {},
                "metadata": request.metadata,
                "content": request.content,
                "buffers": buffers,
                "msg_id": to,
                "msg_type": request.type,
            }
            outer, self._running = self._running, to
            if outer is None:
                self.kernel.set_parent([], message)
            self.interrupts.install(self.loop)
            self.interrupts.meant = None
            if request.execution_count:
                self.kernel.shell.execution_count = request.execution_count
            handler = self.kernel.shell_handlers[request.type]
            outer_runs, self.rights.cell_runs = self.rights.cell_runs, request.type in _RUN_CELLS
            error: BaseException | None = None
            if outer is None:
                self.folder.enter()
            self.interrupts.before_cell()
            try:
                self._raise_if_interrupted(to)
                with self.interrupts.cell_code():
                    outcome = handler(SHELL, [], message)
                    if asyncio.iscoroutine(outcome) or asyncio.isfuture(outcome):
                        await outcome
            except BaseException as caught:
                error = caught
            self.kernel.shell.ballast.let_go_if_short()
            if outer is None:
                try:
                    self.folder.leave()
                except OSError as failure:
                    error = error or failure
                self.kernel.shell.ballast.give_back_after_short()
            self._finish(request, to, error)
            self._running = outer
            self.rights.cell_runs = outer_runs
            self._start_arrived()

    def _raise_if_interrupted(self, to: str) -> None:
        """KeyboardInterrupt, where the person's came before there was a cell to raise it in."""
        self.link.poll()
        if any(message.to == to for message, _ in self.link.take(Interrupted)):
            raise KeyboardInterrupt

    def _take_copy(self, order: TakeCopy) -> None:
        with socket.socket(fileno=self.link.descriptors.popleft()) as link:
            obstacle, seconds, woken = "a request is being worked on", 0.0, None
            runs_on = ""
            if self._running is None:
                if order.alone:
                    take_off_hooks(self.loop)
                    runs_on = self._left_running()
                obstacle = "none is wanted"
                if order.needed or runs_on:
                    obstacle, seconds, woken = self.copies.take(
                        link, order.harmless_threads, heeds_threads=not runs_on
                    )
        if woken is None:
            self.link.send(CopyTaken(order.number, obstacle, seconds, runs_on))
            if not obstacle:
                self.loop.call_later(_REAP_AFTER, self._reap)
                self.loop.call_soon(self._copy_ahead, self.copies.pages.copy_ahead())
            return
        # From here on this is the copy, and the process that it was forked from is dead.
        if order.alone:
            drop_pending(self.loop)
        renew_loop(self.loop, self.link.fileno())
        self.link.renew(woken.channel)
        self.session.pid = os.getpid()
        self.flusher.forget()
        self.loop.add_reader(self.link.fileno(), self._readable)
        self.interrupts.install(self.loop)
        self.link.send(Ready(woken.lost))

    def _left_running(self) -> str:
        """What cells have left running here; in words, empty for nothing."""
        own = {threading.main_thread().ident, getattr(self.flusher.thread, "ident", None)}
        return left_running(
            self.loop,
            [ident for ident in own if ident is not None],
            self._tasks,
            (self, self.loop, self.link),
            self._own(),
        )

    def _reap(self) -> None:
        """The copy of before has been ended by now, as a rule."""
        if self.copies.reap() > 1:
            self.loop.call_later(_REAP_AFTER, self._reap)

    def _copy_ahead(self, steps: Iterator[None]) -> None:
        """Between two requests: one step of what the next cell need not do then."""
        if self._running is None and next(steps, steps) is None:
            self.loop.call_soon(self._copy_ahead, steps)

    def _finish(
        self, request: Request, to: str, error: BaseException | None, again: bool = False
    ) -> None:
        if error is not None and request.type.startswith("comm_") and not again:
            self.kernel.log.warning("in %s: %r", request.type, error)
        try:
            if not again:
                self._flush()
            if to not in self.session.replied and not request.type.startswith("comm_"):
                name = type(error).__name__ if error is not None else "NoReply"
                text = str(error) if error is not None else "the handler gave no reply"
                body = {"status": "error", "ename": name, "evalue": text, "traceback": []}
                self.link.send(Reply(to, body))
                self.session.replied.add(to)
            self.link.send(Finished(to, (unread(1), unread(2))))
            self.session.replied.discard(to)
        except OSError:
            self.loop.stop()
        except MemoryError:
            # Without these words the session waits for ever; text that is left goes out later.
            self.kernel.shell.ballast.let_go()
            self.loop.call_later(_ROOM_AFTER, self._finish, request, to, error, True)

    def _read_line(self, to: str, number: int, ask: Callable[[], object]) -> str:
        def wanted(message: InputGiven) -> bool:
            return (message.to, message.number) == (to, number)

        try:
            ask()  # In here: an interrupt that comes while it is sent is raised right behind it.
            while True:
                for message, _ in self.link.take(InputGiven, wanted):
                    return str(message.value)
                self.link.wait()
        except ChannelClosed:
            raise
        except BaseException:
            # The line that comes for this prompt is no answer to the next one.
            self.link.send(InputDropped(to, number))
            raise

    def _look(self) -> BaseException | None:
        """Called from the SIGURG handler: serve what need not wait, give what must be raised."""
        try:
            self._poll()
        except (ChannelClosed, OSError):
            self.loop.stop()
            return None
        except MemoryError as error:
            return error  # The cell's, where one runs; what has arrived is looked at again later.
        waiting = []
        for request, buffers in self.link.take(Request):
            if request.type == "is_complete_request":
                self._answer_is_complete(request)
            else:
                waiting.append((request, buffers))
        self.link.put_back(waiting)
        for breach, _ in self.link.take(Breach):
            if not breach.idle:
                return LimitExceeded(breach.text)
            self._stop_threads(breach.text)
        if waiting:
            self.loop.call_soon_threadsafe(self._start_arrived)
        return None

    def _stop_threads(self, text: str) -> None:
        """Raise `LimitExceeded` in the threads that cells have left behind."""
        if self._running is not None:
            return  # They count with the cell that runs now.

        def told(error: LimitExceeded) -> None:
            BaseException.__init__(error, text)

        error = type("LimitExceeded", (LimitExceeded,), {"__init__": told, "__module__": "sandbox"})
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and thread is not self.flusher.thread:
                raise_in(thread.ident or 0, error)

    def _tell_main(self) -> None:
        """Called by another thread that read messages which are not its own."""
        self.loop.call_soon_threadsafe(self._start_arrived)
        _thread.interrupt_main(signal.SIGURG)

    def _answer_is_complete(self, request: Request) -> None:
        status, indent = self.kernel.shell.input_transformer_manager.check_complete(
            str(request.content.get("code", ""))
        )
        body: dict[str, Any] = {"status": status}
        if status == "incomplete":
            body["indent"] = " " * (indent or 0)
        to = str(request.header.get("msg_id", ""))
        self.link.send(Reply(to, body))
        self.link.send(Finished(to))


def main(argv: list[str]) -> None:
    """Entry point; `argv` is the channel's and the seal's descriptor."""
    from .installed import find_installed_by_list
    from .seal import seal

    channel_fd, seal_fd = (int(text) for text in argv)
    seal(seal_fd)
    find_installed_by_list()
    channel = socket.socket(fileno=channel_fd)
    os.environ.setdefault("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    Worker(channel).run()
    sys.stdout.flush()
    os._exit(0)
