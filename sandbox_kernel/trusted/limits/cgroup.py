"""An outer wall: a control group for the worker, where this user may make one.

Version 2 where a group is delegated to us (cgroups(7)), version 1 where root may. It holds what the
inner walls do not: every kind of memory at once, by killing, and the number of tasks for root,
which `RLIMIT_NPROC` never binds. It is a second wall: where there is none, `status` says so and
why, and the inner walls and the monitor hold the limits by themselves.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...policy.rights import Limit

_PREFIX = "sandbox-kernel-"
#: Share of the memory limit at which the group kills; below it the monitor acts.
_MEMORY_SHARE = 1.1
#: Bytes of shared memory that a worker may have beside its scratch.
_SHARED = 64 << 20
#: Tasks that are not the cell's: a copy that sleeps, one that is being made, one that ends.
_OWN_TASKS = 4
#: Seconds to wait at the kernel's end for its groups to be empty.
_EMPTY_WITHIN = 0.3
#: Per version: the file of each limit.
_FILES = {
    1: {"memory": "memory.limit_in_bytes", "pids": "pids.max"},
    2: {"memory": "memory.max", "pids": "pids.max"},
}


@dataclass(frozen=True)
class Place:
    """A group of ours that may have children: which version, which controllers it gives."""

    version: int
    folder: Path
    controllers: tuple[str, ...]


def places(groups: str, mounts: str, wanted: Collection[str] = tuple(_FILES[1])) -> list[Place]:
    """Where a group could be made, from /proc/self/cgroup and /proc/self/mountinfo. Pure.

    `wanted` are the controllers of interest.
    """
    found = []
    points = _mount_points(mounts, wanted)
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        names = tuple(name for name in controllers.split(",") if name in wanted)
        if not controllers and "" in points:
            found.append(Place(2, Path(points[""] + path), tuple(wanted)))
        elif names and controllers in points:
            found.append(Place(1, Path(points[controllers] + path), names))
    return found


def _mount_points(mounts: str, wanted: Collection[str]) -> dict[str, str]:
    points = {}
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        where = fields.split()[4]
        if kind == "cgroup2":
            points[""] = where
        elif kind == "cgroup":
            names = [name for name in options.split(",") if name in wanted]
            points.update(dict.fromkeys((*names, ",".join(names)), where))
    return points


def values(limits: Mapping[str, Limit]) -> dict[str, str]:
    """What is written to each controller's file. Pure."""

    def bound(name: str) -> float:
        return limits[name].value if name in limits else math.inf

    memory = bound("memory") * _MEMORY_SHARE + bound("scratch") + _SHARED
    tasks = bound("threads") + (bound("processes") if "processes" in limits else 0) + _OWN_TASKS
    return {
        "memory": "-1" if math.isinf(memory) else str(int(memory)),
        "pids": "max" if math.isinf(tasks) else str(int(tasks)),
    }


class OuterWall:
    """The groups of one kernel; made when the first worker comes, removed with the kernel."""

    def __init__(self) -> None:
        self._made: list[tuple[Place, Path]] = []
        self._held: dict[Path, str] = {}
        #: What there is, or why there is nothing, in words.
        self.words = "no worker has run yet"

    def build(self) -> None:
        """Make the groups that can be made. Idempotent; never raises, `words` tells."""
        if self._made:
            return
        reasons = []
        try:
            found = places(read("/proc/self/cgroup"), read("/proc/self/mountinfo"))
        except OSError as error:
            found, reasons = [], [str(error)]
        for place in found:
            try:
                self._made.append((place, _make(place)))
            except OSError as error:
                reasons.append(f"{place.folder}: {error.strerror}")
        kinds = [f"{' and '.join(p.controllers)} (version {p.version})" for p, _ in self._made]
        none = f"none: {'; '.join(reasons) or 'no control group is mounted'}"
        self.words = f"control group: {', '.join(kinds)}" if kinds else none

    def enter(self, pid: int) -> None:
        """Put process `pid` and all that it will start behind the wall."""
        for _, folder in self._made:
            with contextlib.suppress(ProcessLookupError):
                write(folder / "cgroup.procs", str(pid))

    def hold(self, limits: Mapping[str, Limit]) -> None:
        """Set the limits that hold now."""
        wanted = values(limits)
        for place, folder in self._made:
            for controller in place.controllers:
                value = wanted[controller]
                if place.version == 2 and value == "-1":
                    value = "max"
                file = folder / _FILES[place.version][controller]
                if self._held.get(file) != value:  # Rights change often, and these seldom.
                    write(file, value)
                    self._held[file] = value


def remove_own() -> None:
    """Remove the groups of this process, once those in them have ended.

    That takes some milliseconds after the kill; what takes longer the next kernel removes.
    """
    end = time.monotonic() + _EMPTY_WITHIN
    try:
        found = places(read("/proc/self/cgroup"), read("/proc/self/mountinfo"))
    except OSError:
        return  # Then there were none to make groups in either.
    for place in found:
        while _is_busy(place.folder / f"{_PREFIX}{os.getpid()}") and time.monotonic() < end:
            time.sleep(0.001)


def _make(place: Place) -> Path:
    _sweep(place.folder)
    if place.version == 2:
        write(place.folder / "cgroup.subtree_control", "+memory +pids")
    folder = place.folder / f"{_PREFIX}{os.getpid()}"
    folder.mkdir(exist_ok=True)
    return folder


def _is_busy(folder: Path) -> bool:
    """Try to remove it; False when it is gone, or cannot be removed for another reason."""
    try:
        folder.rmdir()
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def _sweep(parent: Path) -> None:
    """Remove what kernels have left that are gone."""
    for folder in parent.glob(f"{_PREFIX}*"):
        owner = folder.name.removeprefix(_PREFIX)
        if owner.isdecimal() and not os.path.exists(f"/proc/{owner}"):
            with contextlib.suppress(OSError):
                folder.rmdir()


def read(path: str) -> str:
    """The text of a file of the kernel's. Raises OSError."""
    return Path(path).read_text(encoding="utf-8", errors="surrogateescape")


def write(path: Path, text: str) -> None:
    """One write(2), as these files want it, to a file that must be there already."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
