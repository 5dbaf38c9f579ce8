"""Memory that is let go when there is none left, so that the error can be told.

At its memory limit a worker may have nothing left at all. Python says so with `MemoryError`;
libraries that it needs to tell the person of that may crash.
"""

from __future__ import annotations

import mmap

#: Bytes; reserved, and never touched.
_SIZE = 2_000_000


class Ballast:
    """Held while there is room for it."""

    def __init__(self) -> None:
        self._held: mmap.mmap | None = None
        self.take()

    def take(self) -> None:
        """Hold it, where there is room; else the next call tries again."""
        if self._held is None:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
            try:
                self._held = mmap.mmap(-1, _SIZE, flags=flags)
            except (OSError, MemoryError):
                self._held = None

    def let_go(self) -> None:
        """Make room."""
        if self._held is not None:
            self._held.close()
            self._held = None
