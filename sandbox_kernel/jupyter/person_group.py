"""A control group for all that runs as one person, made by root before the person's server starts.

The walls of the operating system around a server and its kernels together, with the numbers of the
policy's `[limits.person]`: memory, number of tasks, processors. The supervisors of the kernels look
at the same numbers and stop a cell with a reason (`trusted/limits/person.py`); this is the wall
behind them, which holds for a shell too. Where a group cannot be made, `words` tells why.

Version 1 as root; version 2 where the hub's own group hands controllers on (cgroups(7)).
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..policy.rights import Limit
from ..trusted.limits.cgroup import Place, places, read, write
from ..trusted.limits.walls import processors

#: Share of the memory limit at which the group kills; below it the supervisors act.
_MEMORY_SHARE = 1.1
#: Tasks of a supervisor, its warden, and what belongs to them; bytes of the same.
_KERNEL_TASKS, _KERNEL_BYTES = 16, 120 << 20
#: Kernels for which there is room where the policy has no number.
_SOME_KERNELS = 32
_CONTROLLERS = ("memory", "pids", "cpuset")
_FILES = {
    1: {"memory": "memory.limit_in_bytes", "pids": "pids.max", "cpuset": "cpuset.cpus"},
    2: {"memory": "memory.max", "pids": "pids.max", "cpuset": "cpuset.cpus"},
}


@dataclass(frozen=True)
class Overhead:
    """What the person's server takes beside the kernels: bytes, and tasks."""

    memory: int
    tasks: int


def values(
    limits: Mapping[str, Limit], overhead: Overhead, user: int, own: Collection[int]
) -> dict[str, str]:
    """What is written for each controller; one that is absent has nothing to hold. Pure.

    `user` is the user id; `own` are the processors that there are.
    """
    kernels = _bound(limits, "kernels")
    room = _SOME_KERNELS if math.isinf(kernels) else int(kernels)
    found: dict[str, str] = {}
    memory = _bound(limits, "memory")
    if not math.isinf(memory):
        whole = int(memory * _MEMORY_SHARE) + overhead.memory + room * _KERNEL_BYTES
        found["memory"] = str(whole)
    threads = _bound(limits, "threads")
    if not math.isinf(threads):
        children = limits["processes"].value if "processes" in limits else 0
        found["pids"] = str(int(threads + children) + overhead.tasks + room * _KERNEL_TASKS)
    chosen = processors(own, {}, limits, 0, user)
    if chosen is not None:
        found["cpuset"] = ",".join(map(str, sorted(chosen)))
    return found


def _bound(limits: Mapping[str, Limit], name: str) -> float:
    return limits[name].value if name in limits else math.inf


class PersonGroup:
    """The groups of one person, in every hierarchy that has a controller that we need."""

    def __init__(self, name: str) -> None:
        """`name` is the folder's, the same for all servers of the person."""
        self._name = name
        self._made: list[Path] = []
        self.words = "no control group was asked for"

    def build(self, wanted: Mapping[str, str]) -> None:
        """Make the groups and set what they hold; never raises for what the machine refuses."""
        if not wanted:
            return
        self._made, reasons, held = [], [], set()
        for place in places(read("/proc/self/cgroup"), read("/proc/self/mountinfo"), _CONTROLLERS):
            needed = [name for name in place.controllers if name in wanted and name not in held]
            if not needed:
                continue
            try:
                self._made.append(_make(place, self._name, {name: wanted[name] for name in needed}))
                held.update(needed)
            except OSError as error:
                reasons.append(f"{place.folder}: {error.strerror}")
        missing = sorted(wanted.keys() - held)
        self.words = f"control group for {', '.join(sorted(held)) or 'nothing'}"
        if missing:
            self.words += f"; none for {', '.join(missing)}"
            self.words += f" ({'; '.join(reasons) or 'no such controller is mounted'})"

    def enter(self, pid: int) -> None:
        """Put process `pid`, and all that it will start, into the groups. Raises OSError."""
        for folder in self._made:
            write(folder / "cgroup.procs", str(pid))

    def remove(self) -> None:
        """Remove the groups that are empty; those of a person with another server stay."""
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _make(place: Place, name: str, wanted: Mapping[str, str]) -> Path:
    if place.version == 2:
        enable = " ".join(f"+{controller}" for controller in wanted)
        write(place.folder / "cgroup.subtree_control", enable)
    folder = place.folder / name
    folder.mkdir(exist_ok=True)
    if place.version == 1 and "cpuset" in wanted:
        # A version 1 group begins without memory nodes, and takes no process then.
        write(folder / "cpuset.mems", read(str(place.folder / "cpuset.mems")).strip())
    for controller, value in wanted.items():
        write(folder / _FILES[place.version][controller], value)
    return folder
