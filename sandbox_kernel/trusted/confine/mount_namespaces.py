"""The mount namespaces that the warden visits, beside its own and the worker's.

Layers of staged places and of skeletons live in tmpfs file systems of a third namespace that no
process is in: nothing of them has a path on the host or in the worker.

What a path means depends on where one is: whoever names one of the host's goes home first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import _sys_linux as linux

_PLAIN = linux.MS_NOSUID | linux.MS_NODEV


class Whereabouts:
    """The mount namespace that the process is in; it goes only where it is not yet (setns(2)).

    Both by descriptor, which become this object's. It begins at home.
    """

    def __init__(self, home: int, worker: int) -> None:
        self._home, self._worker = home, worker
        #: -1 while that is not known.
        self._here = home

    def go_home(self) -> None:
        """To the warden's own. Raises OSError."""
        self.go(self._home)

    def go_to_the_worker(self) -> None:
        """Raises OSError."""
        self.go(self._worker)

    def go(self, namespace: int) -> None:
        """To any other. Raises OSError."""
        if namespace != self._here:
            self._here = -1
            linux.setns(namespace, linux.CLONE_NEWNS)
            self._here = namespace

    def leave_for_a_copy(self) -> None:
        """Into a new namespace with what is mounted at home (unshare(2)). Raises OSError."""
        self.go_home()
        self._here = -1
        linux.unshare(linux.CLONE_NEWNS)

    def close(self) -> None:
        """Go home and let go. Raises OSError."""
        self.go_home()
        for namespace in (self._home, self._worker):
            os.close(namespace)


class LayersHouse:
    """The third namespace: a copy of the warden's own, with an empty tmpfs over some directory.

    It is made when it is first entered.
    """

    def __init__(self, where: Whereabouts) -> None:
        self._where = where
        self._house = -1
        self._floor = ""
        self._count = 0

    def close(self) -> None:
        """Let it go, with all that is in it."""
        if self._house >= 0:
            os.close(self._house)
            self._house = -1

    @contextmanager
    def entered(self) -> Iterator[LayersHouse]:
        """Be in it for a moment, and at home after that."""
        if self._house < 0:
            self._house = self._made()
        self._where.go(self._house)
        try:
            yield self
        finally:
            self._where.go_home()

    def _made(self) -> int:
        self._where.leave_for_a_copy()
        try:
            linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
            places = ("/tmp", "/mnt", "/home", "/usr")
            self._floor = next(path for path in places if os.path.isdir(path))
            linux.mount("tmpfs", self._floor, "tmpfs", _PLAIN, "size=1m,mode=700")
            return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            self._where.go_home()

    def new(self, options: str) -> str:
        """A tmpfs of its own, by path. To be called within, as `drop`."""
        self._count += 1
        path = f"{self._floor}/{self._count}"
        os.mkdir(path, 0o700)
        linux.mount("tmpfs", path, "tmpfs", _PLAIN, options)
        return path

    def drop(self, path: str) -> None:
        """Take one away."""
        linux.unmount(path, linux.MNT_DETACH)
        os.rmdir(path)
