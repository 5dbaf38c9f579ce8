"""When a worker runs, and on which processors: within its `cpus`, and behind everybody else's work
when it computes for long.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from ...policy.rights import Limit
from . import walls
from .sampling import Sample
from .tree import Tree


class Turns:
    """Those of one kernel's workers. Its methods raise `MonitorFailed` when the kernel refuses."""

    def __init__(self) -> None:
        #: Seconds of processor time after which a cell gives way to everybody else's.
        self.yields_after = math.inf
        self._gives_way = self._behind = False
        self._processors: frozenset[int] | None = None
        #: Every set that a worker was held to; a copy or a thread may have one of them still.
        self._given: set[frozenset[int]] = set()

    def attach(self, tree: Tree) -> None:
        """A worker came up, or a copy took over."""
        self._gives_way = False
        if not math.isinf(self.yields_after):
            walls.give_way((os.getpid(), tree.worker), gives=False, behind=False)

    def choose(
        self, tree: Tree, limits: Mapping[str, Limit], person: Mapping[str, Limit], place: int
    ) -> None:
        """Hold the worker to the processors that these limits leave it; see `walls.processors`."""
        own = frozenset(os.sched_getaffinity(0))
        self._processors = walls.processors(own, limits, person, place, os.getuid())
        wanted = self._processors or own
        if self._processors is None and not self._given:
            return  # It never had fewer than all.
        for pid in _processes(tree):
            walls.pin(pid, wanted, self._given)
        self._given.add(wanted)

    def hold(self, tree: Tree) -> None:
        """Undo what threads and processes have chosen beyond their processors."""
        if self._processors is not None:
            for pid in _processes(tree):
                walls.pin(pid, self._processors)

    def give_way(self, tree: Tree, sample: Sample, begin: Sample) -> None:
        """A cell that computes for long lets everybody else's go first."""
        if self._gives_way or sample.cpu - begin.cpu <= self.yields_after:
            return
        self._gives_way = True
        self._behind = walls.may_return(tree.worker)
        walls.give_way(_processes(tree), gives=True, behind=self._behind)

    def come_back(self, tree: Tree) -> None:
        """The next cell is no longer behind."""
        if self._gives_way:
            walls.give_way(_processes(tree), gives=False, behind=self._behind)
        self._gives_way = False


def _processes(tree: Tree) -> list[int]:
    return [tree.worker, *(process.pid for process in tree.children())]
