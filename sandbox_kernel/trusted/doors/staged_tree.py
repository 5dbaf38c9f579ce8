"""Read both sides of a staged place into the listings that `staged_review` compares.

The upper side is written by the worker: nothing in it is followed, every walk is bounded, and
its files are opened with O_NOFOLLOW|O_NONBLOCK. Sources: overlayfs.rst of the kernel (whiteouts
are character devices 0/0, opaque directories carry `user.overlay.opaque`).
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Mapping

from . import _sys_files
from .resolve import BENEATH, Walked, walk
from .staged_review import Kind, LowerEntry, UpperEntry

CHUNK_BYTES = 1 << 20


def kind_of(status: os.stat_result) -> Kind:
    """The listing's kind of a stat result."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        return Kind.FILE
    if stat.S_ISDIR(mode):
        return Kind.DIRECTORY
    if stat.S_ISLNK(mode):
        return Kind.SYMLINK
    if stat.S_ISCHR(mode) and status.st_rdev == 0:
        return Kind.WHITEOUT
    return Kind.SPECIAL


def list_lower(lower: int | None, paths: Iterable[str]) -> dict[str, LowerEntry]:
    """The host's entries at `paths` and, for directories that the upper side replaces or removes,
    below them. `lower` is a descriptor of the staged place, None where it does not exist.
    """
    found: dict[str, LowerEntry] = {}
    if lower is None:
        return found
    for path in paths:
        if path in found:
            continue
        try:
            descriptor = _sys_files.openat2(
                lower, os.fsencode(path), os.O_PATH | os.O_NOFOLLOW, resolve=BENEATH
            )
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.EXDEV):
                continue  # a link in the way: the host has nothing of its own there
            raise
        try:
            status = os.fstat(descriptor)
            kind = kind_of(status)
            found[path] = LowerEntry(kind, status.st_size if kind is Kind.FILE else 0)
        finally:
            os.close(descriptor)
    return found


def list_below(lower: int, path: str) -> dict[str, LowerEntry]:
    """Every entry of the host below the directory `path` of the staged place."""
    try:
        top = _sys_files.openat2(
            lower, os.fsencode(path), os.O_RDONLY | os.O_DIRECTORY, resolve=BENEATH
        )
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        return {
            f"{path}/{step.path}": LowerEntry(
                kind_of(step.status),
                step.status.st_size if stat.S_ISREG(step.status.st_mode) else 0,
            )
            for step in walk(top)
        }
    finally:
        os.close(top)


def listings(upper: int, lower: int | None) -> tuple[dict[str, LowerEntry], dict[str, UpperEntry]]:
    """Both sides of a staged place, the contents of changed files compared.

    upper, lower: directory descriptors; `lower` None where the host has no such directory.
    Raises resolve.Unresolvable at the bounds of a walk, OSError where a side cannot be read.
    """
    seen: dict[str, UpperEntry] = {}
    hidden: list[str] = []
    lower_found: dict[str, LowerEntry] = {}
    for step in walk(upper):
        kind = kind_of(step.status)
        opaque = kind is Kind.DIRECTORY and _opaque(step)
        size = step.status.st_size if kind is Kind.FILE else 0
        lower_found.update(list_lower(lower, [step.path]))
        below = lower_found.get(step.path)
        extends, same = None, False
        if kind is Kind.FILE and below is not None and below.kind is Kind.FILE:
            assert lower is not None
            extends = size >= below.size and _is_prefix(step, lower, below.size)
            same = extends and size == below.size
        if opaque or (kind is not Kind.DIRECTORY and below is not None):
            hidden.append(step.path)
        seen[step.path] = UpperEntry(kind, size, opaque, extends, same)
    if lower is not None:
        for path in hidden:
            at_host = lower_found.get(path)
            if at_host is not None and at_host.kind is Kind.DIRECTORY:
                lower_found.update(list_below(lower, path))
    return lower_found, seen


def _opaque(step: Walked) -> bool:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(step.name, flags, dir_fd=step.parent)
    try:
        return os.getxattr(descriptor, "user.overlay.opaque") == b"y"
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP):
            return False
        raise
    finally:
        os.close(descriptor)


def open_upper(name: str, parent: int) -> int:
    """A regular file of the upper side for reading, even where the worker took the right away.

    Raises OSError; ELOOP for a link, and never blocks on a FIFO.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except PermissionError:
        # The worker made it unreadable. It is the same user's file on a private layer.
        path_only = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
        try:
            os.chmod(f"/proc/self/fd/{path_only}", 0o600)
        finally:
            os.close(path_only)
        return os.open(name, flags, dir_fd=parent)


def _is_prefix(step: Walked, lower: int, size: int) -> bool:
    """Whether the first `size` bytes of the upper file are the host's file."""
    old = _sys_files.openat2(
        lower, os.fsencode(step.path), os.O_RDONLY | os.O_NONBLOCK, resolve=BENEATH
    )
    try:
        new = open_upper(step.name, step.parent)
        try:
            at = 0
            while at < size:
                want = min(CHUNK_BYTES, size - at)
                left = os.pread(old, want, at)
                if not left or left != os.pread(new, len(left), at):
                    return False
                at += len(left)
            return os.fstat(old).st_size == size
        finally:
            os.close(new)
    finally:
        os.close(old)


def bytes_below(places: Mapping[str, LowerEntry]) -> int:
    """The bytes of all regular files of a listing."""
    return sum(entry.size for entry in places.values() if entry.kind is Kind.FILE)
