"""Who still holds a mount that was taken off: descriptors, working directories, mappings.

After a lazy unmount a directory descriptor, an O_PATH descriptor or a working directory goes on
reading the tree, and can make files in it. Holders are found by mount id (proc_pid_fdinfo(5)) in
every task of every process of the worker's pid namespace, while these processes are stopped, so
that a descriptor cannot move past the search. A descriptor that is on its way through a Unix
socket is in nobody's table: the kernel tells how many there are (`scm_fds`), and any counts as a
holder. The supervisor's own view of /proc is used; a pid that the worker names never is.
"""

from __future__ import annotations

import os
import signal
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from . import _sys_files

_O_PATH = os.O_PATH
#: More than the kernel gives of a small file at once.
_CONTENT_BYTES = 1 << 16
STOP_SECONDS = 0.2
DELIVERY_SECONDS = 0.02
DELIVERIES = 4
IN_FLIGHT = "a descriptor on its way through a socket"
UNSEEN = "descriptors that the kernel does not show"
#: Flag of a task that is on its way out (PF_EXITING, include/linux/sched.h).
_EXITING = 0x4


@dataclass
class Holders:
    """What was found.

    dangerous: processes that must end, with the reason.
    still_open: names of regular files that stay readable through open descriptors or mappings.
    """

    dangerous: dict[int, str] = field(default_factory=dict)
    still_open: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Mounted:
    """A line of /proc/PID/mountinfo (proc_pid_mountinfo(5))."""

    mount_id: int
    point: str


def mounts_at(pid: int | str, destination: str) -> tuple[Mounted, ...]:
    """Mounts at `destination` or below it ("": all), as process `pid` (or "self") sees them."""
    found: list[Mounted] = []
    with open(f"/proc/{pid}/mountinfo", "rb") as lines:
        for line in lines:
            fields = line.split()
            point = os.fsdecode(_unescaped(fields[4]))
            if point == destination or point.startswith(destination + "/"):
                found.append(Mounted(int(fields[0]), point))
    return tuple(found)


def _unescaped(text: bytes) -> bytes:
    """Undo the octal escapes of mountinfo."""
    for code, character in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n")):
        text = text.replace(code, character)
    return text.replace(b"\\134", b"\\")


def mapped_below(pids: list[int], destination: str) -> set[str]:
    """Files at or below `destination` that a process has mapped, by name, before the unmount."""
    found: set[str] = set()
    for pid in pids:
        try:
            with open(f"/proc/{pid}/maps", "rb") as lines:
                for line in lines:
                    fields = line.rstrip(b"\n").split(None, 5)
                    if len(fields) == 6:
                        path = os.fsdecode(fields[5].removesuffix(b" (deleted)"))
                        if path == destination or path.startswith(destination + "/"):
                            found.add(path)
        except (FileNotFoundError, ProcessLookupError):
            continue
        except PermissionError:
            if not _is_ending(f"/proc/{pid}"):
                raise
    return found


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
    return [
        int(child) for task in _tasks(process) for child in _content(f"{task}/children").split()
    ]


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
    return _content(f"{task}/stat").rpartition(b")")[2].split()


def _is_ending(task: str) -> bool:
    """Whether a task is on its way out: what is left of it in /proc may belong to root then.

    It runs no program any more, and what it has open will be closed.
    """
    try:
        state, flags = _fields(task)[0], int(_fields(task)[6])
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state in (b"Z", b"X") or bool(flags & _EXITING)


def _content(path: str) -> bytes:
    """A file of /proc, which gives all of a small one at the first reading. Raises OSError.

    Without Python's buffers, which would double the time of a revocation.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _CONTENT_BYTES)
    finally:
        os.close(descriptor)


class Stopped:
    """The given processes, stopped while this context is open and running again after it."""

    def __init__(self, pids: list[int]) -> None:
        self._pidfds: dict[int, int] = {}
        for pid in pids:
            try:
                self._pidfds[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                continue

    def __enter__(self) -> Stopped:
        self._signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline and not all(_at_rest(pid) for pid in self._pidfds):
            os.sched_yield()
        return self

    def __exit__(self, *exception: object) -> None:
        self._signal(signal.SIGCONT)
        for descriptor in self._pidfds.values():
            os.close(descriptor)

    def kill(self, pid: int) -> None:
        """End one of them for good."""
        descriptor = self._pidfds.get(pid)
        if descriptor is not None:
            _send(descriptor, signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        for descriptor in self._pidfds.values():
            _send(descriptor, number)


def _send(descriptor: int, number: signal.Signals) -> None:
    try:
        signal.pidfd_send_signal(descriptor, number)
    except ProcessLookupError:
        return  # It ended by itself.


def _at_rest(pid: int) -> bool:
    """Whether no task of a process can run: stopped, dead, or asleep where it cannot be woken."""
    for task in _tasks(pid):
        try:
            state = _fields(task)[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state not in (b"T", b"t", b"Z", b"X", b"D"):
            return False
    return True


def end_holders(
    worker: int,
    look: Callable[[list[int]], Holders],
    wait: Callable[[float], None] = time.sleep,
) -> Holders:
    """End every process of `worker`'s that `look` finds to hold what was taken away.

    Descriptors on their way may be the supervisor's own, which the worker has not read yet: who is
    found for these alone is looked at again, DELIVERIES times, and the last look decides. The first
    wait takes DELIVERY_SECONDS, each later one twice as long as the one before: on a busy machine a
    worker comes late to reading. `wait` lets so many seconds pass; it answers the worker's calls
    meanwhile, for which it may be waiting itself.
    """
    found = Holders()
    for left in range(DELIVERIES, -1, -1):
        now = _look_and_end(worker, look, spare_in_flight=left > 0)
        waits = IN_FLIGHT in now.dangerous.values() and left > 0
        found.still_open |= now.still_open
        found.dangerous |= {
            pid: why for pid, why in now.dangerous.items() if not (waits and why == IN_FLIGHT)
        }
        if not waits:
            break
        wait(DELIVERY_SECONDS * 2 ** (DELIVERIES - left))
    return found


def _look_and_end(
    worker: int, look: Callable[[list[int]], Holders], *, spare_in_flight: bool
) -> Holders:
    pids = processes(worker)
    with Stopped(pids) as stopped:
        found = look(pids)
        for pid, why in found.dangerous.items():
            if not (spare_in_flight and why == IN_FLIGHT):
                stopped.kill(pid)
    return found


def find(pids: list[int], mount_ids: set[int]) -> Holders:
    """Look for holders of any of the mounts in these (stopped) processes."""
    return _each_task(pids, lambda pid, task, found: _look_at_task(pid, task, mount_ids, found))


def _each_task(pids: list[int], look: Callable[[int, str, Holders], None]) -> Holders:
    """Look at each task of these processes; one that hides what it has open is dangerous."""
    found = Holders()
    for pid in pids:
        for task in _tasks(pid):
            try:
                look(pid, task, found)
            except PermissionError:
                if not _is_ending(task):
                    found.dangerous.setdefault(pid, UNSEEN)
    return found


def with_descriptors_in_flight(pids: list[int]) -> list[int]:
    """Those of these (stopped) processes that hold a socket with descriptors on their way."""

    def look(pid: int, task: str, found: Holders) -> None:
        if any(int(facts.get(b"scm_fds", b"0")) > 0 for _, facts in _descriptors(task)):
            found.dangerous[pid] = IN_FLIGHT

    return list(_each_task(pids, look).dangerous)


def find_below(pids: list[int], paths: set[str]) -> Holders:
    """Look for descriptors of what lies at or below these real paths, in stopped processes.

    For the notify door, where no mount tells them apart. A working directory is nothing there:
    what is opened relative to it comes to the door.
    """
    below = tuple(f"{path}/" for path in paths)

    def look(pid: int, task: str, found: Holders) -> None:
        for name in _names(f"{task}/fd"):
            try:
                target = os.readlink(f"{task}/fd/{name}")
            except (FileNotFoundError, ProcessLookupError):
                continue
            here = target in paths or target.startswith(below)
            facts = _facts(task, name) if here or target.startswith("socket:") else {}
            if int(facts.get(b"scm_fds", b"0")) > 0:
                found.dangerous.setdefault(pid, IN_FLIGHT)
            if here and facts:
                _judge_descriptor(pid, f"{task}/fd/{name}", int(facts[b"flags"], 8), found)

    return _each_task(pids, look)


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return []


def _descriptors(task: str) -> Iterator[tuple[str, dict[bytes, bytes]]]:
    for name in _names(f"{task}/fdinfo"):
        facts = _facts(task, name)
        if facts:
            yield name, facts


def _facts(task: str, name: str) -> dict[bytes, bytes]:
    """What the kernel tells of a descriptor (proc_pid_fdinfo(5)); nothing when it is gone."""
    try:
        text = _content(f"{task}/fdinfo/{name}")
    except (FileNotFoundError, ProcessLookupError):
        return {}
    return dict(line.split(b":", 1) for line in text.splitlines() if b":" in line)


def _tasks(pid: int) -> Iterator[str]:
    return (f"/proc/{pid}/task/{task}" for task in _names(f"/proc/{pid}/task"))


def _look_at_task(pid: int, task: str, mount_ids: set[int], found: Holders) -> None:
    if _directory_mount(f"{task}/cwd") in mount_ids:
        found.dangerous.setdefault(pid, "its working directory")
    if _directory_mount(f"{task}/root") in mount_ids:
        found.dangerous.setdefault(pid, "its root directory")
    for name, facts in _descriptors(task):
        if int(facts.get(b"scm_fds", b"0")) > 0:
            found.dangerous.setdefault(pid, IN_FLIGHT)
        if int(facts.get(b"mnt_id", b"0")) in mount_ids:
            _judge_descriptor(pid, f"{task}/fd/{name}", int(facts[b"flags"], 8), found)


def _judge_descriptor(pid: int, path: str, flags: int, found: Holders) -> None:
    try:
        mode = os.stat(path).st_mode
        name = os.readlink(path)
    except (FileNotFoundError, ProcessLookupError):
        return
    if flags & _O_PATH:
        found.dangerous.setdefault(pid, "an O_PATH descriptor")
    elif stat.S_ISREG(mode):
        found.still_open.add(name)
    else:
        found.dangerous.setdefault(pid, "a directory descriptor")


def _directory_mount(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _sys_files.mount_id(descriptor)
    finally:
        os.close(descriptor)
