"""The mount namespaces that the warden visits, beside its own and the worker's.

Layers of staged places and of skeletons live in tmpfs file systems of a third namespace that no
process is in: nothing of them has a path on the host or in the worker.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import _sys_linux as linux

_PLAIN = linux.MS_NOSUID | linux.MS_NODEV


@contextmanager
def within(namespace: int, home: int) -> Iterator[None]:
    """Be in another mount namespace for a moment; both by descriptor (setns(2))."""
    linux.setns(namespace, linux.CLONE_NEWNS)
    try:
        yield
    finally:
        linux.setns(home, linux.CLONE_NEWNS)


class LayersHouse:
    """The third namespace: a copy of `home`, the warden's, with an empty tmpfs over some directory.

    It is made when it is first entered.
    """

    def __init__(self, home: int) -> None:
        self._home = home
        self._house = -1
        self._floor = ""
        self._count = 0

    def close(self) -> None:
        """Let it go, with all that is in it. `home` stays."""
        if self._house >= 0:
            os.close(self._house)
            self._house = -1

    @contextmanager
    def entered(self) -> Iterator[LayersHouse]:
        """Be in it for a moment."""
        if self._house < 0:
            self._house = self._made()
        with within(self._house, self._home):
            yield self

    def _made(self) -> int:
        linux.unshare(linux.CLONE_NEWNS)
        try:
            linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
            places = ("/tmp", "/mnt", "/home", "/usr")
            self._floor = next(path for path in places if os.path.isdir(path))
            linux.mount("tmpfs", self._floor, "tmpfs", _PLAIN, "size=1m,mode=700")
            return os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            linux.setns(self._home, linux.CLONE_NEWNS)

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
