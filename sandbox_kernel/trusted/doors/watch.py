"""Notice that a granted file was replaced on the host, as editors do when they save.

A bind mount keeps the old file. The directories of single-file grants are watched with inotify;
an event about one of these names makes the door compare names and files again. Between the rename
and the new mount the worker reads the old content, which it was granted.
"""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable

from . import _sys_inotify as inotify


class NameWatch:
    """Watches names on the running event loop. `changed` is called by it after events."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        self._watches: dict[str, int] = {}
        #: By number of a watch: the names in its directory.
        self._names: dict[int, set[str]] = {}

    def watch(self, paths: Iterable[str]) -> None:
        """Watch just these names from now on; absolute paths.

        Where the system has no watch left, a replaced file is noticed when the next cell starts.
        """
        names: dict[str, set[str]] = {}
        for path in paths:
            directory, name = os.path.split(path)
            names.setdefault(directory, set()).add(name)
        wanted = set(names)
        for directory in set(self._watches) - wanted:
            self._drop(directory)
        for directory in wanted - set(self._watches):
            self._add(directory)
        self._names = {}
        for directory, watch in self._watches.items():  # One of two paths may have the same.
            self._names.setdefault(watch, set()).update(names[directory])

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._watches.clear()
            self._names.clear()

    def _add(self, directory: str) -> None:
        try:
            if self._descriptor < 0:
                self._descriptor = inotify.create()
                self._loop.add_reader(self._descriptor, self._arrived)
            watch = inotify.add(self._descriptor, directory, inotify.NAME_CHANGES)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENOSPC, errno.ENOENT, errno.ENOTDIR):
                raise
            return
        self._watches[directory] = watch

    def _drop(self, directory: str) -> None:
        watch = self._watches.pop(directory)
        try:
            inotify.remove(self._descriptor, watch)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise

    def _arrived(self) -> None:
        meant = False
        while events := inotify.read(self._descriptor):
            # Of what the kernel could not keep it says only that there was something.
            meant = meant or any(
                mask & inotify.IN_Q_OVERFLOW or name in self._names.get(watch, ())
                for watch, mask, name in events
            )
        if meant:
            self._changed()
