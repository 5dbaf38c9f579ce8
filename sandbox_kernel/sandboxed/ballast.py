"""Memory that is let go when there is none left, so that the error can be told.

At its memory limit a worker may have nothing left at all. Python says so with `MemoryError`;
libraries that it needs to tell the person of that may crash.
"""

from __future__ import annotations

import mmap

from ._sys_memory import give_back

#: Bytes; reserved, and never touched.
_SIZE = 3_000_000
#: Bytes that can be had when a worker is not short any more: more than a full one is left.
_PLENTY = 16_000_000


class Ballast:
    """Held while there is room for it."""

    def __init__(self) -> None:
        self._held: mmap.mmap | None = None
        self._was_short = False
        self.take()

    def take(self) -> None:
        """Hold it, where there is room; else the next call tries again."""
        if self._held is None:
            try:
                self._held = mmap.mmap(-1, _SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            except (OSError, MemoryError):
                self._held = None

    def let_go_if_short(self) -> None:
        """Make room where there is none. For the kernel's own code behind a cell's: nothing that it
        does may fail, so it must find some memory whatever the cell did.
        """
        if not has_room(_SIZE):
            self.let_go()
            self._was_short = True

    def give_back_after_short(self) -> None:
        """A cell is over. After one that was short: what it or a later one has freed must count as
        free, or the next one would soon meet the limit again.
        """
        if self._was_short:
            give_back()
            self._was_short = not has_room(_PLENTY)

    def let_go(self) -> None:
        """Make room."""
        if self._held is not None:
            self._held.close()
            self._held = None


def has_room(size: int) -> bool:
    """Whether `size` bytes could be had now."""
    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, MemoryError):
        return False
    return True
