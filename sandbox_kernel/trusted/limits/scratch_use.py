"""How full the worker's scratch is, seen from outside through /proc/PID/root (proc(5))."""

from __future__ import annotations

import os

from ..disk_use import Use, add_up
from .sampling import MonitorFailed

#: Seconds that a count of files one by one is taken for true.
_FRESH = 0.5


class ScratchUse:
    """The use of one worker's scratch: what its file system says, or the sum of its files."""

    def __init__(self, pid: int, path: str) -> None:
        """`path` is where the worker `pid` has its scratch."""
        self._root = f"/proc/{pid}/root{path}"
        self._own_file_system: bool | None = None
        self._counted = Use()
        self._counted_at = -_FRESH

    @property
    def own_file_system(self) -> bool:
        """Whether the scratch is a file system of limited size. Raises OSError."""
        if self._own_file_system is None:
            above = os.path.dirname(self._root.rstrip("/"))
            self._own_file_system = os.stat(self._root).st_dev != os.stat(above).st_dev
        return self._own_file_system

    def look(self, clock: float) -> Use:
        """The use now; `clock` is in seconds. A worker that has ended uses what it used last.

        Raises `MonitorFailed`.
        """
        try:
            if self.own_file_system:
                found = os.statvfs(self._root)
                used = (found.f_blocks - found.f_bfree) * found.f_frsize
                self._counted = Use(used, max(found.f_files - found.f_ffree - 1, 0))
            elif clock - self._counted_at >= _FRESH:
                self._counted, self._counted_at = add_up(self._root), clock
        except (FileNotFoundError, ProcessLookupError):
            pass  # It has just ended; the monitor is told by other means.
        except OSError as error:
            raise MonitorFailed(f"the scratch cannot be measured: {error}") from error
        return self._counted
