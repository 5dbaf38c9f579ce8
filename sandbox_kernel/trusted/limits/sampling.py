"""One look at the worker's processes, from outside: /proc by process id (proc(5)).

A look that fails while the worker lives is `MonitorFailed`, which stops the cell: it is never a
zero. Processes that end in the middle of a look are left out, as they should be.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

_TICK = os.sysconf("SC_CLK_TCK")
#: How often to look for the children of a process whose threads end meanwhile.
_TRIES = 5
#: Whether the kernel has CONFIG_PROC_CHILDREN.
_TELLS_CHILDREN = os.path.exists(f"/proc/self/task/{os.getpid()}/children")

#: The number of the channel's descriptor in a worker that has just started.
_CHANNEL = 3


class MonitorFailed(Exception):
    """Something could not be measured; the text says what and why."""


@dataclass(frozen=True)
class Process:
    """One process: seconds of CPU, bytes of memory; `started` in ticks tells it from a later one
    of the same number.
    """

    pid: int
    state: str
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
    `cpu` adds up over the worker's life. `memory` is in bytes, `own` the part of it that the worker
    has for itself, and `reserved` what it has asked for in its data segments and not touched yet;
    `copy` is the part of memory that only the dormant copy holds, at most, and `copy_runs` is true
    when it does anything but sleep. `faults` counts the worker's page faults. `meters` are counters
    kept elsewhere.
    """

    clock: float
    waited: float = 0.0
    cpu: float = 0.0
    memory: int = 0
    own: int = 0
    reserved: int = 0
    copy: int = 0
    copy_runs: bool = False
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
            thread = living_thread(pid)
            if thread is None:
                return None  # It is ending: its memory is gone already.
            with open(f"{thread}/status", "rb") as file:
                status = file.read()
        return Process(
            pid=pid,
            state=numbers[0].decode(),
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
    pending = list(roots)
    known = set(pending)
    found: list[Process] = []
    children_of = started_by if _TELLS_CHILDREN else _children_by_parent()
    while pending:
        for pid in children_of(pending.pop()):
            if pid in known:
                continue
            known.add(pid)
            pending.append(pid)
            process = read_process(pid)
            if process is not None:
                found.append(process)
    return found


def _children_by_parent() -> Callable[[int], list[int]]:
    """For a kernel that does not tell children: from a look at every process of the machine."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            children.setdefault(_parent(name), []).append(int(name))
    return lambda pid: children.get(pid, [])


@dataclass(frozen=True)
class Held:
    """What processes hold by their descriptors: see `held`."""

    bytes: int = 0
    in_flight: int = 0


def channel_of(pid: int) -> str:
    """The socket that a worker which has run no cell yet has as its channel, as in /proc/PID/fd."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{_CHANNEL}")
    except OSError:
        return ""


def living_thread(pid: int) -> str | None:
    """The folder in /proc of a thread that has its memory still; None for what is ending or gone.

    The first thread may end before the others: of the whole process /proc/PID tells nothing then.
    Raises `MonitorFailed`.
    """
    for _ in range(_TRIES):
        try:
            threads = os.listdir(f"/proc/{pid}/task")
        except (FileNotFoundError, ProcessLookupError):
            return None
        vanished = False
        for name in threads:
            folder = f"/proc/{pid}/task/{name}"
            try:
                with open(f"{folder}/statm", "rb") as file:
                    pages = int(file.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                vanished = True
                continue
            except (OSError, ValueError, IndexError) as error:
                raise MonitorFailed(f"process {pid} cannot be measured: {error!r}") from error
            if pages:
                return folder
        if not vanished:
            return None
    raise MonitorFailed(f"the threads of process {pid} come and go faster than they can be read")


def held(pids: Iterable[int], spared: str = "") -> Held:
    """Bytes of the files in memory (memfd_create(2)) that these processes have open, and how many
    descriptors are on their way through their Unix sockets.

    What is written to such a file and not mapped is in no count of a process; a descriptor that was
    sent and not received is in nobody's table (`scm_fds`, proc_pid_fdinfo(5)). In `spared`, the
    worker's end of its channel, only the supervisor puts any.
    """
    found: dict[int, int] = {}
    in_flight: dict[str, int] = {}
    for pid in pids:
        folder = f"/proc/{pid}"
        try:
            try:
                names = os.listdir(f"{folder}/fd")
            except PermissionError:
                names = []  # As a rule it is ending: what is left of a process belongs to root.
            if not names:
                thread = living_thread(pid)
                if thread is None:
                    continue
                folder = thread
                names = os.listdir(f"{folder}/fd")
        except (FileNotFoundError, ProcessLookupError):
            continue
        except OSError as error:
            raise MonitorFailed(f"what process {pid} has open cannot be told: {error}") from error
        for name in names:
            try:
                target = os.readlink(f"{folder}/fd/{name}")
                if target.startswith("/memfd:"):
                    status = os.stat(f"{folder}/fd/{name}")
                    found[status.st_ino] = status.st_blocks * 512
                elif target.startswith("socket:") and target != spared:
                    with open(f"{folder}/fdinfo/{name}", "rb") as file:
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
    """The processes that are children of `pid` now; none of one that has ended.

    From proc_pid_task_tid_children(5), which all common kernels have (`_TELLS_CHILDREN`).
    """
    for _ in range(_TRIES):
        found: list[int] = []
        all_there = True
        for task in _names(f"/proc/{pid}/task"):
            try:
                with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                    found += map(int, file.read().split())
            except (FileNotFoundError, ProcessLookupError):
                all_there = False  # It has ended: its children are another thread's now.
        if all_there:
            break
    return found


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _parent(name: str) -> int:
    """The parent of process `name`; 0 for one that has just ended."""
    try:
        with open(f"/proc/{name}/stat", "rb") as file:
            stat = file.read()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat[stat.rindex(b")") + 2 :].split(None, 2)[1])
