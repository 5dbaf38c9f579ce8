"""System calls on files that Python's os module lacks: openat2, renameat2, statx's mount id, kcmp.

Calls only; what may be opened or renamed is decided elsewhere. Numbers are those of every
architecture that took its table from the generic one (openat2), and x86_64 or the generic table
where they differ. Sources: openat2(2), rename(2), statx(2), kcmp(2), <linux/openat2.h>.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2

_GENERIC = platform.machine() != "x86_64"
_NR_OPENAT2 = 437
_NR_RENAMEAT2 = 276 if _GENERIC else 316
_NR_STATX = 291 if _GENERIC else 332
_NR_KCMP = 272 if _GENERIC else 312
_KCMP_FILES, _KCMP_FS = 2, 3
_AT_EMPTY_PATH = 0x1000
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_MNT_ID = 0x1000
_STATX_BYTES = 256
_MNT_ID_OFFSET = 144

_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
#: The same function with the types of openat2's arguments: a door calls it for each open.
_openat2 = ctypes.CFUNCTYPE(
    ctypes.c_long,
    ctypes.c_long,
    ctypes.c_long,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_long,
    use_errno=True,
)(("syscall", _libc))
_kcmp = ctypes.CFUNCTYPE(ctypes.c_long, *[ctypes.c_long] * 6, use_errno=True)(("syscall", _libc))
_how = struct.Struct("=QQQ")


def _check(result: int, path: bytes | None = None) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return result


def openat2(dirfd: int, path: bytes, flags: int, *, mode: int = 0, resolve: int = 0) -> int:
    """Open `path` below `dirfd` under the rules of `resolve`; the descriptor is close-on-exec.

    Raises OSError: EXDEV or ELOOP where `resolve` forbids the way, EAGAIN (retried here) while
    something in the path is being renamed.
    """
    how = _how.pack(flags | os.O_CLOEXEC, mode, resolve)
    while True:
        descriptor = int(_openat2(_NR_OPENAT2, dirfd, path, how, len(how)))
        if descriptor >= 0:
            return descriptor
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            raise OSError(number, os.strerror(number), path)


def renameat2(old_dirfd: int, old: bytes, new_dirfd: int, new: bytes, flags: int = 0) -> None:
    """rename with flags; raises FileExistsError under RENAME_NOREPLACE when `new` is there."""
    _check(
        _syscall(
            ctypes.c_long(_NR_RENAMEAT2),
            ctypes.c_long(old_dirfd),
            ctypes.c_char_p(old),
            ctypes.c_long(new_dirfd),
            ctypes.c_char_p(new),
            ctypes.c_long(flags),
        ),
        new,
    )


def mount_id(dirfd: int, path: bytes = b"") -> int:
    """The id of the mount that `path` below `dirfd` lies in, as in /proc/PID/mountinfo.

    An empty path means `dirfd` itself. The last component is not followed.
    """
    buffer = ctypes.create_string_buffer(_STATX_BYTES)
    _check(
        _syscall(
            ctypes.c_long(_NR_STATX),
            ctypes.c_long(dirfd),
            ctypes.c_char_p(path),
            ctypes.c_long(_AT_EMPTY_PATH | _AT_SYMLINK_NOFOLLOW),
            ctypes.c_long(_STATX_MNT_ID),
            buffer,
        ),
        path,
    )
    return int(struct.unpack_from("=Q", buffer.raw, _MNT_ID_OFFSET)[0])


def share_files(one: int, other: int) -> bool:
    """Whether two tasks have one table of descriptors, and one working directory.

    Raises OSError: where the kernel does not say (ENOSYS), a task has ended or may not be looked
    at.
    """
    kinds = (_KCMP_FILES, _KCMP_FS)
    return all(_check(int(_kcmp(_NR_KCMP, one, other, kind, 0, 0))) == 0 for kind in kinds)
