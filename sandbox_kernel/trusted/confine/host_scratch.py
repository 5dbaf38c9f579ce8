"""The scratch at levels without a mount namespace: a private folder of the host's, always removed.

Its parent holds a lock as long as the kernel lives. Who finds an unlocked one, whose kernel was
killed with its warden, removes it.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile

#: Short: the address of a Unix socket below it, as `multiprocessing` makes one, has 107 bytes.
PREFIX = "skscratch-"
_LOCK = "lock"
_FOLDERS = ("home", "tmp", "shm")


class HostScratch:
    """One scratch; `path` is what the worker gets, of mode 700."""

    def __init__(self, parent: str) -> None:
        sweep(parent)
        self._base = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        self._lock = os.open(f"{self._base}/new", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Under its name it is locked from the first moment: no sweep can take it for a leftover.
        os.rename(f"{self._base}/new", f"{self._base}/{_LOCK}")
        self.path = f"{self._base}/s"
        for folder in ("", *_FOLDERS):
            os.mkdir(f"{self.path}/{folder}".rstrip("/"), 0o700)

    def remove(self) -> None:
        """Remove it with all that a worker made there. Its processes must be dead."""
        remove_tree(self._base)
        os.close(self._lock)


def sweep(parent: str) -> None:
    """Remove what killed kernels of this user left behind in `parent`."""
    with os.scandir(parent) as entries:
        found = [entry.path for entry in entries if entry.name.startswith(PREFIX)]
    for base in found:
        try:
            status = os.lstat(base)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            lock = os.open(f"{base}/{_LOCK}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except (FileNotFoundError, PermissionError):
            continue  # Gone meanwhile, or just being made.
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_tree(base)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)


def remove_tree(path: str) -> None:
    """Remove a folder whatever is in it: closed folders, links, any depth.

    shutil.rmtree gives up at a folder without permissions and recurses once a level.
    """
    stack = [path]
    while stack:
        folder = stack[-1]
        deeper = len(stack)
        try:
            os.chmod(folder, 0o700)
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        stack.append(entry.path)
                    else:
                        os.unlink(entry.path)
            if len(stack) == deeper:
                stack.pop()
                os.rmdir(folder)
        except FileNotFoundError:
            del stack[deeper - 1 :]
