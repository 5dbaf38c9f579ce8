"""One look at the worker's processes, from outside: /proc by process id (proc(5)).

A look that fails while the worker lives is `MonitorFailed`, which stops the cell: it is never a
zero. Processes that end in the middle of a look are left out, as they should be.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Seconds that descriptors may be on their way through the worker's sockets, and that the one of
#: an order for a copy may.
_IN_FLIGHT, _ORDERED_IN_FLIGHT = 0.5, 10.0


class MonitorFailed(Exception):
    """Something could not be measured; the text says what and why."""


@dataclass(frozen=True)
class Process:
    """One process: seconds of CPU, bytes of memory; `started` in ticks tells it from a later one
    of the same number.
    """

    pid: int
    parent: int
    started: int
    cpu: float
    faults: int
    threads: int
    anonymous: int
    shared: int
    reserved: int


@dataclass(frozen=True)
class Sample:
    """What was seen at one time.

    `clock` is the monotonic clock in seconds, `waited` those of them that a person took to answer.
    `cpu` adds up over the worker's life. `memory` is in bytes, `reserved` what the worker has
    asked for in its data segments and not touched yet; `copy` is the part of memory that only
    the dormant copy holds, at most. `faults` counts the worker's page faults. `meters` are
    counters kept elsewhere.
    """

    clock: float
    waited: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    reserved: int = 0
    copy: int = 0
    faults: int = 0
    threads: int = 0
    children: int = 0
    meters: Mapping[str, float] = field(default_factory=dict)
    #: What the person's other kernels use, by the names of limits.
    others: Mapping[str, float] = field(default_factory=dict)

    def meter(self, name: str) -> float:
        """A counter kept elsewhere; one that nobody keeps has nothing to count."""
        return self.meters.get(name, 0.0)


def read_process(pid: int) -> Process | None:
    """The process of that id, or None when it has ended.

    Raises `MonitorFailed` when it is there and cannot be read.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read()
        numbers = stat[stat.rindex(b")") + 2 :].split()
        if numbers[0] in (b"Z", b"X") or b"\nVmSize:" not in status:
            return None  # It is ending: its memory is gone already.
        return Process(
            pid=pid,
            parent=int(numbers[1]),
            started=int(numbers[19]),
            cpu=sum(map(int, numbers[11:15])) / _TICK,
            faults=int(numbers[7]),
            threads=int(numbers[17]),
            anonymous=_kilobytes(status, b"RssAnon:"),
            shared=_kilobytes(status, b"RssShmem:"),
            reserved=_kilobytes(status, b"VmData:"),
        )
    except (FileNotFoundError, ProcessLookupError):
        return None
    except (OSError, ValueError, IndexError) as error:
        if not os.path.exists(f"/proc/{pid}/fd"):
            return None
        raise MonitorFailed(f"process {pid} cannot be measured: {error!r}") from error


def number_inside(pid: int) -> int:
    """The number of process `pid` in its own pid namespace (proc(5), NSpid); 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(text.split(b"NSpid:", 1)[1].split(b"\n", 1)[0].split()[-1])


def _kilobytes(status: bytes, label: bytes) -> int:
    start = status.find(b"\n" + label)
    if start < 0:
        raise ValueError(f"no {label.decode()} in its status")
    return int(status[start + 1 + len(label) :].split(None, 1)[0]) * 1024


def proportional(pid: int) -> int:
    """Bytes of anonymous and shared memory, each page divided by those who map it; 0 at its end.

    Takes about 2 ms for a gigabyte, so it is asked for only near the limit.
    """
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            text = file.read()
        return _kilobytes(text, b"Pss_Anon:") + _kilobytes(text, b"Pss_Shmem:")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except (OSError, ValueError) as error:
        raise MonitorFailed(f"the memory of process {pid} cannot be measured: {error!r}") from error


def alone(pid: int) -> int:
    """Bytes of memory that this process alone holds; 0 at its end."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            text = file.read()
        return _kilobytes(text, b"Private_Dirty:") + _kilobytes(text, b"Private_Clean:")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    except (OSError, ValueError) as error:
        raise MonitorFailed(f"the memory of process {pid} cannot be measured: {error!r}") from error


def below(roots: Iterable[int]) -> list[Process]:
    """All living processes below `roots`, which are not among them. Raises `MonitorFailed`."""
    family = set(roots)
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal() and int(name) not in family:
            children.setdefault(_parent(name), []).append(int(name))
    found: list[Process] = []
    pending = list(family)
    while pending:
        for pid in children.get(pending.pop(), ()):
            pending.append(pid)
            process = read_process(pid)
            if process is not None:
                found.append(process)
    return found


@dataclass(frozen=True)
class Held:
    """What processes hold by their descriptors: see `held`."""

    bytes: int = 0
    in_flight: int = 0


def held(pids: Iterable[int]) -> Held:
    """Bytes of the files in memory (memfd_create(2)) that these processes have open, and how many
    descriptors are on their way through their Unix sockets.

    What is written to such a file and not mapped is in no count of a process; a descriptor that was
    sent and not received is in nobody's table (`scm_fds`, proc_pid_fdinfo(5)).
    """
    found: dict[int, int] = {}
    in_flight: dict[str, int] = {}
    for pid in pids:
        try:
            names = os.listdir(f"/proc/{pid}/fd")
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError as error:
            raise MonitorFailed(f"what process {pid} has open cannot be told: {error}") from error
        for name in names:
            try:
                target = os.readlink(f"/proc/{pid}/fd/{name}")
                if target.startswith("/memfd:"):
                    status = os.stat(f"/proc/{pid}/fd/{name}")
                    found[status.st_ino] = status.st_blocks * 512
                elif target.startswith("socket:"):
                    with open(f"/proc/{pid}/fdinfo/{name}", "rb") as file:
                        _, label, rest = file.read().partition(b"scm_fds:")
                    in_flight[target] = int(rest.split(None, 1)[0]) if label else 0
            except OSError:
                continue  # It was closed meanwhile.
    return Held(sum(found.values()), sum(in_flight.values()))


def mapped_files(pids: Iterable[int]) -> int:
    """Bytes of files in memory that these processes have mapped; asked for only near the limit."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps", "rb") as lines:
                counts = False
                for line in lines:
                    if line[:1] in b"0123456789abcdef":
                        counts = b" /memfd:" in line
                    elif counts and line.startswith(b"Rss:"):
                        total += int(line.split()[1]) * 1024
        except (FileNotFoundError, ProcessLookupError):
            continue
        except (OSError, ValueError) as error:
            text = f"what process {pid} has mapped cannot be told: {error!r}"
            raise MonitorFailed(text) from error
    return total


def started_by(pid: int) -> list[int]:
    """The processes that are children of `pid` now (proc_pid_task_tid_children(5)).

    Raises `MonitorFailed` on a kernel that does not tell.
    """
    found: list[int] = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                found += map(int, file.read().split())
    except (FileNotFoundError, ProcessLookupError) as error:
        if os.path.exists(f"/proc/{pid}/task/{pid}/stat") and not os.path.exists(
            f"/proc/{pid}/task/{pid}/children"
        ):
            raise MonitorFailed(f"children cannot be told: {error}") from error
    return found


def _parent(name: str) -> int:
    """The parent of process `name`; 0 for one that has just ended."""
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split(None, 2)[1])


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


@dataclass
class Tree:
    """The processes of one worker generation.

    `root` is where orphans arrive (the worker's init), when there is such a process. `spawns` says
    whether cells may start processes: only then the whole of /proc is looked at. `copy` is the
    dormant copy's id, and `copied_at` the worker's count of page faults when it was made;
    `awaited` is true while a copy was ordered and is not known yet. `in_flight_since` is the clock
    of the first look since which there were descriptors on their way at each.
    """

    worker: int
    root: int | None = None
    spawns: bool = False
    copy: int | None = None
    copied_at: int = 0
    awaited: bool = False
    in_flight_since: float | None = None

    def children(self) -> list[Process]:
        """The living processes that cells have started, and theirs. Raises `MonitorFailed`."""
        if not self.spawns:
            return []
        roots = [self.worker] if self.root is None else [self.worker, self.root]
        return [p for p in below(roots) if p.pid not in (self.worker, self.copy)]

    def strays(self) -> list[Process]:
        """Processes that nobody ordered: a worker may use the fork for its copy otherwise.

        Raises `MonitorFailed`.
        """
        if self.spawns:
            return []
        roots = [self.worker] if self.root is None else [self.worker, self.root]
        known = {self.worker, self.copy}
        try:
            direct = {pid for root in roots for pid in started_by(root)}
            found = [process for pid in direct - known if (process := read_process(pid))]
        except MonitorFailed:
            found = [process for process in below(roots) if process.pid not in known]
        return found

    def count_children(self) -> int:
        """Their number, without a copy that is not known yet. Raises `MonitorFailed`."""
        return max(len(self.children()) - self.awaited, 0)

    def _check_in_flight(self, count: int, clock: float) -> None:
        """What is on its way for long holds memory and files that nobody can count.

        The one that an order for a copy brings along may wait for the worker to read it.
        """
        if count == 0:
            self.in_flight_since = None
            return
        if self.in_flight_since is None:
            self.in_flight_since = clock
        ordered = self.awaited and count == 1
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
    ) -> Sample | None:
        """Look once; None when the worker has ended.

        `near` is the number of bytes from which memory is measured exactly. Raises `MonitorFailed`.
        """
        worker = read_process(self.worker)
        if worker is None:
            return None
        children = self.children()
        memory = sum(p.anonymous + p.shared for p in (worker, *children))
        pids = [p.pid for p in (worker, *children)]
        holds = held(pids)
        self._check_in_flight(holds.in_flight, clock)
        # Mapped ones are in `shared` already, beside what is shared without a file.
        mapped = sum(p.shared for p in (worker, *children))
        if holds.bytes and memory + holds.bytes > near:
            mapped = mapped_files(pids)
        in_files = max(holds.bytes - mapped, 0)
        copied = 0
        copy = read_process(self.copy) if self.copy is not None else None
        if copy is not None:
            # It holds alone at most what it has, and a page for each fault of the worker since.
            copied = min(copy.anonymous, (worker.faults - self.copied_at) * _PAGE)
            if memory + copied > near:
                copied = min(copied, alone(copy.pid))
        if children and memory > near:
            memory = sum(proportional(p.pid) for p in (worker, *children))
        return Sample(
            clock=clock,
            waited=waited,
            # A copy that sleeps uses none.
            cpu=worker.cpu + sum(p.cpu for p in children) + (copy.cpu if copy is not None else 0),
            memory=memory + copied + in_files,
            reserved=max(worker.reserved - worker.anonymous, 0),
            copy=copied,
            faults=worker.faults,
            threads=worker.threads + sum(p.threads for p in children),
            children=max(len(children) - self.awaited, 0),
            meters=meters(),
        )
