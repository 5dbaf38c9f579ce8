"""Verdicts of the real filters, by table: the call as a program makes it, and what comes of it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sandbox_kernel.shared.unasked import UNASKED as NUMBER
from sandbox_kernel.trusted.confine import syscalls as table
from sandbox_kernel.trusted.confine.bpf import ALLOW, KILL, NOTIFY, refuse
from sandbox_kernel.trusted.confine.filters import seccomp_program
from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.confine.syscall_numbers import AARCH64, AUDIT_ARCH, TABLES, X86_64
from tests.unit.confine.interpreter import run

FULL, NO_NS, LANDLOCK = Level.FULL, Level.NO_NAMESPACES, Level.LANDLOCK_ONLY
NO = refuse(errno.EPERM)
CWD = 2**64 - 100
UNASKED = 2**64 + NUMBER


def verdict(
    level: Level,
    name: str,
    *arguments: int,
    machine: str = "x86_64",
    spawn: bool = False,
    scoped: bool = True,
) -> int:
    program = seccomp_program(
        level,
        machine,
        listener=level is not LANDLOCK,
        spawn=spawn,
        scoped_signals=scoped,
    )
    return run(program, TABLES[machine][name], arguments, AUDIT_ARCH[machine])


# name, arguments, then what comes of it at full, no-namespaces, landlock-only.
CALLS = [
    ("read", (), ALLOW, ALLOW, ALLOW),
    ("openat", (CWD,), ALLOW, NOTIFY, ALLOW),
    ("newfstatat", (CWD,), ALLOW, NOTIFY, ALLOW),
    ("newfstatat", (5, 1 << 40, 1 << 41, 0x1000), ALLOW, ALLOW, ALLOW),
    ("newfstatat", (5, 1 << 40, 1 << 41, 0x1100), ALLOW, NOTIFY, ALLOW),
    ("newfstatat", (UNASKED, 1 << 40, 1 << 41, 0), ALLOW, ALLOW, ALLOW),
    ("openat", (UNASKED, 1 << 40, os.O_RDONLY | os.O_CLOEXEC), ALLOW, ALLOW, ALLOW),
    ("openat", (UNASKED, 1 << 40, os.O_RDONLY | os.O_DIRECTORY), ALLOW, ALLOW, ALLOW),
    ("openat", (UNASKED, 1 << 40, os.O_WRONLY | os.O_CLOEXEC), ALLOW, NOTIFY, ALLOW),
    ("openat", (UNASKED, 1 << 40, os.O_RDONLY | os.O_TRUNC), ALLOW, NOTIFY, ALLOW),
    ("openat", (UNASKED, 1 << 40, os.O_RDONLY | os.O_CREAT), ALLOW, NOTIFY, ALLOW),
    ("openat", (UNASKED, 1 << 40, os.O_PATH), ALLOW, NOTIFY, ALLOW),
    ("openat", (5, 1 << 40, os.O_RDONLY | os.O_CLOEXEC), ALLOW, NOTIFY, ALLOW),
    ("renameat2", (), ALLOW, NOTIFY, ALLOW),
    ("fchmodat", (), ALLOW, NOTIFY, NO),
    ("fchmod", (), ALLOW, NO, NO),
    ("connect", (), NOTIFY, NOTIFY, refuse(errno.EACCES)),
    ("bind", (), NOTIFY, NOTIFY, refuse(errno.EACCES)),
    ("clone", (0x3D0F00,), ALLOW, ALLOW, ALLOW),
    ("clone", (0x7D0F00,), ALLOW, ALLOW, ALLOW),
    ("clone", (17,), NOTIFY, NOTIFY, NO),
    ("clone", (0x4111,), NOTIFY, NOTIFY, NO),
    ("clone", (0x10000000 | 17,), NO, NO, NO),
    ("clone", (0x10000 | 0x20000,), NO, NO, NO),
    ("clone", (0x8000 | 17,), NO, NO, NO),
    ("clone3", (), refuse(errno.ENOSYS), refuse(errno.ENOSYS), refuse(errno.ENOSYS)),
    ("openat2", (), refuse(errno.ENOSYS), refuse(errno.ENOSYS), refuse(errno.ENOSYS)),
    ("io_uring_setup", (), refuse(errno.ENOSYS), refuse(errno.ENOSYS), refuse(errno.ENOSYS)),
    ("execve", (), NO, NO, NO),
    ("execveat", (), NO, NO, NO),
    ("ptrace", (), NO, NO, NO),
    ("mount", (), NO, NO, NO),
    ("move_mount", (), NO, NO, NO),
    ("unshare", (), NO, NO, NO),
    ("setns", (), NO, NO, NO),
    ("bpf", (), NO, NO, NO),
    ("seccomp", (), NO, NO, NO),
    ("setrlimit", (), NO, NO, NO),
    ("prlimit64", (0, 7, 0), ALLOW, ALLOW, ALLOW),
    ("prlimit64", (0, 7, 1 << 33), NO, NO, NO),
    ("prlimit64", (12, 7, 0), NO, NO, NO),
    ("kill", (12,), ALLOW, ALLOW, ALLOW),
    ("kill", (2**32 - 1,), NO, NO, NO),
    ("sched_setaffinity", (0,), ALLOW, ALLOW, ALLOW),
    ("sched_setaffinity", (12,), NO, NO, NO),
    ("ioctl", (0, 0x5401), ALLOW, ALLOW, ALLOW),
    ("ioctl", (0, 0x5412), *[refuse(errno.ENOTTY)] * 3),
    ("ioctl", (0, 0xDEAD00005412), *[refuse(errno.ENOTTY)] * 3),
    ("fcntl", (0, 3), ALLOW, ALLOW, ALLOW),
    ("fcntl", (0, 8), NO, NO, NO),
    ("fcntl", (0, 1024), NO, NO, NO),
    ("prctl", (15,), ALLOW, ALLOW, ALLOW),
    ("prctl", (4,), NO, NO, NO),
    ("prctl", (0x59616D61,), NO, NO, NO),
    ("socket", (2, 1 | 0o2000000, 6), ALLOW, ALLOW, ALLOW),
    ("socket", (16, 3, 0), *[refuse(errno.EAFNOSUPPORT)] * 3),
    ("socket", (2, 3, 1), *[refuse(errno.EAFNOSUPPORT)] * 3),
    ("socket", (2, 1, 262), *[refuse(errno.EAFNOSUPPORT)] * 3),
    ("socket", (40, 1, 0), *[refuse(errno.EAFNOSUPPORT)] * 3),
    ("socketpair", (1, 1, 0), ALLOW, ALLOW, ALLOW),
    ("socketpair", (1, 2, 0), NO, NO, NO),
    ("sendto", (0, 0, 0, 0, 0), ALLOW, ALLOW, ALLOW),
    ("sendto", (0, 0, 0, 0x20000000, 0), NO, NO, NO),
    ("sendmsg", (0, 0, 0x20000000), NO, NO, NO),
    ("setsockopt", (0, 1, 36), *[refuse(errno.ENOPROTOOPT)] * 3),
]


@pytest.mark.parametrize(
    ("name", "arguments", "full", "no_namespaces", "landlock_only"),
    CALLS,
    ids=[f"{row[0]}{row[1]}" for row in CALLS],
)
def test_verdicts(
    name: str, arguments: tuple[int, ...], full: int, no_namespaces: int, landlock_only: int
) -> None:
    assert verdict(FULL, name, *arguments) == full
    assert verdict(NO_NS, name, *arguments) == no_namespaces
    assert verdict(LANDLOCK, name, *arguments) == landlock_only


@pytest.mark.parametrize("level", [FULL, NO_NS, LANDLOCK])
def test_processes_are_given_only_when_the_policy_says_so(level: Level) -> None:
    for name in ("execve", "setsid"):
        assert verdict(level, name, spawn=True) == ALLOW
        assert verdict(level, name) != ALLOW
    # Each fork asks where there is a listener: `processes` says how many.
    forks = ALLOW if level is LANDLOCK else NOTIFY
    assert verdict(level, "fork", spawn=True) == forks
    assert verdict(level, "clone", 17, spawn=True) == forks
    assert verdict(level, "fork") != ALLOW
    assert verdict(level, "clone", 0x10000000 | 17, spawn=True) == NO


@pytest.mark.parametrize("level", [FULL, NO_NS, LANDLOCK])
def test_who_may_start_processes_acts_on_no_others(level: Level) -> None:
    assert verdict(level, "setpriority", 0, 0, 5, spawn=True) == ALLOW
    for which, who in ((0, 12), (1, 0), (2, 0), (2, 1000)):
        assert verdict(level, "setpriority", which, who, 19, spawn=True) == NO
    assert verdict(level, "setpriority", 0, 0, 5) == NO
    # Signals by pidfd only where the namespace or Landlock's scope says whose they may be.
    assert verdict(level, "pidfd_send_signal", 5, 9, spawn=True) == ALLOW
    assert verdict(level, "pidfd_send_signal", 5, 9) == NO
    unscoped = verdict(level, "pidfd_send_signal", 5, 9, spawn=True, scoped=False)
    assert unscoped == (ALLOW if level is FULL else NO)


def test_a_connection_always_asks_where_a_listener_is() -> None:
    for machine in TABLES:
        assert verdict(FULL, "connect", machine=machine) == NOTIFY


def test_signals_ask_where_neither_namespace_nor_landlock_scopes_them() -> None:
    assert verdict(NO_NS, "kill", 1, scoped=False) == NOTIFY
    assert verdict(LANDLOCK, "tgkill", 1, scoped=False) == NO
    assert verdict(FULL, "kill", 1, scoped=False) == ALLOW


def test_truncating_by_name_is_refused_where_landlock_does_not_mediate_it() -> None:
    program = seccomp_program(
        NO_NS,
        "x86_64",
        listener=True,
        spawn=False,
        scoped_signals=False,
        truncation_mediated=False,
    )
    assert run(program, X86_64["truncate"], (), AUDIT_ARCH["x86_64"]) == NO
    assert verdict(NO_NS, "truncate") == NOTIFY


@pytest.mark.parametrize("machine", TABLES)
@pytest.mark.parametrize("level", [FULL, NO_NS, LANDLOCK])
def test_the_filter_does_not_depend_on_the_process(machine: str, level: Level) -> None:
    """No program mentions our process id: a copy that takes over keeps the filter."""
    program = seccomp_program(level, machine, listener=False, spawn=False, scoped_signals=True)
    assert os.getpid() < 70000 or os.getpid().to_bytes(4, "little") not in program
    again = seccomp_program(level, machine, listener=False, spawn=False, scoped_signals=True)
    assert program == again


def test_a_32_bit_call_is_killed() -> None:
    program = seccomp_program(FULL, "x86_64", listener=True, spawn=False, scoped_signals=True)
    assert run(program, X86_64["read"], (), 0x40000003) == KILL


GROUPS = [
    *table.PLAIN,
    table.METADATA,
    table.FILE_METADATA,
    table.OPENS,
    table.TREE_CHANGES,
    table.ATTRIBUTE_CHANGES,
    table.FILE_ATTRIBUTE_CHANGES,
    table.NETWORK,
    table.FORK,
    table.SPAWN,
    table.ABSENT,
]


def test_every_group_has_a_reason_and_names_that_exist() -> None:
    for group in GROUPS:
        assert len(group.reason) > 2
        for name in group.names:
            assert name in X86_64 or name in AARCH64, name


def test_no_call_is_in_two_groups() -> None:
    names = [name for group in GROUPS for name in group.names]
    assert sorted(names) == sorted(set(names))


@pytest.mark.skipif(
    os.uname().machine != "x86_64"
    or not Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h").exists(),
    reason="no kernel headers here",
)
def test_the_numbers_are_the_kernels() -> None:
    text = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h").read_text()
    rows = [line.split() for line in text.splitlines() if line.startswith("#define __NR_")]
    theirs = {row[1][len("__NR_") :]: int(row[2]) for row in rows if len(row) == 3}
    assert {name: X86_64.get(name) for name in theirs} == theirs
