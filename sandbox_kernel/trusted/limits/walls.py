"""What the operating system enforces by itself, set on the worker from outside (prlimit(2)).

The worker's filter lets it ask for its limits and change none, so the soft values are walls and can
be moved both ways while it runs. What the kernel does not let us set (another user's process after
a user namespace of its own, for one) is a failure, not something to pass over: without the wall
the limit would only be sampled.
"""

from __future__ import annotations

import math
import os
import re
import resource
from collections.abc import Collection, Iterable, Mapping

from ...policy.rights import Limit
from ._sys_turns import ordinary_turns, short_turns
from .sampling import MonitorFailed

#: Bytes of address space that the worker may have reserved beyond what it uses.
_MOST_RESERVED = 128_000_000
#: Bytes that the C library reserves for a thread's stack, and what goes with it.
_STACK = 8_400_000
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMEXPR_MAX_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
#: Bytes that a process may still map that is to sleep: an allocator may just be at its end.
_ROOM_ASLEEP = 8_000_000
#: Descriptors that the kernel's own side of a worker keeps open.
OWN_DESCRIPTORS = 24


def slack(reserved: int, threads: int) -> int:
    """Bytes that `RLIMIT_DATA` may count beyond the memory that is in use.

    It counts what is reserved and not touched (stacks of threads, arenas of allocators), while the
    policy's limit means memory in use. Bounded, so that nobody reserves now to touch later.
    """
    most = _MOST_RESERVED + _STACK * max(threads - 1, 0)
    return min(reserved, most)


def apply(pid: int, limits: Mapping[str, Limit], slack: int) -> None:
    """Set the resource limits of the worker `pid`; `slack` comes from the function of that name.

    Raises `MonitorFailed` when the kernel refuses. Nothing happens to a process that has ended.
    """
    wanted = {
        resource.RLIMIT_DATA: _value(limits, "memory", slack),
        resource.RLIMIT_NOFILE: _value(limits, "open_files", OWN_DESCRIPTORS),
    }
    if counts_tasks_apart(pid):
        wanted[resource.RLIMIT_NPROC] = _tasks(limits)
    for kind, value in wanted.items():
        try:
            _, hard = resource.prlimit(pid, kind)
            soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
            if value == resource.RLIM_INFINITY:
                soft = hard
            resource.prlimit(pid, kind, (soft, hard))
        except ProcessLookupError:
            return
        except (OSError, ValueError) as error:
            raise MonitorFailed(f"resource limit {kind} of the worker: {error}") from error


def initial(limits: Mapping[str, Limit]) -> dict[str, tuple[int, int]]:
    """Soft and hard values for a worker before it has run anything, by name as in RLIMIT_*.

    The soft ones are the walls until `apply` fits them; the hard ones leave room to raise a limit
    later, which the worker cannot do itself.
    """
    data = _value(limits, "memory", _MOST_RESERVED)
    files = _value(limits, "open_files", OWN_DESCRIPTORS)
    most = limits["open_files"].most.value if "open_files" in limits else math.inf
    ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if ceiling == resource.RLIM_INFINITY:
        ceiling = 1 << 20
    hard = ceiling if math.isinf(most) else min(int(most) + OWN_DESCRIPTORS, ceiling)
    soft = hard if files == resource.RLIM_INFINITY else min(files, hard)
    return {"DATA": (data, resource.RLIM_INFINITY), "NOFILE": (soft, hard)}


def counts_tasks_apart(pid: int) -> bool:
    """Whether RLIMIT_NPROC counts the worker's own tasks, not all of the user's.

    It does in a user namespace of one's own since Linux 5.14 (commit 21d1c5e386bc), and it never
    binds the machine's root.
    """
    release = tuple(int(part) for part in re.findall(r"\d+", os.uname().release)[:2])
    if os.getuid() == 0 or release < (5, 14):
        return False
    try:
        return os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
    except OSError:
        return False  # It has ended, or may not be looked at: then the number is sampled.


def _value(limits: Mapping[str, Limit], name: str, more: int) -> int:
    limit = limits.get(name)
    if limit is None or math.isinf(limit.value):
        return resource.RLIM_INFINITY
    return int(limit.value) + more


def _tasks(limits: Mapping[str, Limit]) -> int:
    """Threads and processes together, with room for the dormant copy and init."""
    threads, processes = (_value(limits, name, 0) for name in ("threads", "processes"))
    if threads == resource.RLIM_INFINITY:
        return resource.RLIM_INFINITY
    return threads + max(processes, 0) + 4


def processors(
    own: Collection[int],
    limits: Mapping[str, Limit],
    person: Mapping[str, Limit],
    place: int,
    user: int,
) -> frozenset[int] | None:
    """On which of the processors `own` the worker runs; None: on all of them. Pure.

    All kernels of a person stay within the `cpus` of the person, and each within its own `cpus` of
    those. Different people (`user` is the user id) and different kernels (`place` is the kernel's
    number among the person's) begin at different ones, so that they do not all meet on the first.
    """
    shared = sorted(own)
    for limit, start in ((person.get("cpus"), user), (limits.get("cpus"), max(place, 0))):
        if limit is not None and limit.value < len(shared):
            number = max(int(limit.value), 1)
            shared = [shared[(start * number + n) % len(shared)] for n in range(number)]
    return frozenset(shared) if len(shared) < len(own) else None


def pin(pid: int, wanted: frozenset[int], given: Collection[frozenset[int]] = ()) -> None:
    """Let every thread of a process run on these processors at most, whatever it has set itself.

    Those that have one of the sets `given` run on all of these again. Raises `MonitorFailed` when
    the kernel refuses.
    """
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            # A thread may choose among the processors that we have (sched_setaffinity(2)).
            now = frozenset(os.sched_getaffinity(int(task)))
            if now != wanted and (now in given or not now <= wanted):
                os.sched_setaffinity(int(task), wanted)
    except (FileNotFoundError, ProcessLookupError):
        return  # It, or one of its threads, has ended: the next look sees the others.
    except OSError as error:
        raise MonitorFailed(f"processors of the worker: {error}") from error


def may_return(pid: int) -> bool:
    """Whether the worker's threads can come back from `give_way` (sched(7), RLIMIT_NICE)."""
    if os.geteuid() == 0:
        return True
    try:
        # 20 - n allows the priority n; 0 is the ordinary one.
        return resource.prlimit(pid, resource.RLIMIT_NICE)[0] >= 20
    except ProcessLookupError:
        return False


def give_way(pids: Iterable[int], *, gives: bool, behind: bool) -> None:
    """Let everybody else's threads run before those of these processes, or no longer.

    `behind` says whether they may go behind all others, from where not everybody may come back
    (`may_return`); else they only lose the short turns that the others have. What they start
    inherits it. Raises `MonitorFailed` when the kernel refuses.
    """
    for pid in pids:
        try:
            for task in map(int, os.listdir(f"/proc/{pid}/task")):
                if behind:
                    policy = os.SCHED_IDLE if gives else os.SCHED_OTHER
                    os.sched_setscheduler(task, policy, os.sched_param(0))
                if gives:
                    ordinary_turns(task)
                else:
                    short_turns(task)
        except (FileNotFoundError, ProcessLookupError):
            continue  # It, or one of its threads, has ended.
        except OSError as error:
            raise MonitorFailed(f"the scheduling of the worker: {error}") from error


def hold_still(pid: int) -> dict[int, tuple[int, int]]:
    """Let a process that is to sleep map nothing more and write no file; gives what held before.

    It has its memory already, and files in memory are files too. Raises `MonitorFailed`.
    """
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            mapped = int(file.read().split()[0]) * resource.getpagesize() + _ROOM_ASLEEP
    except (FileNotFoundError, ProcessLookupError):
        return {}
    before = {}
    for kind, value in ((resource.RLIMIT_AS, mapped), (resource.RLIMIT_FSIZE, 0)):
        try:
            before[kind] = resource.prlimit(pid, kind)
            resource.prlimit(pid, kind, (value, before[kind][1]))
        except ProcessLookupError:
            return {}
        except (OSError, ValueError) as error:
            raise MonitorFailed(f"resource limit {kind} of a dormant copy: {error}") from error
    return before


def let_go(pid: int, before: Mapping[int, tuple[int, int]]) -> None:
    """Undo `hold_still`. Raises `MonitorFailed`."""
    for kind, values in before.items():
        try:
            resource.prlimit(pid, kind, values)
        except ProcessLookupError:
            return
        except (OSError, ValueError) as error:
            raise MonitorFailed(f"resource limit {kind} of a dormant copy: {error}") from error


def environment(limits: Mapping[str, Limit]) -> dict[str, str]:
    """Variables that make numeric libraries use as many threads as `cpus` allows.

    They are read when the library is loaded, so they belong into the worker's first environment.
    """
    limit = limits.get("cpus")
    if limit is None or math.isinf(limit.value):
        return {}
    number = str(max(int(limit.value), 1))
    return dict.fromkeys(_THREAD_VARIABLES, number)
