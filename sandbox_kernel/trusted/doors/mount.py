"""The mount door: bring a live worker's mounts from what they are to what its rights say.

The plan (`mount_table`) is compared with what is mounted; only the difference is carried out, by
the warden, in the worker's mount namespace. Taking away is more than an unmount: see `holders`.
Methods are called by one thread at a time.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from . import holders
from .mount_items import Bind, Folder, Item, Link, Skeleton, Stage, protections
from .staged_places import STAGING_BYTES, Committed, commit_stage, together
from .staged_review import (
    Deny,
    Mode,
    Spent,
    StageRule,
    nothing_denied,
)
from .taken import Taken
from .worker_processes import processes

PAGE_BYTES = 4096
STAGE_INODES = 65_536


class Warden(Protocol):
    """The warden as this door needs it; see confine.door_mounts for the operations."""

    def door(self, message: Mapping[str, object]) -> tuple[dict[str, Any], list[int]]:
        """Have one operation carried out: the answer, and descriptors that came with it.

        Raises OSError with the warden's error number.
        """

    def rouse(self, source: str | None = None) -> None:
        """Have the warden be awake when the next operation comes, within a millisecond; it may be
        to mount `source`.
        """


@dataclass
class _Present:
    """sealed: a place for writing that is read-only until what it protects has its own mounts."""

    item: Item
    upper: int = -1
    sealed: bool = False


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
    #: Protected names whose mount was found to have gone, with the file, at the last change.
    lost: set[str] = field(default_factory=set)
    _present: dict[str, _Present] = field(default_factory=dict)
    #: By destination: ids of mounts that somebody had something open in when they were taken off,
    #: of places that were mounted anew.
    _detached: dict[str, set[int]] = field(default_factory=dict)

    # --- changing ----------------------------------------------------------------------------

    def bring(self, wanted: Iterable[Item]) -> Taken:
        """Make the mounts be `wanted`, which lists parents before what stands in them.

        A place that cannot be mounted (it moved meanwhile, or something is in its way) is told to
        `problem` and left out; nothing that was taken away comes back.
        """
        table = {item.destination: item for item in wanted}
        gone, swapped, renewed = [], [], []
        self.lost = self._find_lost()
        for destination, present in self._present.items():
            item = table.get(destination)
            if isinstance(item, Bind) and destination in self.lost:
                swapped.append(destination)
                continue
            if item is not None and item == present.item:
                present.item = item  # It may be held by now, or no more.
                continue
            if _follows(present.item, item):
                swapped.append(destination)
            elif _only_mounts_below_changed(present.item, item):
                renewed.append(destination)
            else:
                gone.append(destination)
        # What is mounted over others hides them.
        new = [d for d, item in table.items() if d not in self._present and not _makes_room(item)]
        disturbed = [
            destination
            for destination in self._present
            if destination not in gone
            and (
                destination in renewed
                or any(destination.startswith(above + "/") for above in (*gone, *renewed, *new))
            )
        ]
        taken = self._take_off(gone, disturbed)
        for destination in self._present.keys() & swapped:
            item, present = table[destination], self._present[destination]
            assert isinstance(item, Bind)
            if destination in self.lost:
                present.item = replace(item, device=0, inode=0)  # Nothing is there until it is.
            with self._told(destination):
                self._bind(item, "swap")
                present.item = item
        return taken.with_more(self._mount(tuple(table.values())))

    @contextmanager
    def _told(self, destination: str) -> Iterator[None]:
        """A place that cannot be mounted is told to `problem`, and left out."""
        try:
            yield
        except OSError as error:
            self.problem(destination, str(error))

    def _mount(self, items: Sequence[Item]) -> Taken:
        """Mount those that are not there, parents before what stands in them.

        A place for writing is read-only until all that is protected in it has its own mount. One
        that must be so again while a file is being written in it is taken off: what that took.
        """
        for item in items:
            if item.destination not in self._present:
                with self._told(item.destination):
                    held = isinstance(item, Bind) and item.held
                    self._add(item, sealed=held or bool(protections(item, items)))
        taken = Taken()
        for item in items:
            kept = protections(item, items)
            held = isinstance(item, Bind) and item.held
            present = self._present.get(item.destination)
            if not (kept or held) or present is None:
                continue
            if not held and all(self._shows(protection) for protection in kept):
                if present.sealed:
                    self._switch(item.destination, read_only=False)
                    present.sealed = False
            elif not self._seal(item.destination):
                inside = [d for d in self._present if d.startswith(f"{item.destination}/")]
                taken = taken.with_more(self._take_off([item.destination, *inside], []))
                self.problem(item.destination, "what is protected in it moved meanwhile")
        return taken

    def _seal(self, destination: str) -> bool:
        """Let nothing be written there for now; False where a file is being written."""
        present = self._present[destination]
        if not present.sealed:
            try:
                self._switch(destination, read_only=True)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                return False
            present.sealed = True
        return True

    def _find_lost(self) -> set[str]:
        """Protected names whose mount has gone: with it goes a file that the host replaces."""
        names = {destination for destination in self._present if self._protects(destination)}
        return names and names - {mounted.point for mounted in self._mounts()}

    def mounts_on(self, names: Collection[str]) -> set[int]:
        """The ids of the mounts that stand exactly there."""
        return {mounted.mount_id for mounted in self._mounts() if mounted.point in names}

    def _mounts(self) -> tuple[holders.Mounted, ...]:
        try:
            return holders.mounts_at(self.pid, "")
        except FileNotFoundError:
            return ()  # The worker has ended.

    def held(self) -> list[str]:
        """Places for writing in which nothing can be written for now."""
        return [destination for destination, present in self._present.items() if present.sealed]

    def _shows(self, item: Item) -> bool:
        present = self._present.get(item.destination)
        return present is not None and present.item == item

    def _switch(self, destination: str, *, read_only: bool) -> None:
        self.warden.door({"op": "read-only", "target": destination, "on": read_only})

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
                self._mount(self._take_if_idle([destination, *inside]))

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
                self._detached.setdefault(destination, set()).update(self._ids_at(destination))
                self._unmount(destination, detach=True)
        self._mount(items)

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

    def _add(self, item: Item, *, sealed: bool) -> None:
        upper = -1
        if isinstance(item, Bind):
            self._bind(item, "bind", sealed=sealed)
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
        self._present[item.destination] = _Present(item, upper, sealed)

    def _bind(self, item: Bind, operation: str, *, sealed: bool = False) -> None:
        self.warden.door(
            {
                "op": operation,
                "target": item.destination,
                "source": item.source,
                "device": item.device,
                "inode": item.inode,
                "below": bool(item.below),
                "readonly": not item.writable,
                "sealed": sealed,
                "may_be_gone": self._protects(item.destination),
            }
        )

    def _stage(self, stage: Stage) -> int:
        _, (upper,) = self.warden.door(
            {
                "op": "stage",
                "target": stage.destination,
                "source": stage.destination,
                "device": stage.device,
                "inode": stage.inode,
                "visible": stage.visible,
                "masks": stage.masks,
                "points": stage.points,
                "links": stage.links,
                "seeds": [(s.path, s.source, s.device, s.inode) for s in stage.seeds],
                "bytes": self._room(stage),
                "inodes": STAGE_INODES,
            }
        )
        return upper

    def _room(self, stage: Stage) -> int:
        """Bytes of the layers: what may still be written, and copies of what may be changed."""
        room = sum(_in_pages(os.lstat(seed.source).st_size) for seed in stage.seeds)
        for rule in stage.rules:
            if rule.max_bytes is None or rule.mode in (Mode.APPEND, Mode.WRITE):
                room += self.staging_bytes
            if rule.max_bytes is not None:
                used = self.spent.get(rule, Spent()).bytes
                room += max(rule.max_bytes - used, 0)
        return max(_in_pages(room), PAGE_BYTES)

    # --- taking off --------------------------------------------------------------------------

    def _take_off(self, gone: Sequence[str], disturbed: Sequence[str]) -> Taken:
        """Unmount these; `disturbed` ones are to be mounted anew."""
        ids: set[int] = set()
        mapped: set[str] = set()

        def detach(destination: str) -> None:
            if destination not in gone:
                self._detached.setdefault(destination, set()).update(self._ids_at(destination))
            elif not isinstance(self._present[destination].item, Skeleton):
                ids.update(self._ids_at(destination))
                mapped.update(holders.mapped_below(processes(self.pid), destination))
            self._unmount(destination, detach=True)

        for destination in self._that_protect(*gone, *disturbed):
            if destination not in self._present:
                continue  # It went with one above it.
            if not self._seal(destination):
                detach(destination)  # With all its protections at once: a file is being written.
        for destination in sorted((*gone, *disturbed), key=len, reverse=True):
            present = self._present.get(destination)
            if present is None:
                continue
            if isinstance(present.item, (Folder, Link)):
                self.warden.door({"op": "remove", "target": destination})
                del self._present[destination]
                continue
            try:
                self._unmount(destination, detach=False)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                detach(destination)
        for destination in gone:
            ids |= self._detached.pop(destination, set())
        # A number is given again once its mount is gone.
        ids -= {mounted.mount_id for mounted in holders.mounts_at(self.pid, "")} if ids else set()
        return self._deal_with_holders(ids, mapped) if ids else Taken()

    def _that_protect(self, *destinations: str) -> list[str]:
        """Those of these places in which something is protected by a mount of its own."""
        items = [present.item for present in self._present.values()]
        return [d for d in destinations if protections(self._present[d].item, items)]

    def _protects(self, destination: str) -> bool:
        """Whether a mount stands on a file of the host's, directly in a live place for writing.

        Its folder is a mount point: the cell cannot move it. The host can replace the file.
        """
        above = self._present.get(os.path.dirname(destination))
        return above is not None and isinstance(above.item, Bind) and above.item.writable

    def _ids_at(self, destination: str) -> set[int]:
        return {mounted.mount_id for mounted in holders.mounts_at(self.pid, destination)}

    def _deal_with_holders(self, ids: set[int], mapped: set[str]) -> Taken:
        found = holders.end_holders(self.pid, lambda pids: holders.find(pids, ids), self.wait)
        found.still_open |= mapped
        return Taken.after(found)

    def _unmount(self, destination: str, *, detach: bool) -> None:
        protects = self._protects(destination)
        order = {"op": "unmount", "target": destination, "detach": detach, "may_be_gone": protects}
        self.warden.door(order)
        inside = [d for d in self._present if detach and d.startswith(destination + "/")]
        for gone in (destination, *inside):
            present = self._present.pop(gone)
            if present.upper >= 0:
                os.close(present.upper)


def _in_pages(size: int) -> int:
    """What a file of so many bytes takes of a tmpfs."""
    return -(-size // PAGE_BYTES) * PAGE_BYTES


def _makes_room(item: Item) -> bool:
    """Whether it is made in what is there, and covers nothing."""
    return isinstance(item, Folder | Link)


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
