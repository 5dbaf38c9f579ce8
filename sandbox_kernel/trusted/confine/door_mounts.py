"""The mount door's hands: what the warden does in a live worker's mount namespace when asked.

Every target is resolved below the worker's root without following symbolic links: what a cell made
cannot lead a mount elsewhere. The root tmpfs and the skeletons are read-only for the worker; what
stands in them is made through detached, writable copies that only the warden holds. A source is
opened by name in the warden's own namespace, whose mounts follow the host's (`mount_sources`).
Staged places are overlays (Documentation/filesystems/overlayfs.rst), whose layers live in a third
namespace (`mount_namespaces`).

| operation  | with                                          | does                               |
|------------|-----------------------------------------------|------------------------------------|
| `bind`     | source, device, inode, below, target,          | mounts a file or directory; sealed |
|            | readonly, exec, sealed                         | is read-only until it is switched  |
| `swap`     | the same                                       | replaces a mount without a gap     |
| `skeleton` | target                                         | an empty read-only directory       |
| `folder`   | target                                         | a directory in root or skeleton    |
| `link`     | target, text                                   | a symbolic link there              |
| `stage`    | target, source, device, inode, visible, ...   | an overlay; gives its upper side   |
| `unmount`  | target, detach                                 | takes any of these mounts off, and |
|            |                                                | with `detach` what stands in it    |
| `read-only`| target, on                                     | switches this one mount            |
| `remove`   | target                                         | takes a folder or link away        |
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from typing import Any

from . import _sys_linux as linux
from .mount_namespaces import LayersHouse, Whereabouts
from .mount_sources import READ_ONLY, MountRefused, MountSources
from .overlay import overlay

_UMOUNT_NOFOLLOW = 8
_BELOW_ROOT = linux.RESOLVE_IN_ROOT | linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_MAGICLINKS


@dataclass
class _Mounted:
    """One mount of ours: what was made to hold it, and what belongs to it.

    writable: detached copy of a skeleton, through which it is filled; -1 for other mounts.
    layers: directory of the third namespace with a stage's layers, if it is one.
    """

    made: tuple[str, ...] = ()
    writable: int = -1
    layers: str = ""


class DoorMounts:
    """The places granted to one generation of the worker."""

    def __init__(self, own: int, namespace: int, root: int, writable: int) -> None:
        """`own` and `namespace` are mount namespaces (warden's, worker's), `root` the worker's
        root directory, `writable` the detached copy of its tmpfs. All four become this object's.
        """
        self._where = Whereabouts(own, namespace)
        self._root, self._writable = root, writable
        self._sources = MountSources(self._where)
        self._layers = LayersHouse(self._where)
        self.mounts: dict[str, _Mounted] = {}

    def close(self) -> None:
        """Let go of the generation, whose processes are dead."""
        self.rest()
        for target in list(self.mounts):
            self._forget(self.mounts.pop(target))
        self._layers.close()
        self._where.close()
        for fd in (self._root, self._writable):
            os.close(fd)

    def prepare(self, source: str | None) -> None:
        """An order is about to come, which may be to bind `source`. To be followed by `rest`.

        Nothing that could be seen from the host or by the worker is changed.
        """
        self._sources.forget()
        if source is not None:
            self._sources.prepare(source)
        self._where.go_to_the_worker()

    def rest(self) -> None:
        """The order was answered, or did not come: be at home, and keep nothing for it."""
        self._sources.forget()
        self._where.go_home()

    def handle(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        """Carry out one operation; the answer and the descriptors that go with it.

        To be followed by `rest`. Raises MountRefused, OSError.
        """
        operation = message["op"]
        target = "/" + message["target"].strip("/")
        if operation in ("bind", "swap"):
            self._bind(message, target, operation == "swap")
            return {}, []
        if operation == "skeleton":
            self._skeleton(target)
            return {}, []
        if operation == "folder":
            self._where.go_to_the_worker()
            return {"made": self._make(target, is_directory=True)}, []
        if operation == "link":
            self._where.go_to_the_worker()
            return {"made": self._link(target, message["text"])}, []
        if operation == "stage":
            return {}, [self._stage(message, target)]
        if operation == "unmount":
            gone = bool(message.get("may_be_gone"))
            self._take_off(target, detach=message["detach"], may_be_gone=gone)
            return {}, []
        if operation == "read-only":
            self._where.go_to_the_worker()
            self._set_read_only(target, read_only=message["on"])
            return {}, []
        if operation == "remove":
            self._remove(target)
            return {}, []
        raise MountRefused(f"unknown operation {operation!r}")

    # --- mounts ----------------------------------------------------------------------------

    def _bind(self, message: dict[str, Any], target: str, beneath: bool) -> None:
        old = self.mounts.get(target)
        if beneath != (old is not None):
            raise MountRefused(f"{target}: {'nothing is' if beneath else 'already'} mounted there")
        attributes = READ_ONLY
        if not message["readonly"]:
            attributes &= ~linux.ATTR_RDONLY
        if message.get("exec"):
            attributes &= ~linux.ATTR_NOEXEC
        approved = message["device"], message["inode"]
        tree, is_directory = self._sources.take(
            message["source"], approved, attributes, below=message["below"]
        )
        try:
            if message.get("sealed"):
                linux.set_read_only(tree, read_only=True)
            self._where.go_to_the_worker()
            if old is None:
                made = self._attach(tree, target, is_directory=is_directory)
            else:
                made = old.made
                self._replace(tree, target, may_be_gone=bool(message.get("may_be_gone")))
        finally:
            os.close(tree)
        self.mounts[target] = _Mounted(made)

    def _skeleton(self, target: str) -> None:
        with self._layers.entered() as house:
            layers = house.new("size=4m,nr_inodes=65536,mode=755")
            try:
                tree = linux.open_tree(linux.AT_FDCWD, layers, recursive=False)
                writable = linux.open_tree(linux.AT_FDCWD, layers, recursive=False)
            finally:
                house.drop(layers)
        try:
            attributes = linux.ATTR_NOSUID | linux.ATTR_NODEV | linux.ATTR_RDONLY
            linux.set_mount_attributes(tree, "", attributes, recursive=False)
            self._where.go_to_the_worker()
            made = self._attach(tree, target, is_directory=True)
        except BaseException:
            os.close(writable)
            raise
        finally:
            os.close(tree)
        self.mounts[target] = _Mounted(made, writable=writable)

    def _stage(self, message: dict[str, Any], target: str) -> int:
        if target in self.mounts:
            raise MountRefused(f"{target}: already mounted there")
        approved = message["device"], message["inode"]
        self._where.go_home()
        host = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            lower, is_directory = self._sources.take(message["source"], approved, 0, below=True)
        except BaseException:
            os.close(host)
            raise
        try:
            if not is_directory:
                raise MountRefused(f"{message['source']}: not a directory")
            mode = stat.S_IMODE(os.fstat(lower).st_mode) | 0o700
            with self._layers.entered() as house:
                size, inodes = int(message["bytes"]), int(message["inodes"])
                layers = house.new(f"size={size},nr_inodes={inodes},mode=700")
                try:
                    tree, upper = overlay(layers, lower, mode, message, host)
                except BaseException:
                    house.drop(layers)
                    raise
        finally:
            os.close(lower)
            os.close(host)
        try:
            self._where.go_to_the_worker()
            made = self._attach(tree, target, is_directory=True)
        except BaseException:
            os.close(upper)
            self._forget(_Mounted(layers=layers))
            raise
        finally:
            os.close(tree)
        self.mounts[target] = _Mounted(made, layers=layers)
        return upper

    def _take_off(self, target: str, *, detach: bool, may_be_gone: bool) -> None:
        mounted = self.mounts.get(target)
        if mounted is None:
            raise MountRefused(f"{target}: not granted")
        self._where.go_to_the_worker()
        self._unmount(target, linux.MNT_DETACH if detach else 0, may_be_gone=may_be_gone)
        # What stands in it has gone with it: else it would have been in use.
        for path in [path for path in self.mounts if path.startswith(target + "/")]:
            self._forget(self.mounts.pop(path))
        del self.mounts[target]
        self._forget(mounted)
        for path in reversed(mounted.made):
            self._remove(path)

    def _set_read_only(self, target: str, *, read_only: bool) -> None:
        if target not in self.mounts:
            raise MountRefused(f"{target}: not granted")
        place = self._open(target)
        try:
            linux.set_read_only(place, read_only=read_only)
        finally:
            os.close(place)

    def _forget(self, mounted: _Mounted) -> None:
        if mounted.writable >= 0:
            os.close(mounted.writable)
        if mounted.layers:
            with self._layers.entered() as house:
                house.drop(mounted.layers)

    # --- in the worker's namespace ---------------------------------------------------------

    def _attach(self, tree: int, target: str, *, is_directory: bool) -> tuple[str, ...]:
        """Mount a tree at `target`, made unless it is there; which paths were made for it."""
        _check_place(target)
        above, name = os.path.split(target)
        made: tuple[str, ...] = ()
        try:
            folder = self._open(above)
        except (FileNotFoundError, NotADirectoryError):
            made = self._make(above, is_directory=True)
            folder = self._open(above)
        try:
            if not _is_there(folder, name, target, is_directory):
                self._make_one(target, is_directory)
                made = (*made, target)
            linux.move_mount(tree, folder, name)
        finally:
            os.close(folder)
        return made

    def _open(self, target: str) -> int:
        return linux.openat2(self._root, target, os.O_PATH, _BELOW_ROOT)

    def _replace(self, tree: int, target: str, *, may_be_gone: bool) -> None:
        """Mount a tree in place of the one at `target`."""
        place = self._open(target)
        try:
            linux.move_mount(tree, place, beneath=True)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # Before Linux 6.5: a moment without the file, never the old one beside the new. Or the
            # host has put another file in the place of the one that this stood on.
            self._unmount(target, linux.MNT_DETACH, may_be_gone=may_be_gone)
            bare = self._open(target)
            try:
                linux.move_mount(tree, bare)
            finally:
                os.close(bare)
            return
        finally:
            os.close(place)
        self._unmount(target, linux.MNT_DETACH)

    def _unmount(self, target: str, flags: int, *, may_be_gone: bool = False) -> None:
        """`may_be_gone`: what it stood on may have gone from the host, and the mount with that.

        Else nothing at that path is a failure: a cell may have moved the folder with the mount.
        """
        parent, name = os.path.split(target)
        place = self._open(parent)
        try:
            os.fchdir(place)
            linux.unmount(name, flags | _UMOUNT_NOFOLLOW)
        except OSError as error:
            if not may_be_gone or error.errno not in (errno.EINVAL, errno.ENOENT):
                raise
        finally:
            os.close(place)
            os.chdir("/")

    # --- what stands in the root and in skeletons --------------------------------------------

    def _holder(self, target: str) -> tuple[int, str]:
        """The writable copy that `target` would be made in, and its path there."""
        best, start = self._writable, "/"
        for path, mounted in self.mounts.items():
            if target.startswith(path + "/") and len(path) > len(start):
                best, start = mounted.writable, path
        relative = target[len(start) :].strip("/")
        if best < 0 or not relative:
            raise MountRefused(f"{target}: does not exist, and cannot be made in what is mounted")
        return best, relative

    def _make(self, target: str, *, is_directory: bool) -> tuple[str, ...]:
        """Make `target` and what leads to it unless it is there; which paths were made."""
        _check_place(target)
        missing: list[str] = []
        path = target
        while path != "/":
            try:
                there = self._open(path)
            except FileNotFoundError:
                missing.append(path)
                path = os.path.dirname(path)
                continue
            except NotADirectoryError:
                raise MountRefused(f"{path}: a file is in the way") from None
            try:
                _check_kind(os.fstat(there), path, is_directory or bool(missing))
            finally:
                os.close(there)
            break
        for path in reversed(missing):
            self._make_one(path, is_directory or path != target)
        return tuple(reversed(missing))

    def _make_one(self, path: str, directory: bool) -> None:
        holder, relative = self._holder(path)
        if directory:
            os.mkdir(relative, 0o755, dir_fd=holder)
        else:
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC
            os.close(os.open(relative, flags, 0o444, dir_fd=holder))

    def _link(self, target: str, text: str) -> bool:
        """False where something is there already."""
        above = os.path.dirname(target)
        if above != "/":
            self._make(above, is_directory=True)
        holder, relative = self._holder(target)
        try:
            os.symlink(text, relative, dir_fd=holder)
        except FileExistsError:
            return False
        return True

    def _remove(self, path: str) -> None:
        holder, relative = self._holder(path)
        try:
            if stat.S_ISDIR(os.lstat(relative, dir_fd=holder).st_mode):
                os.rmdir(relative, dir_fd=holder)
            else:
                os.unlink(relative, dir_fd=holder)
        except FileNotFoundError:
            return  # It went with the skeleton that it stood in.
        except OSError as error:
            # Something else is mounted or made below it; it stays, empty and read-only.
            if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
                raise


def _check_place(target: str) -> None:
    """Raise MountRefused for a path that names no place of its own."""
    if any(part in ("", ".", "..") for part in target.strip("/").split("/")):
        raise MountRefused(f"{target}: not a place for a grant")


def _is_there(folder: int, name: str, path: str, is_directory: bool) -> bool:
    """Whether there is such an entry. Raises MountRefused when it is of another kind."""
    try:
        status = os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise MountRefused(f"{path}: a file is in the way") from None
    if stat.S_ISLNK(status.st_mode):
        raise OSError(errno.ELOOP, f"{path}: a link is there")
    _check_kind(status, path, is_directory)
    return True


def _check_kind(status: os.stat_result, path: str, is_directory: bool) -> None:
    if stat.S_ISDIR(status.st_mode) != is_directory:
        kind = "file" if is_directory else "directory"
        raise MountRefused(f"{path}: a {kind} is there")
