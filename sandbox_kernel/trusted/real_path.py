"""Where a path leads: `os.path.realpath`, by the kernel where it can say.

Rights are about real paths, and each change of rights looks at all of them again. The kernel
resolves a path in one call, Python with one for each part of it; and nearly every path is its own
real path, which the kernel says soonest.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from .confine._sys_linux import has_no_links

_DELETED = " (deleted)"
_TRIES = 10

#: What was seen in this moment, if there is one, and which of these paths are plain.
_seen: dict[str, str] | None = None
_plain: set[str] = set()


@contextmanager
def one_moment() -> Iterator[None]:
    """Within, each path is looked at once: all that is decided is about the same moment.

    For a millisecond of work in which nothing waits. Nothing is opened by what was seen: whoever
    opens a place looks whether it is still the one that was meant.
    """
    global _seen
    before, _seen = _seen, {} if _seen is None else _seen
    try:
        yield
    finally:
        _seen = before
        if before is None:
            _plain.clear()


def real_path(path: str) -> str:
    """The absolute path without symbolic links; what does not exist is taken as it is written."""
    if _seen is None:
        return _look(path)
    found = _seen.get(path)
    if found is None:
        found = _seen[path] = _look(path)
    return found


def is_plain(path: str) -> bool:
    """Whether a path is known to be its own real path, by one look at it and all that it is in."""
    if path in _plain:
        return True
    written_out = _written_out(path)
    if written_out is None or not has_no_links(written_out):
        return False
    while _seen is not None and path and path not in _plain:
        _plain.add(path)
        path = path.rpartition("/")[0]
    return True


@lru_cache(maxsize=4096)
def _written_out(path: str) -> bytes | None:
    """The bytes of a path that is absolute and has nothing to be taken out by text."""
    plain = path[:1] == "/" != path[1:2] and "\0" not in path and os.path.normpath(path) == path
    try:
        return os.fsencode(path) if plain else None
    except UnicodeEncodeError:
        return None  # A surrogate that stands for no byte: no file has such a name.


def _look(path: str) -> str:
    if is_plain(path):
        return path
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return _missing(path)
    except OSError:
        return _walked(path)
    try:
        return _name_of(descriptor) or _walked(path)
    finally:
        os.close(descriptor)


def _walked(path: str) -> str:
    """As `os.path.realpath`, which raises when a link is gone between two looks at it."""
    for _ in range(_TRIES):
        try:
            return os.path.realpath(path)
        except OSError:
            continue
    return os.path.abspath(path)  # Nothing that holds still lies there.


def _name_of(descriptor: int) -> str | None:
    try:
        found = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return None
    # Removed meanwhile, or of a file system that is mounted nowhere.
    return None if found[:1] != "/" or found.endswith(_DELETED) else found


def _missing(path: str) -> str:
    """Where a path would lead at which nothing is: to the names that are missing, in the real path
    of the last folder that is there.
    """
    there, names = path, ""
    while True:
        there, name = os.path.split(there)
        if name in ("", ".", "..") or there[:1] != "/":
            break
        names = f"/{name}{names}"
        try:
            folder = os.open(there, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        except OSError:
            break
        try:
            os.lstat(name, dir_fd=folder)  # A link to nothing, or it is there by now.
        except FileNotFoundError:
            real = _name_of(folder)
            if real is not None:
                return real.rstrip("/") + names
        finally:
            os.close(folder)
        break
    return _walked(path)
