"""The scratch at levels without a mount namespace: a private folder of the host's."""

from __future__ import annotations

import os

from ..locked_folder import LockedFolder

#: Short: the address of a Unix socket below it, as `multiprocessing` makes one, has 107 bytes.
PREFIX = "skscratch-"
_FOLDERS = ("home", "tmp", "shm")


class HostScratch:
    """One scratch; `path` is what the worker gets, of mode 700."""

    def __init__(self, parent: str) -> None:
        self._base = LockedFolder(parent, PREFIX)
        self.path = f"{self._base.path}/s"
        for folder in ("", *_FOLDERS):
            os.mkdir(f"{self.path}/{folder}".rstrip("/"), 0o700)

    def remove(self) -> None:
        """Remove it with all that a worker made there. Its processes must be dead."""
        self._base.remove()
