"""Where each path call has its arguments: data for the notify door.

Sources: the man page of each call; numbers of arguments are positions of registers.
"""

from __future__ import annotations

import enum
import os
from dataclasses import dataclass

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000


class Kind(enum.Enum):
    """What a call does."""

    OPEN = enum.auto()
    STATUS = enum.auto()
    ACCESS = enum.auto()
    READ_LINK = enum.auto()
    FILE_SYSTEM = enum.auto()
    CHANGE_DIRECTORY = enum.auto()
    ATTRIBUTES = enum.auto()
    MAKE_DIRECTORY = enum.auto()
    REMOVE = enum.auto()
    RENAME = enum.auto()
    LINK = enum.auto()
    SYMLINK = enum.auto()
    TRUNCATE = enum.auto()
    MODE = enum.auto()
    TIMES = enum.auto()


@dataclass(frozen=True, slots=True)
class PathCall:
    """directory, path: positions of the first path (-1: no descriptor, the current directory).

    second: the same of a second path. flags: position of open or AT flags, -1 for none.
    fixed: flags that the call implies. rest: position of what follows (mode, buffer, times).
    """

    kind: Kind
    directory: int
    path: int
    flags: int = -1
    fixed: int = 0
    rest: int = -1
    second: tuple[int, int] = (-1, -1)


_CREATED = os.O_CREAT | os.O_WRONLY | os.O_TRUNC
CALLS: dict[str, PathCall] = {
    "open": PathCall(Kind.OPEN, -1, 0, 1, 0, 2),
    "openat": PathCall(Kind.OPEN, 0, 1, 2, 0, 3),
    "creat": PathCall(Kind.OPEN, -1, 0, -1, _CREATED, 1),
    "stat": PathCall(Kind.STATUS, -1, 0, rest=1),
    "lstat": PathCall(Kind.STATUS, -1, 0, fixed=AT_SYMLINK_NOFOLLOW, rest=1),
    "newfstatat": PathCall(Kind.STATUS, 0, 1, 3, rest=2),
    "statx": PathCall(Kind.STATUS, 0, 1, 2, rest=4),
    "access": PathCall(Kind.ACCESS, -1, 0, rest=1),
    "faccessat": PathCall(Kind.ACCESS, 0, 1, rest=2),
    "faccessat2": PathCall(Kind.ACCESS, 0, 1, 3, rest=2),
    "readlink": PathCall(Kind.READ_LINK, -1, 0, fixed=AT_SYMLINK_NOFOLLOW, rest=1),
    "readlinkat": PathCall(Kind.READ_LINK, 0, 1, fixed=AT_SYMLINK_NOFOLLOW, rest=2),
    "statfs": PathCall(Kind.FILE_SYSTEM, -1, 0),
    "chdir": PathCall(Kind.CHANGE_DIRECTORY, -1, 0),
    "getxattr": PathCall(Kind.ATTRIBUTES, -1, 0),
    "lgetxattr": PathCall(Kind.ATTRIBUTES, -1, 0, fixed=AT_SYMLINK_NOFOLLOW),
    "listxattr": PathCall(Kind.ATTRIBUTES, -1, 0),
    "llistxattr": PathCall(Kind.ATTRIBUTES, -1, 0, fixed=AT_SYMLINK_NOFOLLOW),
    "mkdir": PathCall(Kind.MAKE_DIRECTORY, -1, 0, fixed=AT_SYMLINK_NOFOLLOW, rest=1),
    "mkdirat": PathCall(Kind.MAKE_DIRECTORY, 0, 1, fixed=AT_SYMLINK_NOFOLLOW, rest=2),
    "rmdir": PathCall(Kind.REMOVE, -1, 0, fixed=AT_SYMLINK_NOFOLLOW | AT_REMOVEDIR),
    "unlink": PathCall(Kind.REMOVE, -1, 0, fixed=AT_SYMLINK_NOFOLLOW),
    "unlinkat": PathCall(Kind.REMOVE, 0, 1, 2, AT_SYMLINK_NOFOLLOW),
    "rename": PathCall(Kind.RENAME, -1, 0, fixed=AT_SYMLINK_NOFOLLOW, second=(-1, 1)),
    "renameat": PathCall(Kind.RENAME, 0, 1, fixed=AT_SYMLINK_NOFOLLOW, second=(2, 3)),
    "renameat2": PathCall(Kind.RENAME, 0, 1, fixed=AT_SYMLINK_NOFOLLOW, rest=4, second=(2, 3)),
    "link": PathCall(Kind.LINK, -1, 0, fixed=AT_SYMLINK_NOFOLLOW, second=(-1, 1)),
    "linkat": PathCall(Kind.LINK, 0, 1, fixed=AT_SYMLINK_NOFOLLOW, second=(2, 3)),
    "symlink": PathCall(Kind.SYMLINK, -1, 1, fixed=AT_SYMLINK_NOFOLLOW, rest=0),
    "symlinkat": PathCall(Kind.SYMLINK, 1, 2, fixed=AT_SYMLINK_NOFOLLOW, rest=0),
    "truncate": PathCall(Kind.TRUNCATE, -1, 0, rest=1),
    "chmod": PathCall(Kind.MODE, -1, 0, rest=1),
    "fchmodat": PathCall(Kind.MODE, 0, 1, rest=2),
    "fchmodat2": PathCall(Kind.MODE, 0, 1, 3, rest=2),
    "utime": PathCall(Kind.TIMES, -1, 0, rest=1),
    "utimes": PathCall(Kind.TIMES, -1, 0, rest=1),
    "futimesat": PathCall(Kind.TIMES, 0, 1, rest=2),
    "utimensat": PathCall(Kind.TIMES, 0, 1, 3, rest=2),
}
