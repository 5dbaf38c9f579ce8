"""What the warden mounts: detached copies of the host's mounts, taken in the warden's namespace.

A source is opened by name and must be the very file that the supervisor approved: its device and
inode come beside the name. An order that is about to come may name its source, which is then copied
while the supervisor still decides, as for who may read it only; the copy is for that order alone.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from . import _sys_linux as linux
from .mount_namespaces import Whereabouts

#: The attributes of what may only be read.
READ_ONLY = linux.ATTR_NOSUID | linux.ATTR_NODEV | linux.ATTR_NOEXEC | linux.ATTR_RDONLY

_EXACTLY = linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_MAGICLINKS

#: Device and inode.
Identity = tuple[int, int]


class MountRefused(OSError):
    """A command that makes no sense here (EINVAL); the text says why."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EINVAL, text)


@dataclass(frozen=True)
class _Prepared:
    """A detached read-only copy of the one mount at `source`, without what is mounted below."""

    source: str
    tree: int


class MountSources:
    """The sources of one generation's mounts; they are looked for at home."""

    def __init__(self, where: Whereabouts) -> None:
        self._where = where
        self._prepared: _Prepared | None = None

    def prepare(self, source: str) -> None:
        """Copy what the next order may be to bind, when nothing is kept for another. What is wrong
        with it, that order meets.
        """
        self._where.go_home()
        try:
            fd = linux.openat2(linux.AT_FDCWD, source, os.O_PATH, _EXACTLY)
        except (OSError, ValueError):  # It may be no path at all: nobody has looked at it yet.
            return
        try:
            self._prepared = _Prepared(source, _copied(fd, READ_ONLY, recursive=False))
        except OSError:
            return
        finally:
            os.close(fd)

    def forget(self) -> None:
        """The order did not come, or was another."""
        prepared, self._prepared = self._prepared, None
        if prepared is not None:
            os.close(prepared.tree)

    def take(
        self, source: str, approved: Identity, attributes: int, *, below: bool
    ) -> tuple[int, bool]:
        """A detached copy of the tree at `source`, and whether it is a directory.

        The copy that was prepared for it, if there is one that fits. attributes: of all mounts in
        it. below: whether the host had mounts in it when it was approved. Raises MountRefused,
        OSError.
        """
        prepared = self._prepared
        if prepared is None or (source, attributes, below) != (prepared.source, READ_ONLY, False):
            return self._look_and_copy(source, approved, attributes)
        is_directory = _is_directory(prepared.tree, source, approved)
        self._prepared = None
        return prepared.tree, is_directory

    def _look_and_copy(self, source: str, approved: Identity, attributes: int) -> tuple[int, bool]:
        self._where.go_home()
        fd = linux.openat2(linux.AT_FDCWD, source, os.O_PATH, _EXACTLY)
        try:
            is_directory = _is_directory(fd, source, approved)
            return _copied(fd, attributes, recursive=is_directory), is_directory
        finally:
            os.close(fd)


def _copied(fd: int, attributes: int, *, recursive: bool) -> int:
    tree = linux.open_tree(fd, "", recursive=recursive)
    try:
        # Private: a mount that comes later would be writable in a read-only grant.
        linux.set_mount_attributes(tree, "", attributes, recursive=True, private=True)
    except BaseException:
        os.close(tree)
        raise
    return tree


def open_file(root: int, source: str, approved: Identity) -> int:
    """A readable descriptor of a regular file, by absolute path from the descriptor `root`.

    To be called in any namespace. Raises MountRefused, OSError.
    """
    # What has taken its place may be a pipe, for whose other end one would wait.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY
    fd = linux.openat2(root, source, flags, _EXACTLY | linux.RESOLVE_IN_ROOT)
    try:
        if _is_directory(fd, source, approved):
            raise MountRefused(f"{source}: not a file")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _is_directory(opened: int, source: str, approved: Identity) -> bool:
    """Whether what was opened is one. Raises MountRefused unless it is what was approved."""
    found = os.fstat(opened)
    if (found.st_dev, found.st_ino) != approved:
        raise MountRefused(f"{source}: the name no longer leads to what was approved")
    is_directory = stat.S_ISDIR(found.st_mode)
    if not is_directory and not stat.S_ISREG(found.st_mode):
        raise MountRefused(f"{source}: neither a regular file nor a directory")
    return is_directory
