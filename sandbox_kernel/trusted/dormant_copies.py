"""When the worker's dormant copies are made, and who goes on when the worker has died.

A copy is due at the end of each request that may have changed variables. It is ordered when the
kernel has been idle for `ORDER_AFTER`, or before the next request, whichever comes first: the reply
does not wait for it, and no cell runs without it unless too many came at once
(`snapshot_rules.Pace`). Until then the one of before is there and of no
use: it stands for what was before the request that has just ended well.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..policy.rights import Rights
from ..shared.messages import CopyTaken
from .limits.monitor import Monitor
from .limits.sampling import MonitorFailed, Sample
from .limits.tree import Tree, end_children
from .snapshots import Snapshots

if TYPE_CHECKING:
    from .supervisor import Supervisor
    from .worker_process import Generation, WorkerProcess

_log = logging.getLogger(__name__)

#: Seconds of idleness after which a copy that is due is ordered: the reply is on its way by then.
ORDER_AFTER = 0.001
#: Seconds for the worker to be alone after a cell, where the policy wants that.
_SETTLE_TIME = 10.0
#: Requests after which variables may be others than before.
_CHANGES_VARIABLES = frozenset({"execute_request", "comm_open", "comm_msg", "comm_close"})


class DormantCopies:
    """The copies of one supervisor's workers."""

    def __init__(self, supervisor: Supervisor, monitor: Monitor) -> None:
        """`monitor` counts what copies use."""
        self._supervisor = supervisor
        self._monitor = monitor
        self.snapshots = Snapshots(self._protection, self._sleeps)
        self._due: Sample | None = None
        #: What the copy that has taken over knows nothing of; see `Snapshots.lacks`.
        self._lacked: list[int | None] = []
        #: Execution count of the request after which that copy is due, if it has one.
        self._count: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._dead_tree: Tree | None = None
        #: Words for what cells left running in a worker that its copy is taking the place of.
        self._runs_on = ""
        self._settling: asyncio.TimerHandle | None = None

    def follow(self, rights: Rights) -> None:
        """Called when other rights hold."""
        self.snapshots.rule.mode = rights.snapshots
        self.snapshots.rule.budget = rights.snapshot_budget
        self.snapshots.alone = rights.background == "ended"

    # -- making one

    def restored(self) -> None:
        """Called when a copy has taken over between two requests: it needs one of its own."""
        self._request_over(None)
        self.order_now()

    def request_over(self, request_type: str, sample: Sample | None, count: int | None) -> None:
        """Called when a request has ended; `sample` is what the worker uses now, if it is known.

        `count` is its execution count; None for one that does not count.
        """
        worker = self._supervisor.worker
        if worker is not None and not worker.gone and request_type in _CHANGES_VARIABLES:
            self._request_over(sample, count)

    def _request_over(self, sample: Sample | None, count: int | None = None) -> None:
        try:
            # A worker that has taken over was not looked at when the request began.
            sample = sample or self._monitor.look()
            self.snapshots.request_over(sample)
        except MonitorFailed as failure:
            _log.error("no copy of the worker: %s", failure)
            self.snapshots.discard(f"the monitor failed: {failure}")
            return
        self._due, self._count = sample, count
        if self.snapshots.alone:
            self.order_now()  # Requests wait for it.
        else:
            loop = asyncio.get_running_loop()
            delay = max(ORDER_AFTER, self.snapshots.wait(sample.clock))
            self._timer = loop.call_later(delay, self.order_now)

    def before_request(self, now: float) -> None:
        """Called before each request: the copy that is due is ordered, unless it is too early."""
        if self._due is not None and self.snapshots.wait(now) > 0:
            self.snapshots.leave_out(self._count)
            self._forget_order()
        else:
            self.order_now()

    def order_now(self) -> None:
        """Order the copy that is due, if one is."""
        sample, worker = self._due, self._supervisor.worker
        self._forget_order()
        if sample is None or worker is None or worker.gone:
            return
        tree = self._monitor.tree
        try:
            if tree is not None and not tree.spawns and (ended := end_children(tree)):
                _log.info("%d processes that nobody ordered were ended", ended)
        except MonitorFailed as failure:
            _log.error("no copy of the worker: %s", failure)
            self.snapshots.discard(f"the monitor failed: {failure}")
            return
        limit = self._monitor.limits.get("memory")
        allowed = math.inf if limit is None else limit.value
        ordered = self.snapshots.order(worker, sample, allowed)
        if tree is not None:
            tree.awaits(ordered, asyncio.get_running_loop().time(), sample.faults)
        if ordered and self.snapshots.alone:
            self._hold_requests(worker)

    def _forget_order(self) -> None:
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def on_taken(self, message: CopyTaken) -> None:
        """Called for the worker's answer to an order for a copy."""
        if self._monitor.tree is not None:
            self._monitor.tree.answered()
        worker = self._supervisor.worker
        if worker is None or not self.snapshots.on_taken(worker, message):
            return
        if not self.snapshots.alone:
            return
        if not message.runs_on:
            self._runs_on = ""
            self._stop_settling()
            self._supervisor.queue.next()
            return
        if self._runs_on:
            # The copy is no better: then nobody keeps the variables.
            self.snapshots.discard("something ran on in the copy too")
        self._runs_on = message.runs_on[:300]
        self._supervisor.event("ended", {"left_running": self._runs_on})
        worker.kill(f"cells had left {self._runs_on} running")

    def _sleeps(self, pid: int | None) -> None:
        """Called for each new copy, and when there is none any more: the monitor counts it."""
        if self._monitor.tree is not None:
            self._monitor.tree.copy_is(pid)

    def _protection(self, protected: bool, why: str) -> None:
        """Called when the session is protected by a copy from now on, or is not any more."""
        self._supervisor.event("protected", {"protected": protected, "why": why})

    # -- where nothing may go on after its cell

    def _hold_requests(self, worker: WorkerProcess) -> None:
        """No request reaches the worker before what the last one left running has ended."""

        def give_up() -> None:
            worker.kill("what its cells left running could not be ended")

        self._stop_settling()
        self._settling = asyncio.get_running_loop().call_later(_SETTLE_TIME, give_up)

    def _stop_settling(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None

    @property
    def settling(self) -> bool:
        """True while it is not known yet that the worker is alone with its variables."""
        return self._settling is not None

    # -- taking over

    def worker_gone(self) -> bool:
        """Called when a worker has ended; True when that was to end what cells left running."""
        self._dead_tree = self._monitor.tree
        self._forget_order()
        self._stop_settling()
        return bool(self._runs_on)

    async def wake(self, worker: WorkerProcess) -> Generation | None:
        """Called when a worker has died: the generation that goes on, if there is a copy."""
        woken = await self.snapshots.wake()
        self._lacked = self.snapshots.lacks
        self._end_what_it_started(None if woken is None else woken.pid)
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

    def _end_what_it_started(self, copy: int | None) -> None:
        """Processes of a dead worker go with it; its copy does not."""
        tree, self._dead_tree = self._dead_tree, None
        if tree is not None:
            tree.copy = copy
            try:
                end_children(tree)
            except MonitorFailed as failure:
                _log.error("after the end of a worker: %s", failure)

    def kept(self, lost: tuple[str, ...]) -> str:
        """Called when a copy has taken over: what is back and what is not."""
        missing = [count for count in self._lacked if count is not None]
        self._supervisor.event("restored", {"lost": list(lost), "lacks": missing})
        given_up = f", {', '.join(lost)[:200]}" if lost else ""
        if self._lacked:
            back = f"The variables are back as they were {_before(self._lacked)}. "
            back += "Not kept: what was done"
        else:
            back = "All variables from before this cell are back. Not kept: what the cell did"
        return (
            f"{back} to them, connections and threads{given_up}. What it did to granted files "
            "stays done."
        )

    def lost(self, why: str = "") -> str:
        """Called when a fresh worker takes the place of a dead one: what is gone, and why."""
        return (
            f"Its variables are gone: there was no copy of them ({why or self.snapshots.why}). "
            "A fresh process takes the next cell."
        )

    # -- numbers, end

    def status(self) -> dict[str, Any]:
        """Part of the answer to `status`."""
        snapshots = self.snapshots
        behind = snapshots.protected and bool(snapshots.lacks)
        why = f"the copy is one of {_before(snapshots.lacks)}" if behind else snapshots.why
        return {
            "protected": snapshots.protected and not behind,
            "unprotected_because": why,
            "copies_made": snapshots.made,
            "copy_seconds": snapshots.seconds,
            "copies_woken": snapshots.woken,
        }

    def close(self) -> None:
        """Called when the kernel ends."""
        self._forget_order()
        self._stop_settling()
        self.snapshots.close()


def _before(lacks: Sequence[int | None]) -> str:
    """Words for the time for which a copy stands that lacks these requests."""
    counts = [count for count in lacks if count is not None]
    if not counts:
        return "before the last messages of widgets, which came too fast for a copy after each"
    first, last = counts[0], counts[-1]
    cells = f"cell [{first}]" if first == last else f"cells [{first}] to [{last}]"
    return (
        f"before {cells}, which came too fast for a copy after each: run {cells} again where their "
        "results matter"
    )
