"""Who still holds a mount that was taken off: descriptors, working directories, mappings.

After a lazy unmount a directory descriptor, an O_PATH descriptor or a working directory goes on
reading the tree, and can make files in it. Holders are found by mount id (proc_pid_fdinfo(5)) in
every task of every process of the worker's pid namespace, while these processes are stopped, so
that a descriptor cannot move past the search. A descriptor that is on its way through a Unix
socket is in nobody's table: the kernel tells how many there are (`scm_fds`), and any counts as a
holder.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from . import _sys_files
from .under_way import may_yet_hold
from .worker_processes import STOP_SECONDS, Stopped, content, is_ending, tasks, tasks_apart

PAUSE_SECONDS = 0.02
LOOKS = 5
#: For processes to stand still, at the last look.
LAST_STOP_SECONDS = 2.0
IN_FLIGHT = "a descriptor on its way through a socket"
UNDER_WAY = "a call that is under way"
RESTLESS = "processes that do not stand still"
#: What may be over at the next look.
PASSING = (IN_FLIGHT, UNDER_WAY, RESTLESS)
OUT_OF_REACH = "a connection out of reach"
UNSEEN = "descriptors that the kernel does not show"
CHANGES_PROTECTED = "a protected file, which it had open to change it before that had this name"


_AT_FDCWD = -100


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
            if not is_ending(f"/proc/{pid}"):
                raise
    return found


def end_holders(
    worker: int,
    look: Callable[[list[int]], Holders],
    wait: Callable[[float], None] = time.sleep,
) -> Holders:
    """End every process of `worker`'s that `look` finds to hold what was taken away.

    What may pass is looked at again, LOOKS times in all, and the last look decides: descriptors on
    their way may be the supervisor's own, which the worker has not read yet; a call may be under
    way on a slow disk; on a busy machine processes stop late. The first wait takes
    PAUSE_SECONDS, each later one twice as long as the one before. `wait` lets so many seconds
    pass; it answers the worker's calls meanwhile, for which it may be waiting itself.
    """
    found = Holders()
    for number in range(LOOKS):
        last = number == LOOKS - 1
        now = _look_and_end(worker, look, last=last)
        passing = {pid for pid, why in now.dangerous.items() if why in PASSING and not last}
        found.still_open |= now.still_open
        found.dangerous |= {pid: why for pid, why in now.dangerous.items() if pid not in passing}
        if not passing:
            break
        wait(PAUSE_SECONDS * 2**number)
    return found


def _look_and_end(worker: int, look: Callable[[list[int]], Holders], *, last: bool) -> Holders:
    with Stopped(worker, LAST_STOP_SECONDS if last else STOP_SECONDS) as stopped:
        found = Holders() if stopped.restless else look(stopped.pids)
        if not stopped.stayed():
            # What they hold may have moved past the search.
            for pid in (worker, *stopped.pids):
                found.dangerous.setdefault(pid, RESTLESS)
        # Only now: whoever ends may wake others.
        for pid, why in found.dangerous.items():
            if last or why not in PASSING:
                stopped.kill(pid)
    return found


def find(pids: list[int], mount_ids: set[int]) -> Holders:
    """Look for holders of any of the mounts in these (stopped) processes."""
    return _each_task(pids, lambda pid, task, found: _look_at_task(pid, task, mount_ids, found))


def _each_task(pids: list[int], look: Callable[[int, str, Holders], None]) -> Holders:
    """Look at each task of these processes; one that hides what it has open is dangerous."""
    found = Holders()
    for pid in pids:
        if any(map(may_yet_hold, tasks(pid))):
            found.dangerous[pid] = UNDER_WAY
        for task in tasks_apart(pid):
            try:
                look(pid, task, found)
            except PermissionError:
                if not is_ending(task):
                    found.dangerous.setdefault(pid, UNSEEN)
    return found


def find_in_flight(pids: list[int]) -> Holders:
    """Look for sockets with descriptors on their way, in stopped processes."""

    def look(pid: int, task: str, found: Holders) -> None:
        with _Table(task) as table:
            for name in table.names():
                _note_in_flight(pid, table.facts(name), found)

    return _each_task(pids, look)


def find_below(
    pids: list[int], paths: set[str], allows: Callable[..., bool] = lambda real, change: False
) -> Holders:
    """Look for descriptors of what lies at or below these real paths, in stopped processes.

    `allows(real, change=…)` says what may still be had there. For the notify door, where no mount
    tells them apart. A working directory is nothing there: what is opened relative to it comes to
    the door.
    """
    below = tuple(f"{path}/" for path in paths)

    def look(pid: int, task: str, found: Holders) -> None:
        sockets = set()
        with _Table(task) as table:
            for name in table.names():
                target = table.target(name)
                here = target in paths or target.startswith(below)
                if here or (target.startswith("socket:") and target not in sockets):
                    sockets.add(target)  # What is on its way to it is told once.
                    facts = table.facts(name)
                    _note_in_flight(pid, facts, found)
                    if here and facts and not allows(target, change=_writes(facts)):
                        _judge(pid, table, name, facts, found)

    return _each_task(pids, look)


def find_changers(
    pids: list[int], files: Mapping[tuple[int, int], str], kept_by: Collection[int] | None
) -> Holders:
    """Look for what can change one of these files (device and inode, path) in stopped processes,
    whatever becomes of its name.

    kept_by: ids of the mounts through which nothing is written. A descriptor for reading through
    another is opened anew for writing by `/proc/self/fd`; None where that comes to the door.
    """
    devices = {(_device_of(path), inode) for (_, inode), path in files.items()}

    def look(pid: int, task: str, found: Holders) -> None:
        with _Table(task) as table:
            for name in table.names():
                facts = table.facts(name)
                _note_in_flight(pid, facts, found)
                if facts and table.identity(name) in files:
                    mount = int(facts.get(b"mnt_id", b"0"))
                    if _writes(facts) if kept_by is None else mount not in kept_by:
                        found.dangerous.setdefault(pid, CHANGES_PROTECTED)
        if any(_shares(line, devices) for line in _maps(task)):
            found.dangerous.setdefault(pid, CHANGES_PROTECTED)

    return _each_task(pids, look)


def _device_of(path: str) -> str:
    """The device of a path's file system, as it stands in proc_pid_maps(5); that of its status may
    be another (btrfs). Empty when it is gone.
    """
    try:
        mount = b"%d" % _sys_files.mount_id(_AT_FDCWD, os.fsencode(path))
    except OSError:
        return ""
    with open("/proc/self/mountinfo", "rb") as lines:
        numbers = next((fields[2] for line in lines if (fields := line.split())[0] == mount), b"")
    major, _, minor = numbers.decode().partition(":")
    return f"{int(major):02x}:{int(minor):02x}" if minor else ""


def _maps(task: str) -> list[bytes]:
    """The lines of a task's mappings (proc_pid_maps(5)); none when it has ended."""
    try:
        with open(f"{task}/maps", "rb") as lines:
            return lines.readlines()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _shares(line: bytes, files: Collection[tuple[str, int]]) -> bool:
    """Whether a mapping is of one of these files, and shared: it may become a writable one."""
    _, rights, _, device, inode, *_ = line.split(None, 5)
    return rights.endswith(b"s") and (device.decode(), int(inode)) in files


class _Table:
    """The descriptors of a task, through the folders that /proc has of them."""

    def __init__(self, task: str) -> None:
        self._task = task
        self._links = self._facts = -1

    def __enter__(self) -> _Table:
        """Raises PermissionError when we may not look; who has ended has none."""
        try:
            self._links = os.open(f"{self._task}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            self._facts = os.open(f"{self._task}/fdinfo", os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, ProcessLookupError):
            self.__exit__()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        for folder in (self._links, self._facts):
            if folder >= 0:
                os.close(folder)
        self._links = self._facts = -1

    def names(self) -> list[str]:
        """The numbers of all of them."""
        if self._links < 0:
            return []
        try:
            return os.listdir(self._links)
        except (FileNotFoundError, ProcessLookupError):
            return []

    def target(self, name: str) -> str:
        """What a descriptor is of; empty when it is gone."""
        try:
            return os.readlink(name, dir_fd=self._links)
        except (FileNotFoundError, ProcessLookupError):
            return ""

    def mode(self, name: str) -> int:
        """The file mode of what it is of; 0 when it is gone."""
        try:
            return os.stat(name, dir_fd=self._links).st_mode
        except (FileNotFoundError, ProcessLookupError):
            return 0

    def identity(self, name: str) -> tuple[int, int]:
        """Device and inode of what it is of; zeros when it is gone."""
        try:
            status = os.stat(name, dir_fd=self._links)
        except (FileNotFoundError, ProcessLookupError):
            return 0, 0
        return status.st_dev, status.st_ino

    def facts(self, name: str) -> dict[bytes, bytes]:
        """What the kernel tells of it (proc_pid_fdinfo(5)); nothing when it is gone."""
        try:
            text = content(name, self._facts)
        except (FileNotFoundError, ProcessLookupError):
            return {}
        return dict(line.split(b":", 1) for line in text.splitlines() if b":" in line)


def _look_at_task(pid: int, task: str, mount_ids: set[int], found: Holders) -> None:
    if _directory_mount(f"{task}/cwd") in mount_ids:
        found.dangerous.setdefault(pid, "its working directory")
    if _directory_mount(f"{task}/root") in mount_ids:
        found.dangerous.setdefault(pid, "its root directory")
    with _Table(task) as table:
        for name in table.names():
            facts = table.facts(name)
            _note_in_flight(pid, facts, found)
            gone = int(facts.get(b"mnt_id", b"0")) in mount_ids
            _judge(pid, table, name, facts if gone else {}, found)


def _writes(facts: dict[bytes, bytes]) -> bool:
    return int(facts[b"flags"], 8) & os.O_ACCMODE != os.O_RDONLY


def _note_in_flight(pid: int, facts: dict[bytes, bytes], found: Holders) -> None:
    if int(facts.get(b"scm_fds", b"0")) > 0:
        found.dangerous.setdefault(pid, IN_FLIGHT)


def _judge(pid: int, table: _Table, name: str, facts: dict[bytes, bytes], found: Holders) -> None:
    """What holding a descriptor of what was taken away means; no facts mean nothing."""
    mode, target = (table.mode(name), table.target(name)) if facts else (0, "")
    if not mode or not target:
        return
    if int(facts[b"flags"], 8) & os.O_PATH:
        found.dangerous.setdefault(pid, "an O_PATH descriptor")
    elif stat.S_ISREG(mode):
        found.still_open.add(target)
    else:
        found.dangerous.setdefault(pid, "a directory descriptor")


def _directory_mount(path: str) -> int | None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        return _sys_files.mount_id(descriptor)
    finally:
        os.close(descriptor)
