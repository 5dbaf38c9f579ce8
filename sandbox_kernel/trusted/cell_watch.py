"""Between the supervisor and the limits: what begins, ends, floods, dies, and what is said then.

The supervisor calls the methods at the few places where something happens to a request or to a
worker; everything about limits is decided behind them.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..policy.rights import Limit, Rights
from ..shared.messages import Breach
from .disk_use import Use
from .dormant_copies import DormantCopies
from .limits.cgroup import OuterWall
from .limits.change import LimitDenied
from .limits.monitor import Monitor
from .limits.person import PersonsKernels
from .limits.sampling import MonitorFailed, Sample, channel_of, read_process
from .limits.scratch_use import ScratchUse
from .limits.tree import Tree
from .limits.usage import UsageReply
from .output_gate import OutputCaps
from .output_tail import OutputTail

if TYPE_CHECKING:
    from .cell_run import CellRun
    from .channels import Incoming
    from .supervisor import Supervisor
    from .worker_process import WorkerProcess

_log = logging.getLogger(__name__)

_NO_CAP = 1 << 62
#: Bytes beyond what may be shown that make a flood. Who prints a little too much has ended by the
#: monitor's next look, as a rule, and is not stopped for it.
_FLOOD = 250_000
#: Bytes that the last part of cut output and the error may take.
_LAST_ROOM = 64_000


class CellWatch:
    """Watches the cells of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Without any limit; `follow` brings those of a policy."""
        self._supervisor = supervisor
        self.monitor = Monitor(self, {})
        #: What staged grants have brought to the host in this kernel's life.
        self._written = self._new_files = 0
        self.monitor.count("written", lambda: float(self._written))
        self.monitor.count("created_files", lambda: float(self._new_files))
        self.monitor.count("output", self._output)
        self.monitor.count("messages", self._received_messages)
        self.monitor.count("open_files", lambda: self._open_files)
        self.monitor.count("scratch", self._scratch_bytes)
        self.monitor.count("scratch_files", lambda: self._scratch_use().files)
        self._open_files = 0.0
        self._scratch: ScratchUse | None = None
        #: Whether cells may start processes of their own (the policy's `processes.spawn`).
        self.spawns = False
        self._usage = UsageReply()
        self.outer_wall = OuterWall()
        self.copies = DormantCopies(supervisor, self.monitor)
        self._tail = OutputTail()
        #: When output was first not shown, and the bytes received by then; None: not in this cell.
        self._full: tuple[float, float] | None = None
        self._caps = _caps({})
        self._put_out = 0.0
        self._received = 0.0

    # -- called by the supervisor

    def worker_sealed(self, worker: WorkerProcess) -> None:
        """Called when a fresh worker may build its shell; a copy of it is where it is.

        The kernel takes some milliseconds for moving a process into a control group.
        """
        self.outer_wall.build()
        try:
            self.outer_wall.hold(self.monitor.limits)
            self.outer_wall.enter(worker.pid)
        except OSError as failure:
            _cannot_hold(worker, failure)

    def worker_ready(self, worker: WorkerProcess, *, restored: bool = False) -> None:
        """Called when a worker has come up, fresh or as a copy that has taken over."""
        self._scratch = ScratchUse(worker.pid, worker.scratch)
        own = read_process(worker.pid)
        parent = own.parent if own is not None else os.getpid()
        root = parent if parent != os.getpid() else None
        # What a copy has under that number, the cells before it may have chosen.
        channel = "" if restored else channel_of(worker.pid)
        try:
            self.monitor.attach(Tree(worker.pid, root, self.spawns, channel=channel))
        except (MonitorFailed, OSError) as failure:
            _cannot_hold(worker, failure)
            return
        if self.spawns:
            worker.allow_forks(self.monitor.may_fork)
        if restored and not self._supervisor.busy:  # Else the end of the request does it.
            self.copies.restored()

    def follow(self, rights: Rights, running: Mapping[str, Limit]) -> None:
        """Called when other rights hold: at the start, and after each change.

        `running` are the limits of the cell that runs, if one does, which may be lower. Raises
        `MonitorFailed` when the operating system does not let us move a wall.
        """
        self.spawns = rights.spawn
        self.copies.follow(rights)
        self.monitor.turns.yields_after = rights.yields_after
        self.monitor.change_session(rights.session_limits)
        if self.monitor.standing == rights.limits and self.monitor.limits == running:
            return  # As nearly always.
        self.monitor.change(rights.limits, running)
        self.outer_wall.hold(rights.limits)
        caps = _caps(running)
        if caps != self._caps:
            self._caps = caps
            self._supervisor.gate.raise_limit(caps)

    def join(self, kernels: PersonsKernels | None, why_not: str) -> None:
        """Called at the start: this kernel's place among those of the person."""
        session = self._supervisor.session
        if kernels is not None and session is not None:
            self.monitor.join(kernels, session.rights.person_limits)
        elif why_not:
            self._supervisor.warn(why_not)

    def begin(self, request: Incoming) -> None:
        """Called before a request goes to the worker; a cell's metadata may lower its limits."""
        self.copies.before_request(self._clock())
        session, narrowed = self._supervisor.session, None
        if session is not None and "sandbox" in request.metadata:
            narrowed = session.for_cell(request.metadata["sandbox"]).limits
        self._tail, self._full = OutputTail(), None
        self._put_out += self._output_of_cell()
        self._received = self._received_bytes()
        if request.type == "execute_request":
            limits = self.monitor.limits if narrowed is None else narrowed
            self._caps = _caps(limits)
            self._supervisor.gate.begin_cell(request.id, self._caps)
        else:
            self._put_out -= self._output_of_cell()
        self.monitor.begin_cell(narrowed)

    def not_shown(self, kind: str, content: dict[str, Any]) -> None:
        """Called for output that the gate is going to drop, because the cell's limit is used up."""
        if kind == "stream":
            self._tail.add(content)
        received = self._received_bytes()
        since, before = self._full = self._full or (self._clock(), received)
        if received - before > _FLOOD:
            self.monitor.look_at_once(since)

    def last_part(self, run: CellRun) -> list[tuple[str, dict[str, Any]]]:
        """Called when a request ends: what is still to be shown of output that was cut.

        The end of what was printed and the error, for which the gate is given a little room.
        """
        gate = self._supervisor.gate
        shown = [("stream", {"name": n, "text": text}) for n, text in self._tail.take()]
        if gate.exceeded is None or not run.is_cell:
            return []
        if run.error is not None:
            shown.append(("error", run.error))
        gate.raise_limit(_with_room(_caps(self.monitor.limits), gate.used))
        return shown

    def committed(self, size: int, files: int) -> None:
        """Called when what a cell staged has reached the host: bytes and new files."""
        self._written += size
        self._new_files += files

    def may_end(self) -> bool:
        """Called when the worker says that a request is over; False when it is killed for it."""
        return not self.monitor.look_at_end()

    def end(self, run: CellRun) -> None:
        """Called when a request is over, however it ended."""
        count = run.count if run.is_cell and run.stores_history else None
        self.copies.request_over(run.request.type, self.monitor.end_cell(), count)

    def interrupted(self) -> None:
        """Called for each interrupt that the person sends."""
        self.monitor.interrupted()

    def asks_person(self, asks: bool) -> None:
        """Called when a cell begins to wait for a person's answer, and when it has it."""
        self.monitor.waits_for_person(asks)

    def explained(self, content: dict[str, Any]) -> dict[str, Any]:
        """An error's content; where a limit caused it, with limit, use, origin and remedy."""
        name, value = content.get("ename"), content.get("evalue")
        trace = content.get("traceback")
        if not isinstance(name, str) or not isinstance(value, str) or not isinstance(trace, list):
            return content
        found = self.monitor.explain(name, value)
        if found is None:
            return content
        limit, note = found
        self.event("limit", {"limit": limit, "text": note, "refused": True, "at": self._clock()})
        return {
            **content,
            "evalue": f"{value.rstrip('.')}. {note}" if value else note,
            "traceback": [*trace, f"\x1b[33m{note}\x1b[39m"],
        }

    def worker_gone(self, reason: str) -> tuple[str, str] | None:
        """Called when a worker has ended; gives name and text of the error for its request.

        None when it was ended so that its copy goes on without what cells had left running.
        """
        ended = self.monitor.force.take_ended()
        on_purpose = self.copies.worker_gone()
        self.monitor.detach()
        if on_purpose:
            return None
        if ended is not None:
            self.event("killed", {"reason": ended.text, "at": self._clock()})
            return ended.name, ended.text
        text = f"The cell's process ended: {reason}."
        self.event("killed", {"reason": reason, "at": self._clock()})
        return "WorkerDied", text

    def check_change(self, wanted: Mapping[str, object]) -> None:
        """Called before limits are changed live. Raises `LimitDenied` for one that cannot be."""
        if "scratch" in wanted and self._scratch is not None and self._scratch.own_file_system:
            raise LimitDenied(
                "limits.scratch: its file system has the size that it was made with. Ask for more "
                "in the notebook's metadata and restart the kernel."
            )

    def close(self) -> None:
        """Called when the kernel ends."""
        self.copies.close()
        self.monitor.close()

    def status(self) -> dict[str, Any]:
        """Part of the answer to `status`: use and limits. Never raises: a failure is told in it."""
        try:
            self._count_open_files()
            self.monitor.look()
        except (MonitorFailed, OSError) as failure:
            return {**self._numbers(), "monitor": str(failure)}
        return self._numbers()

    def _numbers(self) -> dict[str, Any]:
        return {
            **self.monitor.usage(),
            "outer_wall": self.outer_wall.words,
            **self.copies.status(),
            "reached": dict(self.monitor.force.counts),
        }

    def usage_reply(self) -> dict[str, Any]:
        """Content of `usage_reply`, about the worker; what could not be measured is left out."""
        worker = self._supervisor.worker
        pid = worker.pid if worker is not None else 0
        try:
            return self._usage.content(self.monitor.look(), pid)
        except MonitorFailed as failure:
            _log.error("usage: %s", failure)
            return self._usage.unknown(pid)

    # -- called by the monitor

    def tell_cell(self, limit: str, text: str, used: float, allowed: float) -> None:
        """Raise `LimitExceeded` in the cell."""
        worker = self._supervisor.worker
        if worker is not None:
            worker.send(Breach(limit, text, used, allowed, not self._supervisor.busy))
            worker.urge()

    def kill_cell(self, why: str) -> None:
        """End the worker."""
        worker = self._supervisor.worker
        if worker is not None:
            worker.kill(why)

    def drop_copy(self, why: str) -> None:
        """Give the dormant copy up."""
        self.copies.snapshots.discard(why)

    def looked(self, sample: Sample) -> None:
        """Called for each look while a request runs. Raises `MonitorFailed`."""
        self.copies.snapshots.looked(sample)

    def event(self, kind: str, body: dict[str, Any]) -> None:
        """Tell all clients."""
        self._supervisor.event(kind, body)

    # -- meters

    def _output(self) -> float:
        return self._put_out + self._output_of_cell()

    def _output_of_cell(self) -> float:
        """Bytes that the gate let through, and beyond its limit all that arrived."""
        gate = self._supervisor.gate
        if gate.exceeded is None:
            return float(gate.used)
        return max(gate.used + 1.0, self._received_bytes() - self._received)

    def _received_bytes(self) -> float:
        worker = self._supervisor.worker
        return 0.0 if worker is None else float(worker.received_bytes)

    def _received_messages(self) -> float:
        worker = self._supervisor.worker
        return 0.0 if worker is None else float(worker.received_messages)

    def _scratch_bytes(self) -> float:
        """What is staged beyond its room counts as scratch: it is disk that the cell fills."""
        doors = self._supervisor.doors
        return self._scratch_use().bytes + (0 if doors is None else doors.staged_beyond())

    def _scratch_use(self) -> Use:
        return Use() if self._scratch is None else self._scratch.look(self._clock())

    @staticmethod
    def _clock() -> float:
        return asyncio.get_running_loop().time()

    def _count_open_files(self) -> None:
        """Only for `status`: the wall is exact, and a look costs as much as there are files."""
        worker = self._supervisor.worker
        if worker is not None:
            try:
                self._open_files = float(len(os.listdir(f"/proc/{worker.pid}/fd")))
            except (FileNotFoundError, ProcessLookupError):
                self._open_files = 0.0


def _cannot_hold(worker: WorkerProcess, failure: Exception) -> None:
    _log.error("the limits cannot be set: %s", failure)
    worker.kill(f"its limits could not be set: {failure}")


def _caps(limits: Mapping[str, Limit]) -> OutputCaps:
    """What the gate may let through of one cell."""
    output = limits.get("output")
    return OutputCaps(
        output=_most(output),
        output_text="unlimited" if output is None else str(output.amount),
        messages=_most(limits.get("messages")),
        displays=_most(limits.get("displays")),
    )


def _most(limit: Limit | None) -> int:
    return _NO_CAP if limit is None or math.isinf(limit.value) else int(limit.value)


def _with_room(caps: OutputCaps, used: int) -> OutputCaps:
    return replace(
        caps, output=used + _LAST_ROOM, messages=_NO_CAP, outputs=_NO_CAP, comm_messages=_NO_CAP
    )
