"""Files that nobody may change, in places where cells may write: which file each name leads to.

Such a name is kept by a mount of its own, or by a look at each call. Neither says anything of a
file that a cell could open before a program of the host gave it the protected name, as editors
do that write another file first and rename it: whoever can change that file still is ended. One
that has yet another name is seen by the plan (`mount_table`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import holders
from .mount_items import Bind, Item, protections
from .taken import Taken


class ProtectedNames:
    """Those of one generation.

    told: called with a name and what its file's replacement came to. wait: lets seconds pass while
    the worker's calls are answered.
    """

    def __init__(self, told: Callable[[str, str], None], wait: Callable[[float], None]) -> None:
        self._told, self._wait = told, wait
        #: Device and inode of what each name was found to lead to last.
        self._known: dict[str, tuple[int, int]] = {}
        #: Places in which cells could write at some time.
        self._opened: set[str] = set()

    def follow(self, items: Sequence[Item], worker: int) -> Taken:
        """Called when these items are in force: end whoever can change what is protected by now."""
        replaced = self._replaced(items)
        if not replaced:
            return Taken()

        def look(pids: list[int]) -> holders.Holders:
            return holders.find_changers(pids, replaced)

        taken = Taken.after(holders.end_holders(worker, look, self._wait))
        for why in taken.killed:
            for name in replaced.values():
                self._told(name, f"who held it was ended: {why}")
        return taken

    def _replaced(self, items: Sequence[Item]) -> dict[tuple[int, int], str]:
        """The files that have come by a protected name since the last look, and that name."""
        found: dict[tuple[int, int], str] = {}
        for place in items:
            for kept in protections(place, items):
                now = kept.device, kept.inode
                before = self._known.get(kept.destination)
                if now != before and (before is not None or place.destination in self._opened):
                    found[now] = kept.destination
                self._known[kept.destination] = now
        self._opened |= {i.destination for i in items if isinstance(i, Bind) and i.writable}
        return found
