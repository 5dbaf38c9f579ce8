"""The supervisor: what Jupyter sees as the kernel.

It owns the key and all channels, queues requests, gives them one by one to the worker, and writes
every header, status, echo and reply itself. It never imports what a notebook names, never
evaluates what the worker sends, and never dies with a worker.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any

from ..shared.codec import MessageTooBig
from ..shared.messages import (
    REQUEST_TYPES,
    CopyTaken,
    Finished,
    FromWorker,
    InputDropped,
    InputWanted,
    Interrupted,
    Output,
    Question,
    Ready,
    Reply,
    Request,
)
from .cell_run import ONLY_WHILE_RUNNING, CellRun
from .cell_watch import CellWatch
from .channels import Channels, Incoming
from .control import Control
from .doors import Doors
from .kernel_info import error_reply, kernel_info, reply_type
from .opened_rights import OpenedRights
from .output_gate import DisplayRules, OutputGate
from .permissions import Permissions
from .request_queue import RequestQueue
from .session_rights import SessionRights
from .stdin import Stdin
from .worker_keeper import Launch, WorkerKeeper
from .worker_process import WorkerProcess

_log = logging.getLogger(__name__)

#: Kinds of events that tell nothing that went wrong and nothing that anybody asked for.
_ORDINARY_NEWS = frozenset({"ended", "protected", "usage"})


class Supervisor:
    """One kernel. `run` returns when a client has asked for shutdown."""

    def __init__(
        self,
        channels: Channels,
        launch: Launch,
        session: SessionRights | None = None,
        doors: Doors | None = None,
        data_directory: str = "",
        metadata_given: bool = False,
    ) -> None:
        """`launch` gives a sealed worker; `session` is None when the policy cannot be used.

        `data_directory` and `metadata_given`: see `Permissions`.
        """
        self.channels = channels
        self.session = session
        self.doors = doors
        self.opened = OpenedRights(self, doors)
        self.gate = OutputGate(DisplayRules())
        self.keeper = WorkerKeeper(self, launch)
        self.current: CellRun | None = None
        self.last_parent: dict[str, Any] | None = None
        #: Whether a client has sent a `sandbox_request`.
        self.known_by_a_client = False
        self.execution_count = 1
        self.queue = RequestQueue(self)
        self._stopped: asyncio.Future[bool] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._control = Control(self)
        self.watch = CellWatch(self)
        self.stdin = Stdin(self)
        self.permissions: Permissions | None = None
        if session is not None:
            self.permissions = Permissions(
                self, session, data_directory, metadata_given=metadata_given
            )
            self.permissions.asker.on_free = self.stdin.next
            if doors is not None:
                refused, not_opened = self.permissions.questions.refused, self.opened.not_opened
                doors.tell(refused, not_opened, self.give_up_worker)
        if doors is not None:
            self.watch.monitor.count("connections", lambda: float(doors.open_connections()))
        if session is not None:
            self.watch.follow(session.rights, session.rights.limits)

    async def run(self) -> None:
        """Start a worker, serve until shutdown. The channels are bound."""
        loop = asyncio.get_running_loop()
        self._stopped = loop.create_future()
        loop.add_signal_handler(signal.SIGINT, self.interrupt)
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        starting = self.spawn(self.keeper.start())
        self.channels.listen(
            {
                "shell": self._on_shell,
                "control": self._control.handle,
                "stdin": self.stdin.on_reply,
            }
        )
        self.channels.status("starting", None)
        try:
            await self._stopped
        finally:
            starting.cancel()
            self.watch.close()
            if self.permissions is not None:
                self.permissions.close()
            if self.worker is not None:
                self.worker.close()
            if self.doors is not None:
                self.doors.close()
            self.channels.close()

    def stop(self) -> None:
        """End the kernel."""
        if self._stopped is not None and not self._stopped.done():
            self._stopped.set_result(True)

    def interrupt(self) -> None:
        """Interrupt the running cell."""
        if self.permissions is not None:
            self.permissions.asker.cancel()
        if self.worker is not None:
            if self.current is not None and not self.current.interrupted:
                self.current.interrupted = True
                self.worker.send(Interrupted(str(self.current.request.header.get("msg_id", ""))))
            self.worker.interrupt()
            self.watch.interrupted()
        if self.doors is not None:
            self.doors.interrupted()

    def event(self, kind: str, body: dict[str, Any]) -> None:
        """Tell all clients something that only the supervisor may say.

        Clients that do not know the type log an error for each (nbclient does), so what is merely
        news of the ordinary course waits until one has shown by a `sandbox_request` that it knows
        us. All of it is in `status` too.
        """
        if kind in _ORDINARY_NEWS and not self.known_by_a_client:
            return
        self.channels.publish("sandbox_event", {"kind": kind, **body}, self.last_parent)

    def warn(self, text: str) -> None:
        """Something about the machine that the person should know: shown once, and in `status`."""
        if self.permissions is not None:
            self.permissions.problem(text)

    @property
    def busy(self) -> bool:
        """True while a request is being worked on."""
        return self.current is not None

    def kernel_info(self) -> dict[str, Any]:
        """Content of `kernel_info_reply`; written without the worker, which may be starting."""
        return kernel_info(self.keeper.level, self.keeper.missing)

    @property
    def worker(self) -> WorkerProcess | None:
        """The worker that runs now."""
        return self.keeper.worker

    # -- requests

    def _on_shell(self, request: Incoming) -> None:
        kind = request.type
        if kind == "kernel_info_request":
            self.answer(request, self.kernel_info())
        elif kind == "connect_request":
            self.answer(request, self.channels.ports())
        elif kind == "shutdown_request":
            self._control.handle(request)
        elif kind not in REQUEST_TYPES:
            _log.warning("a shell message of unknown type was ignored: %.100s", kind)
        elif kind == "execute_request" and (fault := _malformed_cell(request)):
            self.answer(request, error_reply("BadRequest", fault))
        elif kind == "comm_close" and isinstance(request.content.get("comm_id"), str):
            self.gate.client_closed(request.content["comm_id"])
            self.queue.add(request)
        else:
            self.queue.add(request)

    def answer(self, request: Incoming, content: dict[str, Any]) -> None:
        """Busy, reply, idle: for whatever the supervisor answers itself."""
        self.channels.status("busy", request.header)
        self.channels.reply(request, reply_type(request.type), content)
        self.channels.status("idle", request.header)
        self.still_busy()

    def still_busy(self) -> None:
        """Say so after an idle status for something else: clients take the last one they saw."""
        if self.current is not None:
            self.channels.status("busy", self.current.request.header)

    def begin(self, request: Incoming) -> None:
        """Work on a request; nothing else is being worked on."""
        run = self.current = CellRun(request, self.execution_count)
        self.last_parent = request.header
        self.channels.status("busy", request.header)
        if not self._open_for(run):
            self._fail(run, "KernelFault", "what its notebook is granted could not be opened")
            return
        if run.is_cell and not run.silent:
            self.channels.publish(
                "execute_input",
                {"code": request.content["code"], "execution_count": run.count},
                request.header,
            )
            self.opened.tell_problems()
        fault = self.keeper.take_fault()
        if fault is not None:
            self._fail(run, type(fault).__name__, str(fault))
        elif not self.send_request(request, run.count):
            self._fail(run, "MessageTooBig", "the request is too big for the worker's channel")

    def _open_for(self, run: CellRun) -> bool:
        """Give a request its rights and limits; where that fails, nothing runs with others."""
        try:
            if run.is_cell and self.permissions is not None:
                self.permissions.begin_cell(run.sandbox_metadata)
            self.watch.begin(run.request)
        except Exception:
            self.give_up_worker("the beginning of a request failed")
            return False
        return True

    def give_up_worker(self, what: str) -> None:
        """A fault of ours: a reply is owed all the same, and nothing may stay open."""
        _log.exception(what)
        if self.worker is not None:
            self.worker.kill(f"{what}: what its cells are granted may be wrong; see the log")

    def send_request(self, request: Incoming, count: int) -> bool:
        """Give a request to the worker; False when there is none, or it is too big for it."""
        if self.worker is None:
            return False
        message = Request(
            request.type,  # type: ignore[arg-type]  # checked against REQUEST_TYPES
            request.header,
            request.content,
            request.metadata,
            count,
        )
        try:
            self.worker.send(message, request.buffers)
        except MessageTooBig:
            return False
        return True

    def _fail(self, run: CellRun, name: str, text: str) -> None:
        """Close a request with an error of the supervisor's own."""
        run.finished = False  # A fault may have come before its reply.
        run.reply = error_reply(name, text)
        run.error = None
        self._finish(run)

    def _finish(self, run: CellRun) -> None:
        """Reply, count, idle, and go on with the queue."""
        if run.finished:
            return
        run.finished = True
        request = run.request
        for kind, content in self.watch.last_part(run):
            self._publish(kind, content, {}, [])
        self._end_watch_and_rights(run)
        reply = run.final_reply()
        failed = run.is_cell and reply["status"] == "error"
        if failed and run.error is None and not run.silent:
            # The verdict is shown even where the cell has broken IPython's way of showing it.
            shown = {key: reply[key] for key in ("ename", "evalue", "traceback")}
            self._publish("error", shown, {}, [])
        aborted = []
        if failed and not run.silent and request.content.get("stop_on_error", True):
            aborted = self.queue.take_sent_cells()
        if not request.type.startswith("comm_") or request.type == "comm_info_request":
            kind = reply_type(request.type)
            self.channels.reply(request, kind, self.gate.reply(kind, reply), run.reply_metadata)
        if run.stores_history and run.is_cell:
            self.execution_count += 1
        self.current = None
        self.channels.status("idle", request.header)
        for cell in aborted:
            self.answer(cell, {"status": "aborted"})
        self.queue.next()

    def _end_watch_and_rights(self, run: CellRun) -> None:
        """What the end of a request closes; where that fails, the worker ends with it."""
        try:
            self.watch.end(run)
            if run.is_cell:
                self.opened.end_cell()
                self.stdin.end_cell()
        except Exception:
            self.give_up_worker("the end of a request failed")

    # -- the worker

    def spawn(self, work: Any) -> asyncio.Task[None]:
        """Run a coroutine beside the rest; it is kept until it is done."""
        task: asyncio.Task[None] = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def on_message(self, message: FromWorker, buffers: list[bytes]) -> None:
        """Called by the worker process for each message, in order."""
        match message:
            case Output():
                self._on_output(message, buffers)
            case Reply():
                self._on_reply(message)
            case Finished():
                self._on_finished(message)
            case InputWanted():
                self.stdin.on_wanted(message)
            case InputDropped():
                self.stdin.on_dropped(message)
            case Question():
                if self.permissions is not None:
                    self.spawn(self.permissions.questions.on_question(message))
            case CopyTaken():
                self.watch.copies.on_taken(message)
            case Ready():
                self.keeper.on_ready(message)

    def _on_output(self, message: Output, buffers: list[bytes]) -> None:
        run = self.current
        if message.type in ONLY_WHILE_RUNNING and (run is None or not run.is_cell):
            return
        content = message.content
        if message.type == "error" and run is not None:
            content = run.error = self.watch.explained(content)
        if message.type == "execute_result" and run is not None:
            content = {**content, "execution_count": run.count}
        self._publish(message.type, content, message.metadata, buffers)

    def _publish(
        self, kind: str, content: dict[str, Any], metadata: dict[str, Any], buffers: list[bytes]
    ) -> None:
        """Publish what the cell put out, as far as the output gate lets it through."""
        if self.gate.exceeded is not None:
            self.watch.not_shown(kind, content)
        for out in self.gate.iopub(kind, content, metadata, buffers):
            self.channels.publish(
                out.msg_type, out.content, self.last_parent, out.metadata, out.buffers
            )

    def on_text(self, name: str, text: str) -> None:
        """Called by the worker process for text from descriptor 1 or 2."""
        self._on_output(Output("stream", {"name": name, "text": text}), [])

    def _on_reply(self, message: Reply) -> None:
        if not self.queue.beside.on_reply(message) and self.current is not None:
            content = self.watch.explained(message.content)
            self.current.accept_reply(message.to, content, message.metadata)

    def _on_finished(self, message: Finished) -> None:
        run = self.current
        if run is not None and message.to == run.request.id and self.watch.may_end():
            self._finish(run)

    def on_gone(self, worker: WorkerProcess, reason: str) -> None:
        """Called by the worker process when it has ended."""
        if worker is not self.worker or (self._stopped is not None and self._stopped.done()):
            return
        if self.permissions is not None:
            self.permissions.asker.cancel()
        self.queue.beside.on_gone()
        self.keeper.on_gone(worker, reason)

    def worker_is_ready(self) -> None:
        """Called by the keeper when a worker has come up: go on with the queue."""
        if self.current is None:
            self.channels.status("idle", self.last_parent)
        self.queue.next()

    def tell_death(self, death: tuple[str, str], what_is_left: str) -> None:
        """Called by the keeper: a worker has ended, for the running request or between two."""
        name, text = death
        if self.current is not None:
            self._fail(self.current, name, f"{text} {what_is_left}")
        else:
            text = f"Between two cells: {text} {what_is_left}\n"
            self.channels.publish("stream", {"name": "stderr", "text": text}, self.last_parent)


def _malformed_cell(request: Incoming) -> str | None:
    if not isinstance(request.content.get("code"), str):
        return "execute_request needs a text `code`"
    return None
