"""Resolution of a path on the trusted side: what a spelled path means on the host, just now.

A grant is spelled by a person and may pass symbolic links and `..`; what is granted is the file
or directory that it leads to. Only regular files, directories and names that do not exist yet can
be granted: opening a FIFO blocks, opening a device acts. Walks are bounded in depth and count and
never follow a link. Paths are `str` with surrogates for bytes that are not UTF-8 (os.fsdecode).
"""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Literal

from ..real_path import is_plain
from . import _sys_files

MOST_LINKS = 40  # as the kernel's own bound, path_resolution(7)
MOST_ENTRIES = 100_000
MOST_DEPTH = 256
BENEATH = (
    _sys_files.RESOLVE_BENEATH | _sys_files.RESOLVE_NO_MAGICLINKS | _sys_files.RESOLVE_NO_SYMLINKS
)
_EXACTLY = _sys_files.RESOLVE_NO_MAGICLINKS | _sys_files.RESOLVE_NO_SYMLINKS

PlaceKind = Literal["file", "directory", "missing"]


class Unresolvable(Exception):
    """A path that cannot be granted. `code` is stable, `path` printable."""

    def __init__(self, code: str, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.code = code
        self.path = path
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Place:
    """Where a path leads.

    spelled: absolute, `.` and `..` taken out by text, links kept.
    real: absolute, every link followed. For a missing name: its existing parent's real path and
        the missing rest.
    device, inode: of the file or directory; 0 for a missing one.
    links: names of the file; of a directory it says nothing.
    """

    spelled: str
    real: str
    kind: PlaceKind
    device: int = 0
    inode: int = 0
    links: int = field(default=1, compare=False)


def printable(path: str) -> str:
    """`path` for a message or the wire: bytes that are not UTF-8 shown as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def absolute(path: str, base: str) -> str:
    """`path` joined to `base` and normalised by text. Raises Unresolvable for a NUL or nothing."""
    if not path or "\0" in path:
        raise Unresolvable("bad_path", printable(path), "empty path or NUL in it")
    joined = os.path.normpath(os.path.join(base, path))
    return "/" + joined.lstrip("/")


def resolve(path: str, base: str) -> Place:
    """What `path`, relative to `base`, leads to on this host.

    `..` after a link is taken as the kernel does: of the directory that the link leads to.
    Raises Unresolvable: `loop`, `special` (not a file or a directory), `unreadable`, `bad_path`.
    """
    spelled = absolute(path, base)
    raw = os.path.join(base, path)
    try:
        real = canonical(raw)
    except OSError as error:
        code = "loop" if error.errno == errno.ELOOP else "unreadable"
        raise Unresolvable(code, printable(spelled), error.strerror or str(error)) from None
    try:
        found = os.lstat(real)
    except (FileNotFoundError, NotADirectoryError):
        return Place(spelled, real, "missing")
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unresolvable("unreadable", printable(spelled), reason) from None
    if stat.S_ISREG(found.st_mode):
        return Place(spelled, real, "file", found.st_dev, found.st_ino)
    if stat.S_ISDIR(found.st_mode):
        return Place(spelled, real, "directory", found.st_dev, found.st_ino)
    raise Unresolvable("special", printable(spelled), "neither a regular file nor a directory")


def canonical(path: str) -> str:
    """An absolute path with every link followed; a missing tail is kept as it is spelled.

    Raises OSError (ELOOP) past MOST_LINKS links.
    """
    if is_plain(path):
        return path
    todo = [part for part in path.split("/") if part not in ("", ".")][::-1]
    done = "/"
    links = 0
    missing = False
    while todo:
        part = todo.pop()
        if part == "..":
            done = os.path.dirname(done)
            missing = missing and not os.path.lexists(done)
            continue
        here = os.path.join(done, part)
        if not missing:
            try:
                mode = os.lstat(here).st_mode
            except (FileNotFoundError, NotADirectoryError):
                missing = True
            else:
                if stat.S_ISLNK(mode):
                    links += 1
                    if links > MOST_LINKS:
                        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
                    target = os.readlink(here)
                    if target.startswith("/"):
                        done = "/"
                    todo += [p for p in target.split("/") if p not in ("", ".")][::-1]
                    continue
        done = here
    return done


def open_place(place: Place) -> int:
    """An O_PATH descriptor of an existing place, checked to be what was resolved.

    Raises Unresolvable (`moved`) when the path has changed since.
    """
    try:
        found = _sys_files.openat2(-1, os.fsencode(place.real), os.O_PATH, resolve=_EXACTLY)
    except OSError as error:
        reason = error.strerror or str(error)
        raise Unresolvable("moved", printable(place.spelled), reason) from None
    now = os.fstat(found)
    if (now.st_dev, now.st_ino) != (place.device, place.inode):
        os.close(found)
        raise Unresolvable("moved", printable(place.spelled), "changed while it was granted")
    return found


@dataclass(frozen=True, slots=True)
class Walked:
    """One entry below a walked directory; `path` is relative to it."""

    path: str
    status: os.stat_result
    parent: int
    name: str


def walk(top: int, *, most: int = MOST_ENTRIES, depth: int = MOST_DEPTH) -> Iterator[Walked]:
    """Every entry below the directory descriptor `top`, parents first, links not followed.

    `Walked.parent` is a descriptor of the entry's directory that is open until the next step.
    Raises Unresolvable (`too_many`, `too_deep`) at the bounds.
    """
    count = 0
    stack: list[tuple[int, str, list[str]]] = []
    first = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top)
    try:
        stack.append((first, "", sorted(os.listdir(first), reverse=True)))
        while stack:
            descriptor, prefix, names = stack[-1]
            if not names:
                stack.pop()
                os.close(descriptor)
                continue
            name = names.pop()
            path = prefix + name
            try:
                status = os.lstat(name, dir_fd=descriptor)
            except FileNotFoundError:
                continue
            count += 1
            if count > most:
                raise Unresolvable("too_many", printable(path), f"more than {most} entries")
            yield Walked(path, status, descriptor, name)
            if stat.S_ISDIR(status.st_mode):
                if len(stack) >= depth:
                    raise Unresolvable("too_deep", printable(path), f"deeper than {depth}")
                below = _enter(descriptor, name)
                if below is not None:
                    stack.append((below, path + "/", sorted(os.listdir(below), reverse=True)))
    finally:
        for descriptor, _, _ in stack:
            os.close(descriptor)


def _enter(parent: int, name: str) -> int | None:
    """Open a directory without following a link; None when it is gone or may not be listed."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return os.open(name, flags, dir_fd=parent)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            return None
        raise


def is_pattern(path: str) -> bool:
    """Whether `path` has wildcards in it."""
    return any(mark in path for mark in "*?[")


def expand(pattern: str, base: str, *, most: int = MOST_ENTRIES) -> tuple[Place, ...]:
    """The places that a pattern matches now, in order. `**` crosses directories, links are not
    entered by it; special files and what cannot be read are left out.

    Raises Unresolvable (`too_many`).
    """
    spelled = absolute(pattern, base)
    parts = PurePosixPath(spelled).parts[1:]
    plain = 0
    while plain < len(parts) and not is_pattern(parts[plain]):
        plain += 1
    top = "/" + "/".join(parts[:plain])
    found: list[Place] = []
    for path in _matches(top, list(parts[plain:]), [most]):
        try:
            place = resolve(path, base)
        except Unresolvable:
            continue
        if place.kind != "missing":
            found.append(place)
    return tuple(found)


def _matches(top: str, parts: list[str], left: list[int]) -> Iterator[str]:
    if not parts:
        yield top
        return
    head, rest = parts[0], parts[1:]
    if head == "**":
        yield from _matches(top, rest, left)
    elif not is_pattern(head):
        here = os.path.join(top, head)
        if os.path.lexists(here):
            yield from _matches(here, rest, left)
        return
    try:
        with os.scandir(top) as entries:
            names = sorted((e.name, e.is_dir(follow_symlinks=False)) for e in entries)
    except OSError:
        return
    for name, directory in names:
        left[0] -= 1
        if left[0] < 0:
            raise Unresolvable("too_many", printable(top), "the pattern looks at too many entries")
        here = os.path.join(top, name)
        if head == "**":
            if directory:
                yield from _matches(here, parts, left)
        elif fnmatch.fnmatchcase(name, head) and (not name.startswith(".") or head[0] == "."):
            yield from _matches(here, rest, left)
