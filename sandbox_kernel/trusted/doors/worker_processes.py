"""The processes and threads behind a worker's walls, as /proc shows them to the supervisor.

Its own view of /proc is used; a number that the worker names never is. Source: proc(5).
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from . import _sys_files

#: More than the kernel gives of a small file at once.
_CONTENT_BYTES = 1 << 16
STOP_SECONDS = 0.2
#: Flag of a task that is on its way out (PF_EXITING, include/linux/sched.h).
_EXITING = 0x4
#: What reading of a process that has ended comes to. All else, such as a full table of descriptors,
#: is a failure: nobody would be found.
_ENDED = (FileNotFoundError, ProcessLookupError, IndexError)


def processes(worker: int) -> list[int]:
    """All processes that run behind the walls of `worker`, that one among them.

    They descend from the process that started it, to which orphans come back. Whoever is there all
    the while is among them: the kernel lists the processes of the machine in the order of their
    numbers, and tells everybody who started them.
    """
    try:
        first = _parent(worker)
    except _ENDED:
        return []
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                children.setdefault(_parent(int(name)), []).append(int(name))
            except (*_ENDED, PermissionError):
                continue  # Or, where /proc hides them, another user's.
    return _descendants(first, lambda process: children.get(process, []))


def listed_processes(worker: int) -> list[int]:
    """As `processes`, in less time; some may be left out while others end.

    Source: the lists of children in proc_pid_task_children(5), where the kernel has them.
    """
    try:
        first = _parent(worker)
    except _ENDED:
        return []
    if not os.path.exists(f"/proc/{first}/task/{first}/children"):
        return processes(worker)
    return _descendants(first, _listed_children)


def _descendants(first: int, children: Callable[[int], list[int]]) -> list[int]:
    found: list[int] = []
    todo = children(first)
    while todo:
        process = todo.pop()
        found.append(process)
        todo += children(process)
    return found


def _listed_children(process: int) -> list[int]:
    """What every task of a process has started."""
    found: list[int] = []
    for task in tasks(process):
        with contextlib.suppress(OSError):  # It has ended, and its children are another's.
            found += map(int, content(f"{task}/children").split())
    return found


def _parent(process: int) -> int:
    return int(_fields(f"/proc/{process}")[1])


def _fields(task: str) -> list[bytes]:
    """State, parent and so on of a task (proc_pid_stat(5), from the third field on)."""
    return content(f"{task}/stat").rpartition(b")")[2].split()


def state_of(task: str) -> bytes:
    """The letter of a task's state; that of a dead one when it is gone (proc_pid_stat(5))."""
    try:
        return _fields(task)[0]
    except (FileNotFoundError, ProcessLookupError):
        return b"X"


def is_ending(task: str) -> bool:
    """Whether a task is on its way out: what is left of it in /proc may belong to root then.

    It runs no program any more, and what it has open will be closed.
    """
    try:
        state, flags = _fields(task)[0], int(_fields(task)[6])
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in (b"Z", b"X") or bool(flags & _EXITING)


def content(path: str, folder: int | None = None) -> bytes:
    """A file of /proc, which gives all of a small one at the first reading. Raises OSError.

    A relative path is below the descriptor `folder`.

    Without Python's buffers, which would double the time of a revocation.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        return os.read(descriptor, _CONTENT_BYTES)
    finally:
        os.close(descriptor)


def listed(folder: str) -> list[str]:
    """The names in a folder of /proc; none when whose folder it is has ended."""
    try:
        return os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return []


def tasks(process: int) -> list[str]:
    """The folders of a process's tasks."""
    return [f"/proc/{process}/task/{task}" for task in listed(f"/proc/{process}/task")]


def tasks_apart(process: int) -> list[str]:
    """One of the tasks that share descriptors and working directory, and all others."""
    found = tasks(process)
    return found[:1] + [task for task in found[1:] if not _is_as(found[0], task)]


def _is_as(task: str, other: str) -> bool:
    one, two = (int(each.rpartition("/")[2]) for each in (task, other))
    try:
        return _sys_files.share_files(one, two)
    except OSError:
        return False  # One has ended, or this kernel does not say: each is looked at.


class Stopped:
    """The processes behind the walls of `worker`, stopped while this context is open.

    restless: not all of them stand still, or there may be more, within the given seconds.
    """

    def __init__(self, worker: int, seconds: float = STOP_SECONDS) -> None:
        self._worker = worker
        self._seconds = seconds
        self._pidfds: dict[int, int] = {}
        self._ran: dict[str, tuple[bytes, ...]] = {}
        self.restless = False

    @property
    def pids(self) -> list[int]:
        """All of them."""
        return list(self._pidfds)

    def __enter__(self) -> Stopped:
        deadline = time.monotonic() + self._seconds
        try:
            # Who was born while the others were looked for is among the next, whose parents stand
            # still: nobody is born then.
            while self._find() and not self.restless:
                # Of those who end there may be more and more: each starts another before.
                self.restless = bool(self._ran) and time.monotonic() > deadline
                self._stop(deadline)
        except BaseException:
            self.__exit__()
            raise
        return self

    def stayed(self) -> bool:
        """Whether all of them stood still up to now."""
        return not self.restless and self._ran == self._runs()

    def _find(self) -> bool:
        """Whether there are any that are not known yet."""
        new = [pid for pid in processes(self._worker) if pid not in self._pidfds]
        for pid in new:
            with contextlib.suppress(ProcessLookupError):
                self._pidfds[pid] = os.pidfd_open(pid)
        return bool(new)

    def _stop(self, deadline: float) -> None:
        while True:
            for descriptor in self._pidfds.values():
                _send(descriptor, signal.SIGSTOP)  # Again: they may wake each other.
            self._ran = self._runs()
            if all(ran for ran in self._ran.values()):
                return
            if time.monotonic() > deadline:
                self.restless = True
                return
            os.sched_yield()

    def _runs(self) -> dict[str, tuple[bytes, ...]]:
        """How often each task has run; nothing for one that may be running now."""
        return {task: _runs(task) for pid in self._pidfds for task in tasks(pid)}

    def __exit__(self, *exception: object) -> None:
        for descriptor in self._pidfds.values():
            _send(descriptor, signal.SIGCONT)
            os.close(descriptor)
        self._pidfds.clear()

    def kill(self, pid: int) -> None:
        """End one of them for good."""
        descriptor = self._pidfds.get(pid)
        if descriptor is not None:
            _send(descriptor, signal.SIGKILL)


def _send(descriptor: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return  # It ended by itself.


#: States of a task that does not run: stopped, dead, or asleep where only a signal that ends it
#: wakes it (proc_pid_status(5)).
_AT_REST = (b"T", b"t", b"Z", b"X", b"D")


def _runs(task: str) -> tuple[bytes, ...]:
    """Its state and how often it gave up the processor, for a task that is at rest; else nothing.

    Whoever has run in between has given it up once more.
    """
    try:
        lines = content(f"{task}/status").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return (b"ended",)
    told = [line for line in lines if line.startswith((b"State:", b"voluntary", b"nonvoluntary"))]
    state = told[0].split()[1]
    return (state, *told[1:]) if state in _AT_REST else ()
