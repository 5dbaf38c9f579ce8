"""Carry out a tree of `mounts.Tree`: build the worker's root file system and move into it.

Runs as PID 1 of the worker's namespaces, before the worker exists. Sources are opened first, while
the host's tree is still in place; afterwards only descriptors are used.
"""

from __future__ import annotations

import errno
import os

from . import _sys_linux as linux
from .places import DEVICES, PROC_KEPT, PROC_SYS_KEPT, SCRATCH

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_READ_ONLY = linux.ATTR_RDONLY | linux.ATTR_NOSUID | linux.ATTR_NODEV


class Root:
    """What is left over from building: handles that only the trusted side keeps.

    `namespace` is the mount namespace (a descriptor), `writable` a detached copy of the root tmpfs
    through which the warden makes mount points, `own_proc` whether /proc is our own, `unreadable`
    the roots that could not be shown.
    """

    def __init__(
        self, namespace: int, writable: int, own_proc: bool, unreadable: list[str]
    ) -> None:
        self.namespace = namespace
        self.writable = writable
        self.own_proc = own_proc
        self.unreadable = unreadable


def build(tree: dict[str, Any], process_folder: str) -> Root:
    """Build the root, pivot into it, detach the host's tree. Everything below `/` is final.

    `process_folder` is the worker's own in /proc, which is shown where the rest of /proc is not.
    """
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    namespace = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    texts = _proc_texts()
    own_folder = linux.open_tree(-1, process_folder, recursive=False)
    trees = [(path, _open_tree(path)) for path in tree["binds"]]
    devices = [(name, linux.open_tree(-1, f"/dev/{name}", recursive=False)) for name in DEVICES]
    base = next(path for path in ("/tmp", "/mnt", "/home", "/usr") if os.path.isdir(path))
    data = "size=4m,nr_inodes=20000,mode=755"
    linux.mount("tmpfs", base, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, data)
    os.chdir(base)
    os.umask(0o022)
    _fill(tree, trees, devices)
    own_proc = _proc(texts, own_folder)
    os.close(own_folder)
    for path in tree["masks"]:
        _mask(path.lstrip("/"), is_directory=os.path.isdir(path.lstrip("/")))
    writable = linux.open_tree(-1, base, recursive=False)
    linux.pivot_root(".", ".")
    linux.unmount(".", linux.MNT_DETACH)
    os.chdir("/")
    linux.set_mount_attributes(-1, "/", _READ_ONLY, recursive=False)
    unreadable = [path for path, opened in trees if opened is None]
    return Root(namespace, writable, own_proc, unreadable)


def _open_tree(path: str) -> tuple[int, bool] | None:
    """The tree at `path`, read-only, and whether it is a directory.

    None when it is gone, or closed to us: in a user namespace root has no power over the files of
    others.
    """
    try:
        fd = linux.open_tree(-1, path, recursive=True)
    except (FileNotFoundError, PermissionError):
        return None
    linux.set_mount_attributes(fd, "", _READ_ONLY, recursive=True)
    return fd, os.path.isdir(path)


def _fill(
    tree: dict[str, Any],
    trees: list[tuple[str, tuple[int, bool] | None]],
    devices: list[tuple[str, int]],
) -> None:
    """Make everything in the current directory, which becomes the root. Paths are relative."""
    for link, target in tree["links"]:
        _parent(link)
        if not os.path.lexists(link[1:]):
            os.symlink(target, link[1:])
    for path, opened in trees:
        if opened is None:
            continue
        fd, is_directory = opened
        _point(path, is_directory=is_directory)
        linux.move_mount(fd, linux.AT_FDCWD, path[1:])
        os.close(fd)
    for name, fd in devices:
        _point(f"/dev/{name}", is_directory=False)
        attributes = linux.ATTR_RDONLY | linux.ATTR_NOSUID | linux.ATTR_NOEXEC
        linux.set_mount_attributes(fd, "", attributes, recursive=False)
        linux.move_mount(fd, linux.AT_FDCWD, f"dev/{name}")
        os.close(fd)
    for link, target in (("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0")):
        os.symlink(target, f"dev/{link}")
    os.symlink("/proc/self/fd/1", "dev/stdout")
    os.symlink("/proc/self/fd/2", "dev/stderr")
    for path, text in tree["files"]:
        _parent(path)
        with open(path[1:], "w", encoding="utf-8") as file:
            file.write(text)
    _tmpfs(SCRATCH, tree["scratch_bytes"])
    for name in ("home", "tmp"):
        os.mkdir(f"{SCRATCH[1:]}/{name}", 0o700)
    _tmpfs("/dev/shm", tree["shared_memory_bytes"])
    for path in tree["directories"]:
        os.makedirs(path[1:], exist_ok=True)
    if not os.path.lexists("tmp"):
        os.symlink(f"{SCRATCH}/tmp", "tmp")
    if not os.path.lexists("etc/mtab"):
        os.symlink("/proc/mounts", "etc/mtab")


def _tmpfs(path: str, size: int) -> None:
    os.makedirs(path[1:], exist_ok=True)
    inodes = max(1024, size // 4096)
    data = f"size={size},nr_inodes={inodes},mode=700"
    linux.mount("tmpfs", path[1:], "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, data)


def _parent(path: str) -> None:
    parent = os.path.dirname(path)[1:]
    if parent:
        os.makedirs(parent, exist_ok=True)


def _point(path: str, *, is_directory: bool) -> None:
    """A mount point in the root tmpfs, unless something is there already."""
    if is_directory:
        os.makedirs(path[1:], exist_ok=True)
    elif not os.path.lexists(path[1:]):
        _parent(path)
        os.close(os.open(path[1:], os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))


def _mask(path: str, *, is_directory: bool) -> None:
    """Cover `path` with nothing: an empty read-only directory, or /dev/null."""
    flags = linux.MS_RDONLY | linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    if is_directory:
        linux.mount("tmpfs", path, "tmpfs", flags, "size=4k,nr_inodes=2,mode=555")
    else:
        fd = linux.open_tree(-1, os.path.abspath("dev/null"), recursive=False)
        linux.move_mount(fd, linux.AT_FDCWD, path)
        os.close(fd)


def _proc_texts() -> dict[str, str]:
    """What the worker may read of /proc/sys, and the rest for a /proc that is not our own."""
    texts = {}
    kept = [f"sys/{name}" for name in PROC_SYS_KEPT]
    kept += ["cpuinfo", "meminfo", "stat", "version", "filesystems", "loadavg", "uptime"]
    for name in kept:
        try:
            with open(f"/proc/{name}", encoding="utf-8", errors="replace") as file:
                texts[name] = file.read()
        except OSError:
            continue  # This kernel, or the container around us, has no such file.
    return texts


def _proc(texts: dict[str, str], own_folder: int) -> bool:
    """Mount /proc: our own, masked and read-only, or files from memory. True for our own.

    Beside those files stands the worker's own folder, a mount that is not attached yet.
    """
    os.makedirs("proc", exist_ok=True)
    if not _mount_proc():
        _write_texts("proc", texts)
        os.makedirs("proc/self")
        attributes = _READ_ONLY | linux.ATTR_NOEXEC
        linux.set_mount_attributes(own_folder, "", attributes, recursive=False)
        linux.move_mount(own_folder, linux.AT_FDCWD, "proc/self")
        os.symlink("self/mounts", "proc/mounts")
        os.symlink("self/net", "proc/net")
        return False
    for name in sorted(set(os.listdir("proc")) - PROC_KEPT):
        path = f"proc/{name}"
        if not name.isdigit() and not os.path.islink(path):
            _mask(path, is_directory=os.path.isdir(path))
    tmpfs = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("tmpfs", "proc/sys", "tmpfs", tmpfs, "size=256k,nr_inodes=64,mode=755")
    prefix = "sys/"
    _write_texts("proc/sys", {n[len(prefix) :]: t for n, t in texts.items() if n[:4] == prefix})
    attributes = _READ_ONLY | linux.ATTR_NOEXEC
    linux.set_mount_attributes(-1, os.path.abspath("proc/sys"), attributes, recursive=False)
    linux.set_mount_attributes(-1, os.path.abspath("proc"), attributes, recursive=False)
    return True


def _mount_proc() -> bool:
    """A procfs that shows only processes that the reader might trace: not init (Linux 5.8)."""
    flags = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    for options in ("hidepid=ptraceable", "hidepid=2"):
        try:
            linux.mount("proc", "proc", "proc", flags, options)
        except OSError as error:
            if error.errno == errno.EINVAL:
                continue
            if error.errno in (errno.EPERM, errno.EBUSY, errno.ENODEV):
                return False
            raise
        return True
    raise OSError(errno.EINVAL, "procfs takes no hidepid")


def _write_texts(folder: str, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        path = f"{folder}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
