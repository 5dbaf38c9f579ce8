"""Where a path leads: `os.path.realpath`, by the kernel where it can say.

Rights are about real paths, and each change of rights looks at all of them again. The kernel
resolves a path in one call, Python with one for each part of it.
"""

from __future__ import annotations

import os
import stat

_DELETED = " (deleted)"


def real_path(path: str) -> str:
    """The absolute path without symbolic links; what does not exist is taken as it is written."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return _missing(path)
    except OSError:
        return os.path.realpath(path)
    try:
        found = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:
        return os.path.realpath(path)
    finally:
        os.close(descriptor)
    # Removed meanwhile, or of a file system that is mounted nowhere.
    if found[:1] != "/" or found.endswith(_DELETED):
        return os.path.realpath(path)
    return found


def _missing(path: str) -> str:
    """Where a path would lead at which nothing is: to the names that are missing, in the real path
    of the last folder that is there.
    """
    there, names = path, ""
    if os.path.lexists(path):
        return os.path.realpath(path)  # A link to nothing, or it is there by now.
    while True:
        there, name = os.path.split(there)
        if name in ("", ".", "..") or there[:1] != "/":
            break
        names = f"/{name}{names}"
        try:
            found = os.lstat(there)
        except FileNotFoundError:
            continue
        except OSError:
            break
        if not stat.S_ISDIR(found.st_mode):
            break
        return real_path(there).rstrip("/") + names
    return os.path.realpath(path)
