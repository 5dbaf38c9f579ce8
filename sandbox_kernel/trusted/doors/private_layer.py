"""A staged place without namespaces: what an overlay does in the kernel, done by the supervisor.

The upper side is a private directory that no rule of the worker's Landlock reaches. It has the
form that overlayfs gives it (whiteouts are character devices 0/0, opaque directories carry
`user.overlay.opaque`), so that the same listings, review and commit work on it. The supervisor
opens files for the worker: from the upper side where the name is there, from the host where not;
whoever wants to change a file gets a copy on the upper side.

What differs from the mount door: a private layer has no size of its own, so that too many bytes
are refused when the cell ends, not when they are written (copies of the host's files excepted), and
the monitor sees them only when it looks (`bytes`); the working directory cannot be one that was
made in the same cell.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
import time
from collections.abc import Iterable

from ..disk_use import add_up
from ..locked_folder import LockedFolder
from . import _sys_files
from .layer_views import Views
from .mount_items import Stage
from .resolve import BENEATH
from .staged_places import STAGING_BYTES

PREFIX = "sandbox-kernel-staged-"
_WANTS_CHANGE = os.O_WRONLY | os.O_RDWR | os.O_TRUNC
_COPY_BYTES = 1 << 20
_WHITEOUT = 0
#: Seconds that a count of bytes is taken for true.
_FRESH = 0.5


def no_such_file() -> OSError:
    """ENOENT."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


class PrivateLayer:
    """One staged place. Paths are relative to it, without `..` and links; "" is the place."""

    def __init__(self, stage: Stage, lower: int) -> None:
        """`lower` is a directory descriptor of the host's place, which becomes this object's."""
        self.stage = stage
        self.lower = lower
        self._folder = LockedFolder(tempfile.gettempdir(), PREFIX)
        self._base = self._folder.path
        os.mkdir(f"{self._base}/upper", 0o700)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        self.upper = os.open(f"{self._base}/upper", flags)
        self._views = Views(f"{self._base}/views")
        self._left = STAGING_BYTES + sum(rule.max_bytes or 0 for rule in stage.rules)
        self._counted, self._counted_at = 0, -_FRESH

    def close(self) -> None:
        """Drop what is staged."""
        os.close(self.upper)
        os.close(self.lower)
        self._folder.remove()

    @property
    def real(self) -> str:
        """The real path of the place on the host."""
        return self.stage.destination

    @property
    def occupies(self) -> tuple[str, str]:
        """Paths below which names mean this layer's: the place, and the layer's own folder."""
        return self.stage.destination, self._base

    def in_use(self, pids: Iterable[int]) -> bool:
        """Whether one of these processes has a file of the upper side open."""
        prefix = f"{self._base}/upper/"
        for pid in pids:
            try:
                names = os.listdir(f"/proc/{pid}/fd")
            except OSError:
                continue  # ended meanwhile
            for name in names:
                try:
                    if os.readlink(f"/proc/{pid}/fd/{name}").startswith(prefix):
                        return True
                except OSError:
                    continue
        return False

    def bytes(self) -> int:
        """Bytes that the upper side takes of the host's disk, as of _FRESH seconds ago at most."""
        if time.monotonic() - self._counted_at >= _FRESH:
            self._counted = add_up(f"{self._base}/upper").bytes
            self._counted_at = time.monotonic()
        return self._counted

    # --- looking -----------------------------------------------------------------------------

    def look(self, path: str) -> tuple[int, os.stat_result] | None:
        """Which side shows `path` (a directory descriptor) and its status; None for nothing."""
        if not path:
            return self.lower, os.fstat(self.lower)
        above = _status(self.upper, path)
        if above is not None:
            if stat.S_ISCHR(above.st_mode):
                return None
            return self.upper, above
        if self._hidden(path):
            return None
        below = _status(self.lower, path) if self._shows(path) else None
        return None if below is None else (self.lower, below)

    def _shows(self, path: str) -> bool:
        """Whether the host's entry at `path` is part of the place."""
        if any(path == m or path.startswith(m + "/") for m, _ in self.stage.masks):
            return False
        if self.stage.visible:
            return True
        seeds = [seed.path for seed in self.stage.seeds]
        return any(seed == path or seed.startswith(path + "/") for seed in seeds)

    def _hidden(self, path: str) -> bool:
        """Whether a removed or replaced directory above hides what the host has at `path`."""
        head = os.path.dirname(path)
        while head:
            above = _status(self.upper, head)
            if above is not None and (stat.S_ISCHR(above.st_mode) or self._opaque(head)):
                return True
            head = os.path.dirname(head)
        return False

    def _opaque(self, path: str) -> bool:
        descriptor = _open(self.upper, path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            return os.getxattr(descriptor, "user.overlay.opaque") == b"y"
        except OSError:
            return False
        finally:
            os.close(descriptor)

    def names(self, path: str) -> dict[str, bool]:
        """The entries of a directory, with True for directories."""
        found: dict[str, bool] = {}
        for side in (self.lower, self.upper):
            try:
                descriptor = _open(side, path, os.O_RDONLY | os.O_DIRECTORY)
            except OSError:
                continue
            try:
                for name in os.listdir(descriptor):
                    seen = self.look(f"{path}/{name}" if path else name)
                    if seen is not None:
                        found[name] = stat.S_ISDIR(seen[1].st_mode)
            finally:
                os.close(descriptor)
        return found

    # --- opening -----------------------------------------------------------------------------

    def open(self, path: str, flags: int, mode: int) -> int:
        """A descriptor for the worker. Raises OSError as open(2) would."""
        seen = self.look(path)
        if seen is None:
            if not flags & os.O_CREAT or flags & os.O_DIRECTORY:
                raise no_such_file()
            self._parents(path)
            self._clear(path)
            return _open(self.upper, path, flags | os.O_EXCL | os.O_NOFOLLOW, mode)
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        side, status = seen
        if stat.S_ISDIR(status.st_mode):
            if flags & (_WANTS_CHANGE | os.O_CREAT):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            return self._views.open(path, self.names(path))
        if not stat.S_ISREG(status.st_mode):
            raise PermissionError(errno.EACCES, "neither a regular file nor a directory")
        if flags & _WANTS_CHANGE and side == self.lower:
            self.copy_up(path, keep=not flags & os.O_TRUNC)
            side = self.upper
        return _open(side, path, (flags & ~os.O_CREAT) | os.O_NOFOLLOW)

    def behind_view(self, path: str) -> str | None:
        """The path in this place that a path in one of its views stands for."""
        return self._views.behind(path)

    def copy_up(self, path: str, *, keep: bool = True) -> None:
        """Make `path` a file of the upper side, with the host's content if `keep`."""
        if _status(self.upper, path) is not None:
            return
        self._parents(path)
        source = _open(self.lower, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):
                raise PermissionError(errno.EACCES, "not a regular file")
            if keep and status.st_size > self._left:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            self._left -= status.st_size if keep else 0
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
            out = _open(self.upper, path, flags, stat.S_IMODE(status.st_mode) & 0o777 | 0o600)
            try:
                at = 0
                while keep and (data := os.pread(source, _COPY_BYTES, at)):
                    at += os.write(out, data)
            finally:
                os.close(out)
        finally:
            os.close(source)

    # --- changing ----------------------------------------------------------------------------

    def make_directory(self, path: str, mode: int) -> None:
        """mkdir(2)."""
        if self.look(path) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._parents(path)
        replaced = self._clear(path)
        parent, name = self._parent(self.upper, path)
        try:
            os.mkdir(name, mode | 0o700, dir_fd=parent)
        finally:
            os.close(parent)
        if replaced:
            descriptor = _open(self.upper, path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.setxattr(descriptor, "user.overlay.opaque", b"y")
            finally:
                os.close(descriptor)

    def remove(self, path: str, *, directory: bool) -> None:
        """unlink(2) or rmdir(2)."""
        seen = self.look(path)
        if seen is None:
            raise no_such_file()
        is_directory = stat.S_ISDIR(seen[1].st_mode)
        if is_directory != directory:
            number = errno.EISDIR if is_directory else errno.ENOTDIR
            raise OSError(number, os.strerror(number))
        if is_directory and self.names(path):
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY))
        if _status(self.upper, path) is not None:
            self._delete(path)
        self._hide_below(path)

    def rename(self, old: str, new: str, flags: int = 0) -> None:
        """renameat2(2). Directories that the host has give EXDEV, as under overlayfs."""
        if flags & ~_sys_files.RENAME_NOREPLACE:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        seen = self.look(old)
        if seen is None:
            raise no_such_file()
        target = self.look(new)
        if flags and target is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if stat.S_ISDIR(seen[1].st_mode):
            if seen[0] == self.lower or _status(self.lower, old) is not None or target is not None:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        elif target is not None and stat.S_ISDIR(target[1].st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISDIR(seen[1].st_mode):
            self.copy_up(old)
        self._parents(new)
        if stat.S_ISDIR(seen[1].st_mode):
            self._clear(new)
        old_parent, old_name = self._parent(self.upper, old)
        new_parent, new_name = self._parent(self.upper, new)
        try:
            os.rename(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)
        finally:
            os.close(old_parent)
            os.close(new_parent)
        self._hide_below(old)

    def link(self, old: str, new: str) -> None:
        """link(2)."""
        if self.look(new) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        if self.look(old) is None:
            raise no_such_file()
        self.copy_up(old)
        self._parents(new)
        self._clear(new)
        old_parent, old_name = self._parent(self.upper, old)
        new_parent, new_name = self._parent(self.upper, new)
        try:
            os.link(old_name, new_name, src_dir_fd=old_parent, dst_dir_fd=new_parent)
        finally:
            os.close(old_parent)
            os.close(new_parent)

    def symlink(self, text: str, path: str) -> None:
        """symlink(2)."""
        if self.look(path) is not None:
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        self._parents(path)
        self._clear(path)
        parent, name = self._parent(self.upper, path)
        try:
            os.symlink(text, name, dir_fd=parent)
        finally:
            os.close(parent)

    def writable_copy(self, path: str) -> int:
        """An O_PATH descriptor of the upper copy, for chmod, utimes and truncate."""
        seen = self.look(path)
        if seen is None:
            raise no_such_file()
        if seen[0] == self.lower:
            if stat.S_ISDIR(seen[1].st_mode):
                self._parents(f"{path}/x")
            else:
                self.copy_up(path)
        return _open(self.upper, path, os.O_PATH | os.O_NOFOLLOW)

    def _parents(self, path: str) -> None:
        """Make the directories above `path` on the upper side. Raises ENOENT, ENOTDIR."""
        head = ""
        for part in path.split("/")[:-1]:
            head = f"{head}/{part}".strip("/")
            above = _status(self.upper, head)
            if above is not None and stat.S_ISDIR(above.st_mode):
                continue
            seen = self.look(head)
            if seen is None:
                raise no_such_file()
            if not stat.S_ISDIR(seen[1].st_mode):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            parent, name = self._parent(self.upper, head)
            try:
                os.mkdir(name, stat.S_IMODE(seen[1].st_mode) | 0o700, dir_fd=parent)
            finally:
                os.close(parent)

    def _hide_below(self, path: str) -> None:
        """A whiteout over what the host has at a path, if it would be seen now."""
        if not self._shows(path) or self._hidden(path) or _status(self.lower, path) is None:
            return
        self._parents(path)
        parent, name = self._parent(self.upper, path)
        try:
            os.mknod(name, stat.S_IFCHR, os.makedev(0, _WHITEOUT), dir_fd=parent)
        finally:
            os.close(parent)

    def _clear(self, path: str) -> bool:
        """Take a whiteout off; whether there was one."""
        above = _status(self.upper, path)
        if above is None or not stat.S_ISCHR(above.st_mode):
            return False
        self._delete(path)
        return True

    def _delete(self, path: str) -> None:
        """Delete an entry of the upper side; a directory shows nothing, so only marks are in it."""
        parent, name = self._parent(self.upper, path)
        try:
            if stat.S_ISDIR(os.lstat(name, dir_fd=parent).st_mode):
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=parent)
                try:
                    for mark in os.listdir(descriptor):
                        os.unlink(mark, dir_fd=descriptor)
                finally:
                    os.close(descriptor)
                os.rmdir(name, dir_fd=parent)
            else:
                os.unlink(name, dir_fd=parent)
        finally:
            os.close(parent)

    @staticmethod
    def _parent(side: int, path: str) -> tuple[int, str]:
        head, _, name = path.rpartition("/")
        return _open(side, head, os.O_PATH | os.O_DIRECTORY), name


def _open(side: int, path: str, flags: int, mode: int = 0) -> int:
    encoded = os.fsencode(path) or b"."
    create = flags & (os.O_CREAT | os.O_TMPFILE & ~os.O_DIRECTORY)
    return _sys_files.openat2(
        side, encoded, flags, mode=mode & 0o777 if create else 0, resolve=BENEATH
    )


def _status(side: int, path: str) -> os.stat_result | None:
    try:
        descriptor = _open(side, path, os.O_PATH | os.O_NOFOLLOW)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EXDEV):
            return None  # A link in the way.
        raise
    try:
        return os.fstat(descriptor)
    finally:
        os.close(descriptor)
