"""The processes of one worker generation, and what they use together.

| process | who may make it | what counts |
|---|---|---|
| worker | the launcher | all of it |
| children | cells, where the policy's `processes` lets them | all of them |
| dormant copy | the worker, by the one fork that is ordered | memory that only it has, CPU time |
| stray | a worker that uses that fork otherwise | as of a copy, until it is ended |

A copy that says that it sleeps and then runs on is given up: whoever sleeps has no page faults and
uses no CPU time. Nothing that it, or the worker, says is needed for that.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from .sampling import (
    MonitorFailed,
    Process,
    Sample,
    alone,
    below,
    held,
    mapped_files,
    proportional,
    read_process,
)

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Seconds that descriptors may be on their way through the worker's sockets, and that the one of
#: an order for a copy may.
_IN_FLIGHT, _ORDERED_IN_FLIGHT = 0.5, 10.0
#: Seconds that the worker may take for a copy that was ordered; then its fork is a stray. A busy
#: machine keeps an honest one waiting too, and what the fork uses counts meanwhile.
AWAITED = 10.0
#: Bytes that a copy writes to until it sleeps, about; what counts before it is looked at closely.
_FALLING_ASLEEP = 4_000_000
#: Seconds of CPU time that a copy may take from its word that it sleeps until it does.
_FALLS_ASLEEP = 0.1


@dataclass
class _Fork:
    """What is known of a process that shares its memory with the worker that it was forked from.

    `own` and `worker` are the counts of page faults of both when it was last looked at closely;
    then it held `held` bytes alone.
    """

    worker: int
    own: int = 0
    held: int = 0
    cpu: float = 0.0
    #: CPU time when it was first seen; CPU time and faults when it was first seen asleep.
    first_cpu: float | None = None
    asleep: tuple[float, int] | None = None
    runs: bool = False

    def falls_asleep(self) -> None:
        """From now on it is to do nothing."""
        self.first_cpu = self.asleep = None

    def look(self, process: Process, worker: Process) -> None:
        """Look closely. Raises `MonitorFailed`."""
        now = (process.cpu, process.faults)
        if process.faults != self.own:
            # Each of its own faults may have made a page of any size, so these are measured.
            self.own, self.worker = process.faults, worker.faults
            self.held = alone(process.pid) + held([process.pid]).bytes
        if self.first_cpu is None:
            self.first_cpu = process.cpu
        if self.asleep is None and process.state == "S":
            self.asleep = now
        if self.asleep is None:
            self.runs = process.cpu - self.first_cpu > _FALLS_ASLEEP
        else:
            self.runs = self.asleep != now
        self.cpu = process.cpu

    def most_held(self, worker: Process) -> int:
        """Bytes that it alone holds, at most: each fault of the worker may have copied a page."""
        return self.held + max(worker.faults - self.worker, 0) * _PAGE


@dataclass
class Tree:
    """The processes of one worker generation.

    `root` is where orphans arrive (the worker's init), when there is such a process. `spawns` says
    whether cells may start processes: only then the whole of /proc is looked at. `copy` is the
    dormant copy's id. `channel` is the worker's end of its channel, where that is known for sure.
    """

    worker: int
    root: int | None = None
    spawns: bool = False
    copy: int | None = None
    channel: str = ""
    #: Whether a copy was ever ordered: before, nothing was forked.
    _ordered: bool = False
    #: When the one was ordered that is not known yet.
    _awaited_since: float | None = None
    _faults_at_fork: int = 0
    #: Orders that the worker has not answered: each lies in its channel with a descriptor of ours.
    _orders: int = 0
    #: When there were first descriptors on their way, of the looks that all saw some.
    in_flight_since: float | None = None
    _forks: dict[int, _Fork] = field(default_factory=dict)
    _cpu_of_ended: float = 0.0
    #: Copies of before, which were killed and may take a while to be gone.
    _ended: deque[int] = field(default_factory=lambda: deque(maxlen=4))

    # -- the copy

    def awaits(self, ordered: bool, clock: float, faults: int) -> None:
        """A copy was ordered, at a worker with that count of page faults; or none is wanted."""
        self._ordered |= ordered
        self._orders += ordered
        self._awaited_since = clock if ordered else None
        self._faults_at_fork = faults

    def answered(self) -> None:
        """The worker has read one order for a copy, whatever came of it."""
        self._orders = max(self._orders - 1, 0)

    def copy_is(self, pid: int | None) -> None:
        """Which one sleeps now; None when there is none and none is awaited."""
        if self.copy is not None and self.copy != pid:
            self._ended.append(self.copy)
        self.copy = pid
        self._awaited_since = None
        if pid in self._forks:  # Until now it had not said that it sleeps.
            self._forks[pid].falls_asleep()

    @property
    def awaited(self) -> bool:
        """True while a copy was ordered and is not known yet."""
        return self._awaited_since is not None

    def overdue(self, clock: float) -> bool:
        """Whether an order was not answered for too long."""
        return self._awaited_since is not None and clock - self._awaited_since > AWAITED

    # -- who there is

    def children(self) -> list[Process]:
        """The living processes that cells have started, and theirs. Raises `MonitorFailed`."""
        if not self.spawns:
            return []
        return [p for p in below(self._roots()) if p.pid not in (self.worker, self.copy)]

    def _roots(self) -> list[int]:
        return [self.worker] if self.root is None else [self.worker, self.root]

    def strays(self) -> list[Process]:
        """Processes that nobody ordered: a worker may use the fork for its copy otherwise.

        Raises `MonitorFailed`.
        """
        if self.spawns:
            return []
        known = {self.worker, self.copy, *self._ended}
        return [process for process in below(self._roots()) if process.pid not in known]

    def count_children(self) -> int:
        """Their number, without a copy that is not known yet. Raises `MonitorFailed`."""
        return max(len(self.children()) - self.awaited, 0)

    # -- what they use

    def _check_in_flight(self, count: int, clock: float) -> None:
        """What is on its way for long holds memory and files that nobody can count.

        Those that orders for a copy bring along may wait for the worker to read them.
        """
        if count == 0:
            self.in_flight_since = None
            return
        if self.in_flight_since is None:
            self.in_flight_since = clock
        ordered = count <= self._orders
        if clock - self.in_flight_since > (_ORDERED_IN_FLIGHT if ordered else _IN_FLIGHT):
            raise MonitorFailed(
                f"{count} descriptors are on their way through sockets and are not received; what "
                "they hold is in no count"
            )

    def sample(
        self,
        clock: float,
        waited: float,
        meters: Callable[[], Mapping[str, float]],
        near: float,
        *,
        closely: bool = True,
    ) -> Sample | None:
        """Look once; None when the worker has ended.

        `near` is the number of bytes from which memory is measured exactly. Without `closely` a
        copy that has changed is measured at the next look. Raises `MonitorFailed`.
        """
        worker = read_process(self.worker)
        if worker is None:
            return None
        children = self.children()
        if closely:
            self._look_at_forks(worker)
        memory = sum(p.anonymous + p.shared for p in (worker, *children))
        pids = [p.pid for p in (worker, *children)]
        holds = held(pids, self.channel)
        self._check_in_flight(holds.in_flight, clock)
        # Mapped ones are in `shared` already, beside what is shared without a file.
        mapped = sum(p.shared for p in (worker, *children))
        if holds.bytes and memory + holds.bytes > near:
            mapped = mapped_files(pids)
        in_files = max(holds.bytes - mapped, 0)
        copied = self._copied(worker)
        if copied and memory + copied > near:
            self._look_at_forks(worker)
            copied = min(copied, sum(alone(pid) for pid in self._forks))
        if children and memory > near:
            memory = sum(proportional(p.pid) for p in (worker, *children))
        copy = self._forks.get(self.copy) if self.copy is not None else None
        return Sample(
            clock=clock,
            waited=waited,
            cpu=worker.cpu
            + sum(p.cpu for p in children)
            + sum(fork.cpu for fork in self._forks.values())
            + self._cpu_of_ended,
            memory=memory + copied + in_files,
            own=worker.anonymous,
            reserved=max(worker.reserved - worker.anonymous, 0),
            copy=copied,
            copy_runs=copy is not None and copy.runs,
            faults=worker.faults,
            threads=worker.threads + sum(p.threads for p in children),
            children=max(len(children) - self.awaited, 0),
            meters=meters(),
        )

    def _look_at_forks(self, worker: Process) -> None:
        """Look at the copy, and at strays where there may be any. Raises `MonitorFailed`."""
        copy = read_process(self.copy) if self.copy is not None else None
        found = [] if copy is None else [copy]
        if self._ordered and (self.awaited or copy is None):
            found += self.strays()
        known, self._forks = self._forks, {}
        for process in found:
            fork = known.get(process.pid) or _Fork(min(self._faults_at_fork, worker.faults))
            fork.look(process, worker)
            self._forks[process.pid] = fork
        self._cpu_of_ended += sum(known[pid].cpu for pid in known.keys() - self._forks.keys())

    def _copied(self, worker: Process) -> int:
        """Bytes that forks of the worker hold alone, at most."""
        most = worker.anonymous + worker.shared
        copied = sum(
            min(fork.most_held(worker), max(most, fork.held)) for fork in self._forks.values()
        )
        if self.copy is not None and self.copy not in self._forks:  # It is new.
            since = max(worker.faults - self._faults_at_fork, 0) * _PAGE
            copied += min(most, since + _FALLING_ASLEEP)
        return copied


def end_children(tree: Tree) -> int:
    """Kill every process of the tree but the worker and its copy; the number of them.

    Signals go through pidfds, and only to what is still below the tree once its pidfd is open.
    """
    count = 0
    for process in (*tree.children(), *tree.strays()):
        try:
            pidfd = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            again = read_process(process.pid)
            if again is not None and again.started == process.started:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                count += 1
        except ProcessLookupError:
            continue
        finally:
            os.close(pidfd)
    return count
