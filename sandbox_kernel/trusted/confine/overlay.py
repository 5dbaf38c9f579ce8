"""The layers of a staged place: what an overlay lies on, and what it hides of that.

| layer   | what is in it                                                    |
|---------|------------------------------------------------------------------|
| `upper` | what the cell makes and changes; reviewed when the cell ends      |
| `mask`  | names that nobody may open, over those that the host has there    |
| `lower` | the host's place, where the worker sees what is in it             |
| `base`  | else: copies of the files that it may see, and mount points       |
"""

from __future__ import annotations

import os
import stat
from typing import Any

from . import _sys_linux as linux
from .mount_sources import open_file

_PLAIN = linux.MS_NOSUID | linux.MS_NODEV
_COPY_BYTES = 1 << 20


def overlay(
    layers: str, lower: int, mode: int, message: dict[str, Any], host: int
) -> tuple[int, int]:
    """Fill `layers`, mount the overlay; a detached copy of it, and its upper side.

    host: the root directory in which seeds are opened, each of which must be what was approved.
    Raises MountRefused, OSError.
    """
    for name in ("upper", "work", "mask", "base", "merged", "lower"):
        os.mkdir(f"{layers}/{name}", 0o700)
    if message["visible"]:
        # Bound here, so that the overlay's options name no path of a person's.
        linux.move_mount(lower, linux.AT_FDCWD, f"{layers}/lower")
        below = f"{layers}/mask:{layers}/lower"
    else:
        below = f"{layers}/base"
    for name in ("upper", "mask", "base"):
        os.chmod(f"{layers}/{name}", mode)
    for path, directory in message["masks"]:
        _closed_name(f"{layers}/mask", path, directory=directory)
    for path, source, device, inode in message["seeds"]:
        fd = open_file(host, source, (device, inode))
        try:
            _copy(fd, f"{layers}/base", path)
        finally:
            os.close(fd)
    for path, directory in message["points"]:
        _point(f"{layers}/base", path, directory=directory)
    for path, text in message["links"]:
        os.makedirs(os.path.dirname(f"{layers}/base/{path}"), exist_ok=True)
        os.symlink(text, f"{layers}/base/{path}")
    options = f"lowerdir={below},upperdir={layers}/upper,workdir={layers}/work,userxattr"
    linux.mount("overlay", f"{layers}/merged", "overlay", _PLAIN, options)
    tree = linux.open_tree(linux.AT_FDCWD, f"{layers}/merged", recursive=False)
    try:
        attributes = linux.ATTR_NOSUID | linux.ATTR_NODEV | linux.ATTR_NOEXEC
        linux.set_mount_attributes(tree, "", attributes, recursive=False)
        linux.unmount(f"{layers}/merged", linux.MNT_DETACH)
        upper = os.open(f"{layers}/upper", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except BaseException:
        os.close(tree)
        raise
    return tree, upper


def _closed_name(mask: str, path: str, *, directory: bool) -> None:
    """A name of the mask layer that nobody may open: it covers what the host has there."""
    above = os.path.dirname(path)
    if above:
        os.makedirs(f"{mask}/{above}", exist_ok=True)
    if directory:
        os.mkdir(f"{mask}/{path}", 0)
        # Opaque, or the overlay would merge it with the host's directory.
        os.chmod(f"{mask}/{path}", 0o700)
        os.setxattr(f"{mask}/{path}", "user.overlay.opaque", b"y")
        os.chmod(f"{mask}/{path}", 0)
    else:
        os.close(os.open(f"{mask}/{path}", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0))


def _point(base: str, path: str, *, directory: bool) -> None:
    if directory:
        os.makedirs(f"{base}/{path}", exist_ok=True)
        return
    if os.path.dirname(path):
        os.makedirs(f"{base}/{os.path.dirname(path)}", exist_ok=True)
    if not os.path.lexists(f"{base}/{path}"):
        os.close(os.open(f"{base}/{path}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o444))


def _copy(source: int, base: str, path: str) -> None:
    """The content of the regular file `source`, a readable descriptor, as `path` in `base`."""
    if os.path.dirname(path):
        os.makedirs(f"{base}/{os.path.dirname(path)}", exist_ok=True)
    status = os.fstat(source)
    mode = stat.S_IMODE(status.st_mode) & 0o777
    out = os.open(f"{base}/{path}", os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, mode)
    try:
        at = 0
        while data := os.pread(source, _COPY_BYTES, at):
            at += len(data)
            view = memoryview(data)
            while view:
                view = view[os.write(out, view) :]
    finally:
        os.close(out)
