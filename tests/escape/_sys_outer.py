"""Walls that somebody else put around the supervisor: a container runtime, as tests imitate it."""

from __future__ import annotations

import ctypes
import os
import struct

from sandbox_kernel.trusted.confine import _sys_linux as linux
from sandbox_kernel.trusted.confine.bpf import ALLOW, NOTIFY, Rule, compile_filter, refuse
from sandbox_kernel.trusted.confine.syscall_numbers import AUDIT_ARCH, TABLES

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_MACHINE = os.uname().machine
_NUMBERS = TABLES[_MACHINE]


def _install(rules: dict[int, Rule], flags: int) -> int:
    program = compile_filter(rules, AUDIT_ARCH[_MACHINE], ALLOW)
    code = ctypes.create_string_buffer(program, len(program))
    packed = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    number = ctypes.c_long(_NUMBERS["seccomp"])
    result = int(_libc.syscall(number, ctypes.c_long(1), ctypes.c_long(flags), packed))
    if result < 0:
        raise OSError(ctypes.get_errno(), "seccomp")
    return result


def hold_the_listener() -> int:
    """What a runtime with a seccomp agent does: its listener is the only one in the tree."""
    return _install({_NUMBERS["add_key"]: Rule(NOTIFY)}, 8)


def forbid_namespaces() -> None:
    """What Docker's default profile does to a process without CAP_SYS_ADMIN."""
    no = Rule(refuse(1))
    calls = ("unshare", "setns", "mount", "open_tree", "move_mount", "fsopen", "pivot_root")
    _install({_NUMBERS[name]: no for name in calls}, 0)


def mask_part_of_proc() -> None:
    """What runtimes do to /proc: nobody below may mount a whole one. Takes uid 0."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    linux.mount("none", "/proc/tty", "tmpfs", linux.MS_RDONLY)


def enter_user_namespace_of(pid: int) -> None:
    """Join the user namespace of a process below us."""
    fd = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)
    linux.setns(fd, linux.CLONE_NEWUSER)
    os.close(fd)
