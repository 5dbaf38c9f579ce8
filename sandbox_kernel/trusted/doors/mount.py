"""The mount door: bring a live worker's mounts from what they are to what its rights say.

The plan (`mount_table`) is compared with what is mounted; only the difference is carried out, by
the warden, in the worker's mount namespace. Taking away is more than an unmount: see `holders`.
Methods are called by one thread at a time.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from . import holders
from .mount_items import Bind, Folder, Item, Link, Seed, Skeleton, Stage
from .resolve import Place, Unresolvable, open_place
from .staged_places import STAGING_BYTES, Committed, commit_stage, together
from .staged_review import (
    Deny,
    Mode,
    Spent,
    StageRule,
    nothing_denied,
)
from .worker_processes import processes

PAGE_BYTES = 4096
STAGE_INODES = 65_536


class Warden(Protocol):
    """The warden as this door needs it; see confine.door_mounts for the operations."""

    def door(
        self, message: Mapping[str, object], fds: Sequence[int] = ()
    ) -> tuple[dict[str, Any], list[int]]:
        """Have one operation carried out. Raises OSError with the warden's error number."""

    def rouse(self) -> None:
        """Have the warden be awake when the next operation comes, within a millisecond."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking places away came to.

    killed: the worker, or a process of it, held a place open in a way that only its end closes;
        the reasons.
    still_open: regular files that stay readable through descriptors that were open before.
    """

    killed: tuple[str, ...] = ()
    still_open: tuple[str, ...] = ()


@dataclass
class _Present:
    item: Item
    upper: int = -1


@dataclass
class MountDoor:
    """The door to one generation of the worker, whose process id on this host is `pid`.

    problem: called with a place and the reason when it cannot be mounted. wait: lets seconds pass
    while the worker's calls are answered. staging_bytes: room for staged changes of a grant without
    a meter of its own.
    """

    warden: Warden
    pid: int
    problem: Callable[[str, str], None]
    wait: Callable[[float], None]
    staging_bytes: int = STAGING_BYTES
    spent: dict[StageRule, Spent] = field(default_factory=dict)
    _present: dict[str, _Present] = field(default_factory=dict)

    # --- changing ----------------------------------------------------------------------------

    def bring(self, wanted: Iterable[Item]) -> Taken:
        """Make the mounts be `wanted`, which lists parents before what stands in them.

        A place that cannot be mounted (it moved meanwhile, or something is in its way) is told to
        `problem` and left out; nothing that was taken away comes back.
        """
        table = {item.destination: item for item in wanted}
        gone, swapped, renewed = [], [], []
        for destination, present in self._present.items():
            item = table.get(destination)
            if item == present.item:
                continue
            if _follows(present.item, item):
                swapped.append(destination)
            elif _only_mounts_below_changed(present.item, item):
                renewed.append(destination)
            else:
                gone.append(destination)
        disturbed = [
            destination
            for destination in self._present
            if destination not in gone
            and (
                destination in renewed
                or any(destination.startswith(above + "/") for above in (*gone, *renewed))
            )
        ]
        taken = self._take_off(gone, disturbed)
        for destination, item in table.items():
            try:
                if destination not in self._present:
                    self._add(item)
                elif destination in swapped:
                    assert isinstance(item, Bind)
                    self._bind(item, "swap")
                    self._present[destination].item = item
            except (OSError, Unresolvable) as error:
                self.problem(destination, str(error))
        return taken

    def take_all(self) -> Taken:
        """Take every place away."""
        return self.bring(())

    def renew_stages(self) -> None:
        """Mount every staged place anew, so that it shows what the host has now.

        One that the worker has something open in keeps its layers: what is open stays usable.
        """
        for destination, present in list(self._present.items()):
            if isinstance(present.item, Stage):
                inside = [d for d in self._present if d.startswith(destination + "/")]
                taken = self._take_if_idle([destination, *inside])
                for item in taken:
                    self._add(item)

    def _take_if_idle(self, destinations: list[str]) -> list[Item]:
        """Take places off, the deepest first, until one is in use; what was, parents first."""
        taken: list[Item] = []
        for destination in sorted(destinations, key=lambda d: d.split("/"), reverse=True):
            item = self._present[destination].item
            if isinstance(item, (Folder, Link)):
                self.warden.door({"op": "remove", "target": destination})
                del self._present[destination]
            else:
                try:
                    self._unmount(destination, detach=False)
                except OSError as error:
                    if error.errno != errno.EBUSY:
                        raise
                    break
            taken.append(item)
        return taken[::-1]

    def drop_stages(self) -> None:
        """Mount every staged place anew, without what was staged, whoever has it open."""
        items = [present.item for present in self._present.values()]
        stages = [item for item in items if isinstance(item, Stage)]
        below = [d for d in self._present for s in stages if d.startswith(f"{s.destination}/")]
        for destination in sorted({*below, *(s.destination for s in stages)}, reverse=True):
            if isinstance(self._present[destination].item, (Folder, Link)):
                self.warden.door({"op": "remove", "target": destination})
                del self._present[destination]
            else:
                self._unmount(destination, detach=True)
        for item in items:
            if item.destination not in self._present:
                self._add(item)

    def close(self) -> None:
        """The worker is dead: forget everything. Staged changes are dropped."""
        for present in self._present.values():
            if present.upper >= 0:
                os.close(present.upper)
        self._present.clear()

    # --- staged places -----------------------------------------------------------------------

    def commit(self, deny: Deny = nothing_denied) -> Committed:
        """Review and commit what the cell changed in its staged places.

        deny: called with absolute real paths.
        """
        return together(
            commit_stage(present.item, present.upper, self.spent, deny, self.staging_bytes)
            for present in self._present.values()
            if isinstance(present.item, Stage)
        )

    # --- one item ----------------------------------------------------------------------------

    def _add(self, item: Item) -> None:
        upper = -1
        if isinstance(item, Bind):
            self._bind(item, "bind")
        elif isinstance(item, Skeleton):
            self.warden.door({"op": "skeleton", "target": item.destination})
        elif isinstance(item, Folder):
            self.warden.door({"op": "folder", "target": item.destination})
        elif isinstance(item, Link):
            message = {"op": "link", "target": item.destination, "text": item.target}
            if not self.warden.door(message)[0]["made"]:
                return  # Something that leads there already stands in the way.
        else:
            upper = self._stage(item)
        self._present[item.destination] = _Present(item, upper)

    def _bind(self, item: Bind, operation: str) -> None:
        kind = "directory" if item.directory else "file"
        place = Place(item.source, item.source, kind, item.device, item.inode)  # type: ignore[arg-type]
        witness = open_place(place)
        try:
            self.warden.door(
                {
                    "op": operation,
                    "target": item.destination,
                    "source": item.source,
                    "readonly": not item.writable,
                },
                (witness,),
            )
        finally:
            os.close(witness)

    def _stage(self, stage: Stage) -> int:
        place = Place(stage.destination, stage.destination, "directory", stage.device, stage.inode)
        opened = [open_place(place)]
        try:
            for seed in stage.seeds:
                opened.append(_open_seed(seed))
            message = {
                "op": "stage",
                "target": stage.destination,
                "source": stage.destination,
                "visible": stage.visible,
                "masks": stage.masks,
                "points": stage.points,
                "seeds": [seed.path for seed in stage.seeds],
                "bytes": self._room(stage, opened),
                "inodes": STAGE_INODES,
            }
            _, (upper,) = self.warden.door(message, opened)
        finally:
            for descriptor in opened:
                os.close(descriptor)
        return upper

    def _room(self, stage: Stage, opened: list[int]) -> int:
        """Bytes of the layers: what may still be written, and copies of what may be changed."""
        room = sum(os.fstat(descriptor).st_size for descriptor in opened[1:])
        for rule in stage.rules:
            if rule.max_bytes is None or rule.mode in (Mode.APPEND, Mode.WRITE):
                room += self.staging_bytes
            if rule.max_bytes is not None:
                used = self.spent.get(rule, Spent()).bytes
                room += max(rule.max_bytes - used, 0)
        return max(-(-room // PAGE_BYTES), 1) * PAGE_BYTES

    # --- taking off --------------------------------------------------------------------------

    def _take_off(self, gone: list[str], disturbed: list[str]) -> Taken:
        ids: set[int] = set()
        mapped: set[str] = set()
        for destination in sorted(gone + disturbed, key=len, reverse=True):
            item = self._present[destination].item
            if isinstance(item, (Folder, Link)):
                self.warden.door({"op": "remove", "target": destination})
                del self._present[destination]
                continue
            try:
                self._unmount(destination, detach=False)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                if destination in gone and not isinstance(item, Skeleton):
                    ids |= {m.mount_id for m in holders.mounts_at(self.pid, destination)}
                    pids = processes(self.pid)
                    mapped |= holders.mapped_below(pids, destination)
                self._unmount(destination, detach=True)
        if not ids:
            return Taken()
        return self._deal_with_holders(ids, mapped)

    def _deal_with_holders(self, ids: set[int], mapped: set[str]) -> Taken:
        found = holders.end_holders(self.pid, lambda pids: holders.find(pids, ids), self.wait)
        return Taken(
            tuple(sorted(set(found.dangerous.values()))),
            tuple(sorted(found.still_open | mapped)),
        )

    def _unmount(self, destination: str, *, detach: bool) -> None:
        self.warden.door({"op": "unmount", "target": destination, "detach": detach})
        present = self._present.pop(destination)
        if present.upper >= 0:
            os.close(present.upper)


def _follows(old: Item, new: Item | None) -> bool:
    """Whether `new` is the same grant of a single file, whose name leads to another file now."""
    return (
        isinstance(old, Bind)
        and isinstance(new, Bind)
        and not old.directory
        and not new.directory
        and old.writable == new.writable
    )


def _only_mounts_below_changed(old: Item, new: Item | None) -> bool:
    """Whether `new` is the same grant, and only what the host has mounted in it is not."""
    return isinstance(old, Bind) and isinstance(new, Bind) and replace(old, below=new.below) == new


def _open_seed(seed: Seed) -> int:
    path_only = open_place(Place(seed.source, seed.source, "file", seed.device, seed.inode))
    try:
        return os.open(f"/proc/self/fd/{path_only}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(path_only)
