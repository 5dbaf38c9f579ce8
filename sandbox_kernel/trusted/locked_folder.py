"""Private folders on the host that are always removed, whoever is killed.

Each holds a lock as long as the process lives that made it. Who makes the next one of its kind
finds those that nobody locks any more, and removes them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import logging
import os
import tempfile
from collections.abc import Iterator

_LOCK = "lock"
_FOLDER = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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
    with os.scandir(parent) as entries:
        found = [entry.path for entry in entries if entry.name.startswith(prefix)]
    for base in found:
        try:
            folder = os.open(base, _FOLDER | os.O_PATH)
        except OSError:
            continue  # Gone meanwhile, or no folder.
        try:
            if os.fstat(folder).st_uid == os.getuid():
                _sweep_one(base, folder)
        except OSError as error:
            _log.warning("%s of a kernel that ended cannot be removed: %s", base, error)
        finally:
            os.close(folder)


def _sweep_one(base: str, folder: int) -> None:
    try:
        lock = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return  # Just being made or removed, or none of ours: its lock is a link.
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pass  # In use.
    else:
        remove_tree(base)
    finally:
        os.close(lock)


def remove_tree(path: str) -> None:
    """Remove a folder whatever is in it: closed folders, links, any depth.

    It goes by descriptors and follows no link, whoever may move things there meanwhile. What is
    deep is moved to the top, so that no depth needs more than two of them. (shutil.rmtree gives up
    at a folder without permissions and recurses once a level.) Raises OSError: NotADirectoryError
    when `path` is none, ENOTEMPTY when somebody still adds to it.
    """
    with contextlib.suppress(FileNotFoundError):
        top = _opened(path)
        try:
            _clear(top)
        finally:
            os.close(top)
        os.rmdir(path)


def _clear(top: int) -> None:
    numbers = itertools.count()
    waiting = _folders_left(top)
    while waiting:
        name = waiting.pop()
        try:
            folder = _opened(name, top)
        except NotADirectoryError:
            _unlink(name, top)  # Swapped for something else since it was listed.
            continue
        try:
            waiting += [_moved(below, folder, top, numbers) for below in _folders_left(folder)]
        finally:
            os.close(folder)
        os.rmdir(name, dir_fd=top)


def _opened(name: str, parent: int | None = None) -> int:
    """The folder itself, made ours to read and to change."""
    place = os.open(name, _FOLDER | os.O_PATH, dir_fd=parent)
    try:
        # What /proc names is the folder that was opened, whatever has its name by now.
        os.chmod(f"/proc/self/fd/{place}", 0o700)
        return os.open(".", _FOLDER | os.O_RDONLY, dir_fd=place)
    finally:
        os.close(place)


def _folders_left(folder: int) -> list[str]:
    """Remove all but folders; the names of those."""
    with os.scandir(folder) as entries:
        listed = list(entries)
    for entry in listed:
        if not entry.is_dir(follow_symlinks=False):
            _unlink(entry.name, folder)
    return [entry.name for entry in listed if entry.is_dir(follow_symlinks=False)]


def _unlink(name: str, parent: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=parent)


def _moved(name: str, folder: int, top: int, numbers: Iterator[int]) -> str:
    """Move what is in `folder` to the top; its name there."""
    with contextlib.suppress(NotADirectoryError):
        os.close(_opened(name, folder))  # A folder must be writable itself to be moved.
    for number in numbers:
        new = f"{number}"
        try:
            os.rename(name, new, src_dir_fd=folder, dst_dir_fd=top)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
        else:
            break
    return new
