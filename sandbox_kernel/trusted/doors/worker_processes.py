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


def processes(worker: int) -> list[int]:
    """All processes that run behind the walls of `worker`, that one among them.

    With a pid namespace of its own, whatever is in it; without one, whatever descends from the
    process that started the worker, to which orphans come back.
    """
    try:
        namespace = os.readlink(f"/proc/{worker}/ns/pid")
        if namespace == os.readlink("/proc/self/ns/pid"):
            return _descendants(_parent(worker))
    except (OSError, KeyError):
        return []  # It has ended.
    found: list[int] = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if os.readlink(f"/proc/{name}/ns/pid") == namespace:
                    found.append(int(name))
            except OSError:
                continue  # gone, or another user's
    return found


def _descendants(first: int) -> list[int]:
    # A list of children is an option of the kernel's; without it, everybody is asked.
    children: Callable[[int], list[int]] = _listed_children
    if not os.path.exists(f"/proc/{first}/task/{first}/children"):
        children = _all_children()
    found: list[int] = []
    todo = children(first)
    while todo:
        process = todo.pop()
        found.append(process)
        todo += children(process)
    return found


def _listed_children(process: int) -> list[int]:
    """What every task of a process has started."""
    return [int(child) for task in tasks(process) for child in content(f"{task}/children").split()]


def _all_children() -> Callable[[int], list[int]]:
    found: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                found.setdefault(_parent(int(name)), []).append(int(name))
            except OSError:
                continue  # It has ended.
    return lambda process: found.get(process, [])


def _parent(process: int) -> int:
    return int(_fields(f"/proc/{process}")[1])


def _fields(task: str) -> list[bytes]:
    """State, parent and so on of a task (proc_pid_stat(5), from the third field on)."""
    return content(f"{task}/stat").rpartition(b")")[2].split()


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


def _last_number() -> bytes:
    """The number that was given to a task last, in any namespace that is seen from here."""
    return content("/proc/loadavg").rpartition(b" ")[2]


class Stopped:
    """The processes behind the walls of `worker`, stopped while this context is open.

    restless: there may be more, which were started as fast as the others were stopped.
    """

    def __init__(self, worker: int) -> None:
        self._worker = worker
        self._pidfds: dict[int, int] = {}
        self.restless = False

    @property
    def pids(self) -> list[int]:
        """All of them."""
        return list(self._pidfds)

    def __enter__(self) -> Stopped:
        deadline = time.monotonic() + STOP_SECONDS
        try:
            last, now = b"", _last_number()
            while now != last and not self.restless:
                # Whoever was born while the others were looked for is among the next.
                self.restless = time.monotonic() > deadline
                last = now
                self._stop_all(deadline)
                now = _last_number()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _stop_all(self, deadline: float) -> None:
        for pid in processes(self._worker):
            if pid not in self._pidfds:
                with contextlib.suppress(ProcessLookupError):
                    self._pidfds[pid] = os.pidfd_open(pid)
                    _send(self._pidfds[pid], signal.SIGSTOP)
        while not all(map(_at_rest, self._pidfds)) and time.monotonic() < deadline:
            os.sched_yield()

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


def _at_rest(pid: int) -> bool:
    """Whether no task of a process can run: stopped, dead, or asleep where it cannot be woken."""
    for task in tasks(pid):
        try:
            state = _fields(task)[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in (b"T", b"t", b"Z", b"X", b"D"):
            return False
    return True
