"""Private folders on the host that are always removed, whoever is killed.

Each holds a lock as long as the process lives that made it. Who makes the next one of its kind
finds those that nobody locks any more, and removes them.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile

_LOCK = "lock"


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
    """Remove what killed processes of this user left behind in `parent`."""
    with os.scandir(parent) as entries:
        found = [entry.path for entry in entries if entry.name.startswith(prefix)]
    for base in found:
        try:
            status = os.lstat(base)
            if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
                continue
            lock = os.open(f"{base}/{_LOCK}", os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue  # Gone meanwhile, just being made, or none of ours: its lock is a link.
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
