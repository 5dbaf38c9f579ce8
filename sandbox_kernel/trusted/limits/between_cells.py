"""What cells have left behind is watched between them, too: a slow look, and few rules.

| what | is held to | then |
|---|---|---|
| children, where cells may have some | the CPU time of one cell | they are ended |
| threads, children | `yields_after` | they let everybody else's go first |
| threads | the CPU time of one cell | they are told; the worker ends after the grace |
| memory | the limit, or what the last cell left above it | the copy goes, then the worker ends |
| processes that nobody ordered | none may be there | they are ended |
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .escalation import Escalation
from .sampling import MonitorFailed, Sample
from .table import BY_NAME
from .tree import end_children
from .verdict import Reached, exceeded

if TYPE_CHECKING:
    from .monitor import Monitor

#: Seconds between two looks, and until the first one, or while a copy is being made.
PERIOD, FIRST = 1.0, 0.05
#: Processors' worth of work from which threads that were told to stop have not stopped.
_STILL_BUSY = 0.5


class BetweenCells:
    """One pause between two cells of the kernel that `monitor` watches."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._begin: Sample | None = None
        self._escalation = Escalation()

    def look(self) -> float | None:
        """Look once; seconds until the next time, or None when the worker was ended."""
        monitor = self._monitor
        tree = monitor.tree
        if tree is None:
            return None
        try:
            if not tree.awaited and not tree.spawns:
                end_children(tree)
            sample = monitor.look()
            sample = monitor.watch_copy(sample, self._begin or sample)
            monitor.turns.give_way(tree, sample, self._begin or sample)
        except MonitorFailed as failure:
            monitor.force.kill_unmeasured(failure, "between two cells")
            return None
        begin = self._begin = self._begin or sample
        memory = {name: limit for name, limit in monitor.limits.items() if name == "memory"}
        grown = exceeded(sample, begin, memory, {}, {})
        if grown is not None and grown.at_once:
            monitor.force.kill_at_once(grown)
            return None
        if self._holds_cpu_time(sample, begin):
            return None
        return FIRST if tree.awaited else PERIOD

    def _holds_cpu_time(self, sample: Sample, begin: Sample) -> bool:
        """True when the worker was ended for it."""
        monitor = self._monitor
        tree, limit = monitor.tree, monitor.limits.get("cpu_time")
        spent = sample.cpu - begin.cpu
        if limit is not None and spent > limit.value and sample.children and tree is not None:
            monitor.force.note("cpu_time")
            monitor.host.event(
                "limit", {"limit": "cpu_time", "ended_processes": end_children(tree)}
            )
            self._begin = None
        elif limit is not None and spent > limit.value:
            reached = Reached(BY_NAME["cpu_time"], spent, limit, "work between two cells")
            if self._escalation.reach(reached, sample.clock):
                monitor.force.tell(reached, sample.clock, begin.clock)
                self._begin = sample
        ends_at = self._escalation.ends_at(monitor.grace)
        if ends_at is not None and sample.clock >= ends_at:
            told = self._begin or sample
            if (sample.cpu - told.cpu) > _STILL_BUSY * (sample.clock - told.clock):
                monitor.force.kill(self._escalation.reached, monitor.grace)
                return True
            self._escalation, self._begin = Escalation(), None
        return False
