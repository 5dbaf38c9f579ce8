"""The judgement of a worker that has tried its walls."""

from __future__ import annotations

import errno
import os

import pytest

from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.selftest import (
    Witnesses,
    judge,
    judge_descriptors,
    judge_places,
    judge_status,
)

GOOD = """Name:\tpython
Threads:\t1
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000000
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
"""


@pytest.mark.parametrize(
    ("outcome", "holds"),
    [
        (errno.EPERM, True),
        (errno.EACCES, True),
        (errno.ENOENT, True),
        (None, False),
        ("the secret", False),
        ("something else", False),
        (errno.EFAULT, False),
        (errno.EBADF, False),
    ],
)
def test_only_a_walls_own_answer_counts_as_held(outcome: object, holds: bool) -> None:
    assert (judge(Level.FULL, {"mount": outcome}, "the secret") == []) is holds


def test_what_a_level_is_known_not_to_stop_is_no_fault_there() -> None:
    tried = {"ask about a file of the host's": None}
    assert judge(Level.LANDLOCK_ONLY, tried, "s") == []
    assert judge(Level.NO_NAMESPACES, tried, "s") != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Seccomp:\t2", "Seccomp:\t0"),
        ("NoNewPrivs:\t1", "NoNewPrivs:\t0"),
        ("Threads:\t1", "Threads:\t2"),
        ("CapEff:\t0000000000000000", "CapEff:\t0000000000000001"),
        ("CapBnd:\t0000000000000000", "CapBnd:\t000001ffffffffff"),
    ],
)
def test_a_status_without_a_wall_is_found(old: str, new: str) -> None:
    assert judge_status(GOOD, Level.FULL) == []
    assert judge_status(GOOD.replace(old, new), Level.FULL) != []


def test_a_kept_listener_and_an_open_host_file_are_found() -> None:
    fine = {0: "/dev/null", 1: "pipe:[1]", 3: "socket:[2]"}
    assert judge_descriptors(fine) == []
    assert judge_descriptors({**fine, 9: "anon_inode:seccomp notify"}) != []
    assert judge_descriptors({**fine, 9: "/etc/passwd"}) != []
    assert judge_descriptors({**fine, 9: "mnt:[4026532200]"}) != []


def test_what_a_worker_reaches_without_a_path_cannot_be_written() -> None:
    assert judge_places({"root": os.ST_RDONLY, "exe": os.ST_RDONLY | os.ST_NOSUID}) == []
    assert judge_places({"root": os.ST_RDONLY, "exe": 0}) == [
        "the worker's exe is on a file system that can be written"
    ]


def test_witnesses_see_a_connection_and_a_file() -> None:
    import socket

    witnesses = Witnesses("x86_64")
    try:
        assert witnesses.seen() == []
        order = witnesses.order()
        socket.create_connection(tuple(order["listener"])).close()
        with open(order["canary"] + ".made", "w", encoding="ascii"):
            pass
        assert len(witnesses.seen()) == 2
    finally:
        witnesses.close()


def test_a_strangers_connection_to_the_same_port_is_not_the_workers() -> None:
    import socket

    def beside() -> tuple[Witnesses, socket.socket]:
        """Witnesses, and a server with the number of their port on the address of most servers."""
        while True:
            witnesses = Witnesses("x86_64")
            host, port = witnesses.order()["listener"]
            assert host != "127.0.0.1"
            try:
                return witnesses, socket.create_server(("127.0.0.1", port))
            except OSError:  # Some other program has that one.
                witnesses.close()

    witnesses, server = beside()
    try:
        with server, socket.create_connection(server.getsockname(), timeout=5):
            assert witnesses.seen() == []
    finally:
        witnesses.close()
