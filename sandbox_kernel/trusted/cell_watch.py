"""Between the supervisor and the limits: what begins, ends, floods, dies, and what is said then.

The supervisor calls the methods at the few places where something happens to a request or to a
worker; everything about limits is decided behind them.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..policy.rights import Limit, Rights
from ..shared.messages import Breach, CopyTaken
from .limits.monitor import Monitor
from .limits.sampling import MonitorFailed, Sample, Tree, read_process
from .limits.usage import UsageReply
from .snapshots import Snapshots

if TYPE_CHECKING:
    from .supervisor import Supervisor
    from .worker_process import Generation, WorkerProcess

_log = logging.getLogger(__name__)

#: Requests after which variables may be others than before.
_CHANGES_VARIABLES = frozenset({"execute_request", "comm_open", "comm_msg", "comm_close"})


class CellWatch:
    """Watches the cells of one supervisor."""

    def __init__(self, supervisor: Supervisor) -> None:
        """Without any limit; `follow` brings those of a policy."""
        self._supervisor = supervisor
        self.monitor = Monitor(self, {})
        self.monitor.count("output", self._received_bytes)
        self.monitor.count("messages", self._received_messages)
        self.monitor.count("open_files", self._open_files)
        #: Whether cells may start processes of their own (the policy's `processes.spawn`).
        self.spawns = False
        self._usage = UsageReply()
        self.snapshots = Snapshots(self._protection)
        self._faults = 0

    # -- called by the supervisor

    def worker_ready(self, worker: WorkerProcess, *, restored: bool = False) -> None:
        """Called when a worker has come up, fresh or as a copy that has taken over."""
        own = read_process(worker.pid)
        parent = own.parent if own is not None else os.getpid()
        root = parent if parent != os.getpid() else None
        try:
            self.monitor.attach(Tree(worker.pid, root, self.spawns))
        except MonitorFailed as failure:
            _log.error("the limits cannot be set: %s", failure)
            worker.kill(f"its limits could not be set: {failure}")
            return
        if restored and not self._supervisor.busy:  # Else the end of the request does it.
            self._take_copy(worker)

    def follow(self, rights: Rights) -> None:
        """Called when other rights hold: at the start, and after each change.

        Raises `MonitorFailed` when the operating system does not let us move a wall.
        """
        self.spawns = rights.spawn
        self.snapshots.rule.mode = rights.snapshots
        self.snapshots.rule.budget = rights.snapshot_budget
        self.monitor.change_session(rights.session_limits)
        self.monitor.change(rights.limits)

    def begin(self, narrowed: Mapping[str, Limit] | None = None) -> None:
        """Called before a request goes to the worker; `narrowed` are limits of this cell alone."""
        self.monitor.begin_cell(narrowed)

    def end(self, request_type: str) -> None:
        """Called when a request is over, however it ended."""
        self.monitor.end_cell()
        worker = self._supervisor.worker
        if worker is not None and not worker.gone and request_type in _CHANGES_VARIABLES:
            self._take_copy(worker)

    def _take_copy(self, worker: WorkerProcess) -> None:
        try:
            sample = self.monitor.look()
            self.snapshots.request_over(sample)
        except MonitorFailed as failure:
            _log.error("no copy of the worker: %s", failure)
            self.snapshots.discard(f"the monitor failed: {failure}")
            return
        self._faults = sample.faults
        limit = self.monitor.limits.get("memory")
        self.snapshots.order(worker, sample.memory, math.inf if limit is None else limit.value)

    def on_copy_taken(self, message: CopyTaken) -> None:
        """Called for the worker's answer to an order for a copy."""
        worker = self._supervisor.worker
        if worker is not None:
            self.snapshots.on_taken(worker, message)

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
        self.event("limit", {"limit": limit, "text": note})
        return {
            **content,
            "evalue": f"{value.rstrip('.')}. {note}" if value else note,
            "traceback": [*trace, f"\x1b[33m{note}\x1b[39m"],
        }

    def worker_gone(self, reason: str) -> tuple[str, str]:
        """Called when a worker has ended; gives name and text of the error for its request."""
        ended = self.monitor.take_ended()
        self.monitor.detach()
        if ended is not None:
            self.event("killed", {"reason": ended.text})
            return ended.name, ended.text
        text = f"The cell's process ended: {reason}."
        self.event("killed", {"reason": reason})
        return "WorkerDied", text

    async def wake_copy(self, worker: WorkerProcess) -> Generation | None:
        """Called when a worker has died: the generation that goes on, if there is a copy."""
        woken = await self.snapshots.wake()
        if woken is None:
            return None
        generation = worker.hand_over()
        generation.adopt(
            woken.pid,
            woken.number_inside,
            woken.pidfd,
            woken.channel,
            woken.stdout_fd,
            woken.stderr_fd,
        )
        return generation

    def kept(self, lost: tuple[str, ...]) -> str:
        """Called when a copy has taken over: what is back and what is not."""
        self.event("restored", {"lost": list(lost)})
        given_up = f", {', '.join(lost)[:200]}" if lost else ""
        return (
            "All variables from before this cell are back. Not kept: what the cell did to them, "
            f"connections and threads{given_up}. What it did to granted files stays done."
        )

    def lost(self, why: str = "") -> str:
        """Called when a fresh worker takes the place of a dead one: what is gone, and why."""
        return (
            f"Its variables are gone: there was no copy of them ({why or self.snapshots.why}). "
            "A fresh process takes the next cell."
        )

    def close(self) -> None:
        """Called when the kernel ends."""
        self.monitor.close()
        self.snapshots.close()

    def status(self) -> dict[str, Any]:
        """Part of the answer to `status`: use and limits. Never raises: a failure is told in it."""
        try:
            self.monitor.look()
        except MonitorFailed as failure:
            return {**self._numbers(), "monitor": str(failure)}
        return self._numbers()

    def _numbers(self) -> dict[str, Any]:
        snapshots = self.snapshots
        return {
            **self.monitor.usage(),
            "protected": snapshots.protected,
            "unprotected_because": snapshots.why,
            "copies_made": snapshots.made,
            "copies_woken": snapshots.woken,
            "reached": dict(self.monitor.counts),
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
            worker.send(Breach(limit, text, used, allowed))
            worker.urge()

    def kill_cell(self, why: str) -> None:
        """End the worker."""
        worker = self._supervisor.worker
        if worker is not None:
            worker.kill(why)

    def drop_copy(self, why: str) -> None:
        """Give the dormant copy up."""
        self.snapshots.discard(why)

    def looked(self, sample: Sample) -> None:
        """Called for each look while a request runs. Raises `MonitorFailed`."""
        self.snapshots.looked(sample)

    def _protection(self, protected: bool, why: str) -> None:
        """Called when the session is protected by a copy from now on, or is not any more."""
        if self.monitor.tree is not None:
            self.monitor.tree.copy = self.snapshots.copy_pid
            self.monitor.tree.copied_at = self._faults
        self.event("protected", {"protected": protected, "why": why})

    def event(self, kind: str, body: dict[str, Any]) -> None:
        """Tell all clients."""
        self._supervisor.event(kind, body)

    # -- meters

    def _received_bytes(self) -> float:
        worker = self._supervisor.worker
        return 0.0 if worker is None else float(worker.received_bytes)

    def _received_messages(self) -> float:
        worker = self._supervisor.worker
        return 0.0 if worker is None else float(worker.received_messages)

    def _open_files(self) -> float:
        return 0.0
