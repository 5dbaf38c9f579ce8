"""Private folders on the host that are always removed, whoever is killed.

Each holds a lock as long as the process lives that made it. Who makes the next one of its kind
finds those that nobody locks any more, and removes them: by descriptors, and never through a link,
into another mount or into a folder of another user's. A cell that may write where they lie can
make what looks like one of them, and move in it while it is removed.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import tempfile
import time
from collections.abc import Iterator

from .confine import _sys_linux as linux

_LOCK = "lock"
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_HERE = linux.RESOLVE_BENEATH | linux.RESOLVE_NO_SYMLINKS | linux.RESOLVE_NO_XDEV
#: Seconds that a kernel's start spends on what others left; the next one goes on.
SWEEP_SECONDS = 3.0
_log = logging.getLogger(__name__)


class LockedFolder:
    """One such folder, of mode 700; `path` is where it is."""

    def __init__(self, parent: str, prefix: str) -> None:
        """`prefix` begins the names of all of its kind. Raises OSError."""
        sweep(parent, prefix)
        self.path = tempfile.mkdtemp(prefix=prefix, dir=parent)
        self._lock = os.open(f"{self.path}/new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Under its name it is locked from the first moment: no sweep can take it for a leftover.
        os.rename(f"{self.path}/new", f"{self.path}/{_LOCK}")

    def remove(self) -> None:
        """Remove it with all that is in it. Whoever may write there must be gone."""
        remove_tree(self.path)
        os.close(self._lock)


def sweep(parent: str, prefix: str) -> None:
    """Remove what killed processes of this user left behind in `parent`.

    What cannot be removed is told in the log and stays: it keeps no kernel from starting.
    """
    until = time.monotonic() + SWEEP_SECONDS
    place = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for name in os.listdir(parent):
            if name.startswith(prefix):
                try:
                    _sweep_one(place, name, until)
                except OSError as error:
                    _log.warning("what a kernel left in %r stays: %s", f"{parent}/{name}", error)
    finally:
        os.close(place)


def _sweep_one(place: int, name: str, until: float) -> None:
    try:
        found = _found(name, place)
    except (FileNotFoundError, NotADirectoryError, _Foreign):
        return  # Gone meanwhile, no folder, or another user's.
    try:
        lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=found)
    except OSError:
        os.close(found)
        return  # Just being made or removed, or none of ours: its lock is a link, say.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder = _made_ours(found)  # Nothing of it was changed before it was known to be left.
        try:
            _remove(folder, name, place, until)
        finally:
            os.close(folder)
    except BlockingIOError:
        pass  # In use.
    finally:
        os.close(lock)
        os.close(found)


def remove_tree(path: str) -> None:
    """Remove a folder whatever is in it: closed folders, links, any depth; its lock goes last.

    What is deep is moved to the top, so that no depth needs more than two descriptors.
    (shutil.rmtree gives up at a folder without permissions and recurses once a level.) Raises
    OSError: NotADirectoryError when `path` is none, EXDEV at a mount, EPERM at a folder of another
    user's, ENOTEMPTY when somebody still adds to it.
    """
    parent, name = os.path.split(path)
    place = os.open(parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder = _opened(name, place)
        try:
            _remove(folder, name, place, float("inf"))
        finally:
            os.close(folder)
    except FileNotFoundError:
        pass  # It is gone.
    finally:
        os.close(place)


class _Foreign(PermissionError):
    """A folder of another user's."""


def _remove(folder: int, name: str, place: int, until: float) -> None:
    """Remove `folder`, which is `name` in `place`. Raises TimeoutError at the time `until`."""
    numbers = itertools.count()
    # Without its lock it would be nobody's leftover, should this end half-way.
    waiting = _folders_left(folder, until, but=_LOCK)
    while waiting:
        below = waiting.pop()
        try:
            opened = _opened(below, folder)
        except FileNotFoundError:
            continue
        except NotADirectoryError:
            _unlink(below, folder)  # Swapped for something else since it was listed.
            continue
        try:
            for deeper in _folders_left(opened, until):
                waiting += _moved(deeper, opened, folder, numbers)
        finally:
            os.close(opened)
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(below, dir_fd=folder)
    _unlink(_LOCK, folder)
    os.rmdir(name, dir_fd=place)


def _opened(name: str, parent: int) -> int:
    """The folder itself, made ours to read and to change."""
    found = _found(name, parent)
    try:
        return _made_ours(found)
    finally:
        os.close(found)


def _found(name: str, parent: int) -> int:
    """An O_PATH descriptor of a folder of this user's."""
    try:
        found = linux.openat2(parent, name, _FOLDER | os.O_PATH, _HERE)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), name) from None
        raise
    if os.fstat(found).st_uid != os.getuid():
        os.close(found)
        raise _Foreign(errno.EPERM, "a folder of another user's", name)
    return found


def _made_ours(found: int) -> int:
    # What /proc names is the folder that was found, whatever has its name by now.
    os.chmod(f"/proc/self/fd/{found}", 0o700)
    return os.open(".", _FOLDER | os.O_RDONLY, dir_fd=found)


def _folders_left(folder: int, until: float, *, but: str = "") -> list[str]:
    """Remove all but folders, and what is called `but`; the names of those."""
    with os.scandir(folder) as entries:
        listed = list(entries)
    folders = []
    for entry in listed:
        if time.monotonic() > until:
            raise TimeoutError(errno.ETIMEDOUT, "it takes too long; the next kernel goes on")
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        elif entry.name != but:
            _unlink(entry.name, folder)
    return folders


def _unlink(name: str, parent: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


def _moved(name: str, folder: int, top: int, numbers: Iterator[int]) -> list[str]:
    """Move what is in `folder` to the top; its name there, nothing when it is gone."""
    try:
        os.close(_opened(name, folder))  # A folder must be writable itself to be moved.
    except NotADirectoryError:
        pass  # It is removed there as what it is now.
    except FileNotFoundError:
        return []
    while True:
        new = f"{next(numbers)}"
        try:
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
        except FileNotFoundError:
            return []
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            return [new]
