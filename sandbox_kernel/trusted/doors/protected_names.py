"""Files that nobody may change: which file each of their names leads to, once cells could write.

Such a name is kept by a mount of its own, or by looking at each call. Neither says anything of a
file that a cell could open before a program of the host gave it the protected name, as editors
do that write another file first and rename it: whoever can change that file still is ended. One
that has yet another name is seen by the plan (`mount_table`).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable

from . import holders
from .file_rights import FileRights
from .mount_items import Bind, Item
from .taken import Taken

#: Device and inode.
Identity = tuple[int, int]


class ProtectedNames:
    """Those of one generation. wait: lets seconds pass while the worker's calls are answered."""

    def __init__(self, wait: Callable[[float], None]) -> None:
        self._wait = wait
        #: All protected paths, also when nothing is granted any more: what was open stays open.
        self._paths: tuple[str, ...] = ()
        #: What each was found to lead to last.
        self._known: dict[str, Identity] = {}
        #: Those that no cell can have given another name: it had none when it came by this one.
        self.single: dict[str, Identity] = {}
        #: Whether cells could write anywhere on the host at some time.
        self._opened = False

    @property
    def watched(self) -> tuple[str, ...]:
        """The names of which it must be heard that they lead elsewhere."""
        return self._paths if self._opened else ()

    def follow(
        self,
        rights: FileRights,
        items: Iterable[Item],
        worker: int,
        *,
        changed: Collection[str] = (),
        kept_by: Callable[[Collection[str]], Collection[int] | None],
    ) -> Taken:
        """Called when these items are in force: end whoever can change what is protected by now.

        changed: names that may have led elsewhere, if only for a moment. kept_by: gives the ids of
        the mounts at such names through which nothing is written, as `holders.find_changers` wants
        them.
        """
        opens = any(isinstance(item, Bind) and item.writable for item in items)
        if not opens and not self._opened:
            return Taken()  # As nearly always: nothing that anybody could change has been granted.
        if rights.read_only:
            patterns = (pattern for pattern in rights.read_only if not pattern.is_glob)
            self._paths = tuple(sorted({p for each in patterns for p in (each.real, each.path)}))
        now: dict[str, Identity] = {}
        for path in self._paths:
            found = _file_at(path)
            if found is not None:
                now[path] = found.st_dev, found.st_ino
                if found.st_nlink == 1 or not self._opened:
                    self.single[path] = now[path]
        before, self._known = self._known, now
        replaced = {
            identity: path
            for path, identity in now.items()
            if self._opened and (path in changed or before.get(path) != identity)
        }
        self._opened = True
        if not replaced:
            return Taken()
        kept = kept_by(replaced.values())
        return Taken.after(
            holders.end_holders(
                worker, lambda pids: holders.find_changers(pids, replaced, kept), self._wait
            )
        )


def _file_at(path: str) -> os.stat_result | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None  # Nothing is there, or nothing that we, and so a cell, may look at.
    return found if stat.S_ISREG(found.st_mode) else None
