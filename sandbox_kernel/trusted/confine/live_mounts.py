"""Bind mounts into a live worker's mount namespace, and out of it again.

Every path is resolved below the worker's root without following symbolic links: what a cell made
cannot lead a mount elsewhere. The root tmpfs is read-only for the worker; mount points are made
through a detached, writable copy of it that only the warden holds.
"""

from __future__ import annotations

import errno
import os
import stat

from . import _sys_linux as linux

_UMOUNT_NOFOLLOW = 8
_BELOW_ROOT = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_MAGICLINKS
_EXACTLY = linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_MAGICLINKS


class MountRefused(Exception):
    """A mount command that makes no sense here; the text says why."""


class LiveMount:
    """One granted place: `mount_id` as in /proc/PID/fdinfo, and what was made for it."""

    def __init__(
        self, target: str, source: str, readonly: bool, mount_id: int, made: tuple[str, ...]
    ) -> None:
        self.target, self.source, self.readonly = target, source, readonly
        self.mount_id, self.made = mount_id, made


class LiveMounts:
    """The granted places of one generation."""

    def __init__(self, own: int, namespace: int, root: int, writable: int) -> None:
        """`own` and `namespace` are mount namespaces (warden's, worker's), `root` the worker's
        root directory, `writable` the detached copy of its tmpfs."""
        self._own, self._namespace, self._root, self._writable = own, namespace, root, writable
        self.mounts: dict[str, LiveMount] = {}

    def close(self) -> None:
        """Let go of the generation."""
        for fd in (self._namespace, self._root, self._writable):
            os.close(fd)

    def grant(
        self, source: str, witness: int, target: str, *, readonly: bool, beneath: bool
    ) -> LiveMount:
        """Mount `source` at `target`. `witness` is the supervisor's own O_PATH descriptor of the
        source: a name that meanwhile leads elsewhere is refused.

        `beneath` slides the new mount under the present one and takes that off (Linux 6.5).
        """
        old = self.mounts.get(target)
        if beneath != (old is not None):
            raise MountRefused(f"{target}: {'nothing is' if beneath else 'already'} mounted there")
        fd = linux.openat2(linux.AT_FDCWD, source, os.O_PATH, _EXACTLY)
        try:
            mine, theirs = os.fstat(fd), os.fstat(witness)
            if (mine.st_dev, mine.st_ino) != (theirs.st_dev, theirs.st_ino):
                raise MountRefused(f"{source}: the name no longer leads to what was approved")
            if not stat.S_ISDIR(mine.st_mode) and not stat.S_ISREG(mine.st_mode):
                raise MountRefused(f"{source}: neither a regular file nor a directory")
            tree = linux.open_tree(fd, "", recursive=stat.S_ISDIR(mine.st_mode))
        finally:
            os.close(fd)
        try:
            attributes = linux.ATTR_NOSUID | linux.ATTR_NODEV
            attributes |= linux.ATTR_RDONLY if readonly else 0
            linux.set_mount_attributes(tree, "", attributes, recursive=True)
            linux.setns(self._namespace, linux.CLONE_NEWNS)
            try:
                made = old.made if old else self._make(target, stat.S_ISDIR(mine.st_mode))
                identity = self._attach(tree, target, beneath=beneath)
            finally:
                linux.setns(self._own, linux.CLONE_NEWNS)
        finally:
            os.close(tree)
        granted = LiveMount(target, source, readonly, identity, made)
        self.mounts[target] = granted
        return granted

    def revoke(self, target: str, *, detach: bool) -> LiveMount:
        """Unmount `target` and remove the mount point that was made for it.

        Raises OSError(EBUSY) while something below is open, unless `detach`: then the names are
        gone at once and open descriptors keep their files until their holders are dealt with.
        """
        mount = self.mounts.get(target)
        if mount is None:
            raise MountRefused(f"{target}: not granted")
        linux.setns(self._namespace, linux.CLONE_NEWNS)
        try:
            self._unmount(target, linux.MNT_DETACH if detach else 0)
        finally:
            linux.setns(self._own, linux.CLONE_NEWNS)
        del self.mounts[target]
        for path in reversed(mount.made):
            self._remove(path)
        return mount

    def _attach(self, tree: int, target: str, *, beneath: bool) -> int:
        place = linux.openat2(self._root, target, os.O_PATH, _BELOW_ROOT)
        try:
            linux.move_mount(tree, place, beneath=beneath)
        finally:
            os.close(place)
        if beneath:
            self._unmount(target, linux.MNT_DETACH)
        place = linux.openat2(self._root, target, os.O_PATH, _BELOW_ROOT)
        try:
            return mount_id(place)
        finally:
            os.close(place)

    def _unmount(self, target: str, flags: int) -> None:
        parent, name = os.path.split(target.rstrip("/"))
        place = linux.openat2(self._root, parent, os.O_PATH, _BELOW_ROOT)
        try:
            os.fchdir(place)
            linux.unmount(name, flags | _UMOUNT_NOFOLLOW)
        finally:
            os.close(place)
            os.chdir("/")

    def _make(self, target: str, is_directory: bool) -> tuple[str, ...]:
        """Make `target` in the root tmpfs unless it is there; which paths were made."""
        parts = [part for part in target.split("/") if part]
        if not parts or any(part in (".", "..") for part in parts):
            raise MountRefused(f"{target}: not a place for a grant")
        made: list[str] = []
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            directory = is_directory or depth < len(parts)
            try:
                found = linux.openat2(self._root, path, os.O_PATH, _BELOW_ROOT)
            except FileNotFoundError:
                self._make_one(path, os.path.dirname(path), directory)
                made.append(path)
                continue
            there = os.fstat(found)
            os.close(found)
            if stat.S_ISDIR(there.st_mode) != directory:
                raise MountRefused(f"/{path}: a {'file' if directory else 'directory'} is there")
        return tuple(made)

    def _make_one(self, path: str, parent: str, directory: bool) -> None:
        above = linux.openat2(self._root, parent or "/", os.O_PATH, _BELOW_ROOT)
        try:
            in_root = os.fstat(above).st_dev == os.fstat(self._writable).st_dev
        finally:
            os.close(above)
        if not in_root:
            raise MountRefused(f"/{path}: does not exist, and cannot be made in what is mounted")
        if directory:
            os.mkdir(path, 0o755, dir_fd=self._writable)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(path, flags, 0o444, dir_fd=self._writable))

    def _remove(self, path: str) -> None:
        try:
            os.unlink(path, dir_fd=self._writable)
        except IsADirectoryError:
            try:
                os.rmdir(path, dir_fd=self._writable)
            except OSError as error:
                # Something else is mounted or made below it; it stays, empty and read-only.
                if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
                    raise


def mount_id(fd: int) -> int:
    """Which mount a descriptor is on, as /proc names it (proc_pid_fdinfo(5)).

    statx(2) would need no /proc, but Python has no binding for it before 3.15.
    """
    with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("mnt_id:"):
                return int(line.split()[1])
    raise OSError(errno.ENODATA, "no mount id in fdinfo")
