"""The seccomp rules of each level, from the table of system calls. Pure."""

from __future__ import annotations

import errno
from collections.abc import Iterable

from ...shared.unasked import UNASKED
from . import syscalls as table
from .bpf import ALLOW, NOTIFY, Arg, Case, Rule, compile_filter, refuse
from .level import Level
from .syscall_numbers import AUDIT_ARCH, TABLES


def seccomp_rules(
    level: Level,
    machine: str,
    *,
    listener: bool,
    spawn: bool,
    scoped_signals: bool,
    truncation_mediated: bool = True,
) -> dict[int, Rule]:
    """The rule of every system call that this machine's table knows, by number.

    `scoped_signals`, `truncation_mediated`: Landlock does that here (ABI 6, ABI 3).
    """
    numbers = TABLES[machine]
    rules = {name: Rule(refuse(table.REFUSED_WITH.get(name, errno.EPERM))) for name in numbers}

    def put(group: table.Group, action: int) -> None:
        rules.update((name, Rule(action)) for name in group.names if name in numbers)

    inside_mounts = level is Level.FULL
    ask = NOTIFY if listener else None
    for group in (*table.PLAIN, table.FILE_METADATA):
        put(group, ALLOW)
    path_action = NOTIFY if level is Level.NO_NAMESPACES else ALLOW
    for group in (table.METADATA, table.OPENS, table.TREE_CHANGES):
        put(group, path_action)
    if not inside_mounts:
        rules["newfstatat"] = _status(path_action)
        rules["openat"] = _open(path_action, table.READING_FLAGS[machine])
    if not inside_mounts and not truncation_mediated:
        rules["truncate"] = Rule(refuse(errno.EPERM))
    if inside_mounts:
        put(table.ATTRIBUTE_CHANGES, ALLOW)
        put(table.FILE_ATTRIBUTE_CHANGES, ALLOW)
    elif ask:
        put(table.ATTRIBUTE_CHANGES, ask)
    if ask:
        put(table.NETWORK, ask)
        put(table.FORK, ask)
    put(table.ABSENT, refuse(errno.ENOSYS))
    if spawn:
        put(table.SPAWN, ALLOW)
        put(table.FORK, ask or ALLOW)
    fork = ask or (ALLOW if spawn else refuse(errno.EPERM))
    rules["clone"] = _clone(fork)
    unshares = Arg(2, table.UNSHARE, table.UNSHARE)
    rules["close_range"] = Rule(ALLOW, (Case((unshares,), refuse(errno.EINVAL)),))
    rules["ioctl"] = _one_of(1, table.IOCTLS.values(), errno.ENOTTY)
    rules["fcntl"] = _one_of(1, table.FCNTLS.values(), errno.EPERM)
    rules["prctl"] = _one_of(0, table.PRCTLS.values(), errno.EPERM)
    rules["prlimit64"] = Rule(
        refuse(errno.EPERM), (Case((Arg(0, 0), Arg(2, 0, 2**64 - 1, wide=True)), ALLOW),)
    )
    rules["sched_setaffinity"] = Rule(refuse(errno.EPERM), (Case((Arg(0, 0),), ALLOW),))
    signals = ALLOW if inside_mounts or scoped_signals else ask or refuse(errno.EPERM)
    rules.update((name, Rule(signals)) for name in ("tgkill", "tkill"))
    # A negative number means a group, or everybody: what a program that starts others needs.
    many = Case((Arg(0, 0x80000000, 0x80000000),), refuse(errno.EPERM))
    rules["kill"] = Rule(signals, () if spawn else (many,))
    if spawn:
        # `nice` of oneself. Without a pid namespace another number is another program of the
        # person's, and PRIO_USER is all of them.
        rules["setpriority"] = Rule(refuse(errno.EPERM), (Case((Arg(0, 0), Arg(1, 0)), ALLOW),))
        if inside_mounts or scoped_signals:
            rules["pidfd_send_signal"] = Rule(ALLOW)
    rules.update(_sockets(ask))
    return {numbers[name]: rule for name, rule in rules.items() if name in numbers}


def _clone(fork: int) -> Rule:
    """Threads run, odd ones, new namespaces and odd parents are refused, the rest is a fork."""
    odd = table.CLONE_NEW_ANY | table.CLONE_PARENT_OR_TRACED
    return Rule(
        refuse(errno.EPERM),
        (
            Case((Arg(0, table.THREAD_SHAPE, table.THREAD_SHAPE | odd),), ALLOW),
            Case((Arg(0, 0, table.CLONE_THREAD | odd),), fork),
        ),
    )


def _status(otherwise: int) -> Rule:
    """Unasked: glibc's fstat (an open descriptor, an empty path), and who says so.

    What `stat` of a path tells is a stated gap.
    """
    own = Case((Arg(3, table.AT_EMPTY_PATH),), ALLOW)
    return Rule(otherwise, (own, Case((_UNASKED,), ALLOW)))


def _open(otherwise: int, reading: int) -> Rule:
    """Unasked: who says so and opens for reading, where Landlock decides."""
    reads = Arg(2, 0, 0xFFFFFFFF & ~reading)
    return Rule(otherwise, (Case((_UNASKED, reads), ALLOW),))


_UNASKED = Arg(0, UNASKED & 0xFFFFFFFF)


def _one_of(index: int, values: Iterable[int], otherwise: int) -> Rule:
    return Rule(refuse(otherwise), tuple(Case((Arg(index, v),), ALLOW) for v in values))


def _sockets(ask: int | None) -> dict[str, Rule]:
    """TCP sockets that a door connects, Unix streams that a door connects, datagrams that a door
    carries."""
    stream = Arg(1, table.SOCK_STREAM, table.SOCK_TYPE_MASK)
    datagram = Arg(1, table.SOCK_DGRAM, table.SOCK_TYPE_MASK)
    made = [
        Case((Arg(0, family), stream, Arg(2, protocol)), ALLOW)
        for family in (table.AF_INET, table.AF_INET6)
        for protocol in (0, table.IPPROTO_TCP)
    ]
    made.append(Case((Arg(0, table.AF_UNIX), stream, Arg(2, 0)), ALLOW))
    if ask:
        made += [
            Case((Arg(0, family), datagram, Arg(2, protocol)), ask)
            for family in (table.AF_INET, table.AF_INET6)
            for protocol in (0, table.IPPROTO_UDP)
        ]
    no = refuse(errno.EPERM)
    fast_open = Arg(0, table.MSG_FASTOPEN, table.MSG_FASTOPEN)
    return {
        "socket": Rule(refuse(errno.EAFNOSUPPORT), tuple(made)),
        "socketpair": Rule(no, (Case((Arg(0, table.AF_UNIX), stream), ALLOW),)),
        # A destination is a pointer that the filter cannot follow: only "none" passes, a door
        # looks at the rest.
        "sendto": Rule(
            ask or no,
            (
                Case((fast_open._replace(argument=3),), no),
                Case((Arg(4, 0, 2**64 - 1, wide=True),), ALLOW),
            ),
        ),
        "sendmsg": Rule(ALLOW, (Case((fast_open._replace(argument=2),), no),)),
        "sendmmsg": Rule(ALLOW, (Case((fast_open._replace(argument=3),), no),)),
        "setsockopt": Rule(
            refuse(errno.ENOPROTOOPT),
            tuple(Case((Arg(1, lv), Arg(2, op)), ALLOW) for lv, op in table.SOCKET_OPTIONS),
        ),
    }


def seccomp_program(
    level: Level,
    machine: str,
    *,
    listener: bool,
    spawn: bool,
    scoped_signals: bool,
    truncation_mediated: bool = True,
) -> bytes:
    """The compiled filter for a level."""
    rules = seccomp_rules(
        level,
        machine,
        listener=listener,
        spawn=spawn,
        scoped_signals=scoped_signals,
        truncation_mediated=truncation_mediated,
    )
    return compile_filter(rules, AUDIT_ARCH[machine], refuse(errno.ENOSYS))
