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

#: A directory that is not there or not ours to look at, and the limits of the system.
_NOT_WATCHED = (
    *(errno.EMFILE, errno.ENOSPC, errno.ENOMEM),
    *(errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ELOOP),
)
_NONE = -1


class NameWatch:
    """Watches names on the running event loop.

    changed: called by it after events, with the paths that may lead elsewhere.
    """

    def __init__(self, changed: Callable[[set[str]], None]) -> None:
        self._changed = changed
        self._loop = asyncio.get_running_loop()
        self._descriptor = -1
        #: By number of a watch: the names in its directory, and the path of each.
        self._names: dict[int, dict[str, str]] = {}

    def watch(self, paths: Iterable[str]) -> None:
        """Watch just these names from now on, in the directories that lie there now; absolute.

        Where the system has no watch left, a replaced file is noticed when the next cell starts.
        """
        before, self._names = self._names, {}
        directories: dict[str, int] = {}
        for path in paths:
            directory, name = os.path.split(path)
            if directory not in directories:
                directories[directory] = self._number(directory)
            self._names.setdefault(directories[directory], {})[name] = path
        self._names.pop(_NONE, None)
        for number in before.keys() - self._names.keys():
            self._drop(number)

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
            self._names.clear()

    def _number(self, directory: str) -> int:
        """The number of the watch of a directory, which the kernel makes once for each."""
        try:
            if self._descriptor < 0:
                self._descriptor = inotify.create()
                self._loop.add_reader(self._descriptor, self._arrived)
            return inotify.add(self._descriptor, directory, inotify.NAME_CHANGES)
        except OSError as error:
            if error.errno not in _NOT_WATCHED:
                raise
            return _NONE

    def _drop(self, number: int) -> None:
        try:
            inotify.remove(self._descriptor, number)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise

    def _arrived(self) -> None:
        meant: set[str] = set()
        while events := inotify.read(self._descriptor):
            for watch, mask, name in events:
                if mask & inotify.IN_Q_OVERFLOW:  # The kernel could not keep what it was.
                    meant.update(*(names.values() for names in self._names.values()))
                elif name in self._names.get(watch, {}):
                    meant.add(self._names[watch][name])
        if meant:
            self._changed(meant)
