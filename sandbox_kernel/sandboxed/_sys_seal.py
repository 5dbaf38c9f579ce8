"""Raw calls with which a worker gives up its rights: no_new_privs, Landlock, seccomp.

Calls only. The numbers come from the trusted side's table for this machine, in the plan.
Sources: landlock(7), seccomp(2), prctl(2).
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable

_LANDLOCK = {"create": 444, "add": 445, "restrict": 446}
_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SECCOMP_SET_MODE_FILTER = 1
_NEW_LISTENER, _WAIT_KILLABLE = 8, 32
_PR_SET_NO_NEW_PRIVS = 38
_RULE_PATH_BENEATH = 1
# What Landlock takes for a rule on a file: EXECUTE, WRITE_FILE, READ_FILE, TRUNCATE, IOCTL_DEV.
_FILE_RIGHTS = 1 | 2 | 4 | 16384 | 32768

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def syscall(number: int, *arguments: object) -> int:
    """syscall(2): ints, bytes or ctypes objects. Raises OSError."""
    raw = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *raw), f"syscall {number}")


def no_new_privileges() -> None:
    """From now on no exec gives more rights than this process has."""
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1), zero, zero, zero), "prctl")


def restrict_files(
    handled_files: int, handled_net: int, scoped: int, rules: Iterable[tuple[str, int]]
) -> None:
    """Enter a Landlock domain. A rule for a path that is not there is left out.

    Fields that are zero are not sent: older ABIs take a shorter structure.
    """
    fields = [handled_files, handled_net, scoped]
    while len(fields) > 1 and not fields[-1]:
        fields.pop()
    attributes = struct.pack(f"{len(fields)}Q", *fields)
    ruleset = syscall(_LANDLOCK["create"], attributes, len(attributes), 0)
    try:
        for path, access in rules:
            try:
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                if not stat.S_ISDIR(os.fstat(fd).st_mode):
                    access &= _FILE_RIGHTS
                rule = struct.pack("<Qi", access, fd)
                syscall(_LANDLOCK["add"], ruleset, _RULE_PATH_BENEATH, rule, 0)
            finally:
                os.close(fd)
        syscall(_LANDLOCK["restrict"], ruleset, 0)
    finally:
        os.close(ruleset)


def install_filter(program: bytes, *, listener: bool) -> int | None:
    """Install a seccomp filter; the listener's descriptor when one is asked for.

    The waiting call then ends for a fatal signal only (Linux 5.19); older kernels lack the flag.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    pointer = ctypes.byref(_Program(len(program) // 8, ctypes.addressof(buffer)))
    number = _SECCOMP[os.uname().machine]
    if not listener:
        syscall(number, _SECCOMP_SET_MODE_FILTER, 0, pointer)
        return None
    try:
        flags = _NEW_LISTENER | _WAIT_KILLABLE
        return syscall(number, _SECCOMP_SET_MODE_FILTER, flags, pointer)
    except OSError as error:
        if error.errno != 22:
            raise
    return syscall(number, _SECCOMP_SET_MODE_FILTER, _NEW_LISTENER, pointer)
