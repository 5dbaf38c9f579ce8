"""Where a notebook's file is now.

Jupyter tells a kernel the path of its notebook once, at the start, and nothing when a person
renames or moves the notebook. So the file itself is held, by a descriptor that can neither read nor
write (O_PATH, open(2)), and asked for its present path (proc_pid_fd(5)). Whatever lies at the old
path afterwards, made by a cell perhaps, is another file and not this notebook.
"""

from __future__ import annotations

import contextlib
import os

SUFFIX = ".ipynb"


class NotebookFile:
    """One notebook's file, followed through renames, moves and saves. `path` is absolute."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._held = -1
        self._saved: tuple[int, int] | None = None
        self.look()

    def look(self) -> bool:
        """Bring `path` up to date; whether the file was saved since the last look.

        False also while there is no such file: one that is not saved yet, or was deleted.
        """
        self._follow()
        try:
            found = os.stat(self.path)
        except OSError:
            return False
        saved = found.st_mtime_ns, found.st_ino
        if saved == self._saved:
            return False
        self._saved = saved
        # Editors save by rename, too: then this is another file with the notebook's name.
        self._hold()
        return True

    def _follow(self) -> None:
        if self._held < 0 or self._is_held(self.path):
            return
        now = os.readlink(f"/proc/self/fd/{self._held}")
        if now.endswith(SUFFIX) and self._is_held(now):
            self.path = now

    def _is_held(self, path: str) -> bool:
        try:
            return os.path.samestat(os.stat(path), os.fstat(self._held))
        except OSError:
            return False

    def _hold(self) -> None:
        self.close()
        with contextlib.suppress(OSError):  # It went away just now: the next look sees that.
            self._held = os.open(self.path, os.O_PATH | os.O_CLOEXEC)

    def close(self) -> None:
        """Let go of the file. The last `path` stays."""
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
