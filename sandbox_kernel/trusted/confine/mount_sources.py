"""What the warden mounts: detached copies of the host's mounts, taken in the warden's namespace.

A source is opened by name and must be the very file that the supervisor approved: its device and
inode come beside the name. An order that is about to come may name its source, which is then copied
while the supervisor still decides; the copy is for that order alone.
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass

from . import _sys_linux as linux

_EXACTLY = linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_MAGICLINKS

#: Device and inode.
Identity = tuple[int, int]


class MountRefused(OSError):
    """A command that makes no sense here (EINVAL); the text says why."""

    def __init__(self, text: str) -> None:
        super().__init__(errno.EINVAL, text)


@dataclass(frozen=True)
class _Prepared:
    """A detached copy of the one mount at `source`, without what is mounted below."""

    source: str
    tree: int


class MountSources:
    """The sources of one generation's mounts. All is to be called in the warden's namespace."""

    def __init__(self) -> None:
        self._prepared: _Prepared | None = None

    def prepare(self, source: str) -> None:
        """Copy what the next order may be to bind. What is wrong with it, that order meets."""
        self.forget()
        try:
            fd = linux.openat2(linux.AT_FDCWD, source, os.O_PATH, _EXACTLY)
        except (OSError, ValueError):  # It may be no path at all: nobody has looked at it yet.
            return
        try:
            self._prepared = _Prepared(source, linux.open_tree(fd, "", recursive=False))
        except OSError:
            return
        finally:
            os.close(fd)

    def forget(self) -> None:
        """The order did not come, or was another."""
        if self._prepared is not None:
            os.close(self._prepared.tree)
            self._prepared = None

    def take(self, source: str, approved: Identity, *, below: bool) -> tuple[int, bool]:
        """As `open`, the copy that was prepared for it if there is one.

        below: whether the host had mounts in it when it was approved.
        """
        prepared = self._prepared
        if prepared is None or below or prepared.source != source:
            return self.open(source, approved)
        is_directory = _is_directory(prepared.tree, source, approved)
        self._prepared = None
        return prepared.tree, is_directory

    @staticmethod
    def open(source: str, approved: Identity) -> tuple[int, bool]:
        """A detached copy of the tree at `source`, and whether it is a directory.

        Raises MountRefused, OSError.
        """
        fd = linux.openat2(linux.AT_FDCWD, source, os.O_PATH, _EXACTLY)
        try:
            is_directory = _is_directory(fd, source, approved)
            return linux.open_tree(fd, "", recursive=is_directory), is_directory
        finally:
            os.close(fd)


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
