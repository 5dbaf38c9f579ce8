"""The processes behind a worker's walls are all found, however late they come."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from sandbox_kernel.trusted.doors import _sys_descriptors, connections, holders, worker_processes
from sandbox_kernel.trusted.doors.connections import Connections, Opened
from sandbox_kernel.trusted.doors.holders import RESTLESS, Holders, end_holders
from sandbox_kernel.trusted.doors.worker_processes import Stopped, tasks, tasks_apart

#: Starts a thread, and after it one for each argument, with `unshare(2)` of that flag.
THREADS = """
import ctypes, sys, threading
ready = threading.Barrier(len(sys.argv) + 1)
def begin(flag):
    assert ctypes.CDLL(None).unshare(flag) == 0
    ready.wait()
    threading.Event().wait()
for flag in (0, *map(int, sys.argv[1:])):
    threading.Thread(target=begin, args=(flag,), daemon=True).start()
ready.wait()
print("ready", flush=True)
sys.stdin.read()
"""
CLONE_FS, CLONE_FILES = 0x200, 0x400

Start = Callable[[], int]


@pytest.fixture
def begin() -> Iterator[Start]:
    """Starts processes that wait; gives the number of each."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> int:
        started.append(subprocess.Popen(["sleep", "60"]))
        return started[-1].pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(") ")[2][0]


def test_who_is_born_while_the_others_are_looked_for_is_stopped(
    begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = begin()
    known = [first]

    def processes(worker: int) -> list[int]:
        found = list(known)
        if len(known) < 3:
            known.append(begin())  # Too late for this list.
        return found

    monkeypatch.setattr(worker_processes, "processes", processes)
    with Stopped(first) as stopped:
        assert sorted(stopped.pids) == sorted(known)
        assert len(known) == 3
        assert {state(pid) for pid in known} == {"T"}
        assert stopped.stayed()
    assert "T" not in {state(pid) for pid in known}


@pytest.mark.parametrize("woken", [False, True], ids=["control", "woken"])
def test_who_wakes_up_while_it_is_looked_at_has_not_stayed(
    begin: Start, monkeypatch: pytest.MonkeyPatch, woken: bool
) -> None:
    process = begin()
    monkeypatch.setattr(worker_processes, "processes", lambda worker: [process])
    with Stopped(process) as stopped:
        if woken:
            os.kill(process, signal.SIGCONT)
            while state(process) == "T":
                pass
            os.kill(process, signal.SIGSTOP)  # As it was, but it has run.
            while state(process) != "T":
                pass
        assert stopped.stayed() is not woken


@pytest.mark.parametrize("looks", [1, holders.LOOKS], ids=["once", "always"])
def test_who_wakes_up_each_time_is_ended(
    begin: Start, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """What does not stand still at one look may at the next; at the last it is ended."""
    process = begin()
    monkeypatch.setattr(worker_processes, "processes", lambda worker: [process])
    left = [None] * looks

    def look(pids: list[int]) -> Holders:
        if left:
            left.pop()
            os.kill(process, signal.SIGCONT)
            while state(process) == "T":
                pass
        return Holders()

    found = end_holders(process, look, lambda seconds: None)
    assert found.dangerous == ({} if looks == 1 else {process: RESTLESS})


def test_who_starts_others_without_end_is_ended(
    begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [begin()]

    def processes(worker: int) -> list[int]:
        found = list(known)
        known.append(begin())
        return found

    monkeypatch.setattr(worker_processes, "processes", processes)
    monkeypatch.setattr(holders, "STOP_SECONDS", 0.01)
    monkeypatch.setattr(holders, "LAST_STOP_SECONDS", 0.01)
    found = end_holders(known[0], lambda pids: Holders(), lambda seconds: None)
    assert found.dangerous[known[0]] == RESTLESS
    assert os.waitid(os.P_PID, known[0], os.WEXITED | os.WNOWAIT)


@pytest.mark.parametrize(
    ("flags", "apart"),
    [([], 1), ([0, 0], 1), ([CLONE_FILES], 2), ([CLONE_FS], 2), ([CLONE_FILES, 0, CLONE_FILES], 3)],
    ids=["one", "three", "own files", "own folder", "two with own files"],
)
def test_tasks_that_share_everything_are_looked_at_once(flags: list[int], apart: int) -> None:
    command = [sys.executable, "-c", THREADS, *map(str, flags)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert len(tasks(process.pid)) == 2 + len(flags)
        assert len(tasks_apart(process.pid)) == apart
        process.kill()


def test_a_kernel_that_does_not_say_who_shares_has_each_task_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def share_files(one: int, other: int) -> bool:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(worker_processes._sys_files, "share_files", share_files)
    command = [sys.executable, "-c", THREADS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert len(tasks_apart(process.pid)) == 2
        process.kill()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EPERM, None])
def test_a_connection_that_cannot_be_shut_down_is_not_passed_over(
    number: int | None, begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who revokes learns of it, and ends the worker; `None` is the control."""
    left, right = socket.socketpair()
    with left, right:
        holder = subprocess.Popen(["sleep", "60"], pass_fds=[left.fileno()])
        monkeypatch.setattr(worker_processes, "processes", lambda worker: [holder.pid])
        monkeypatch.setattr(connections, "listed_processes", lambda worker: [holder.pid])
        if number is not None:

            def refused(pidfd: int, descriptor: int) -> int:
                assert number is not None
                raise OSError(number, os.strerror(number))

            monkeypatch.setattr(_sys_descriptors, "pidfd_getfd", refused)
        known = Connections(holder.pid)
        known.add(Opened(os.fstat(left.fileno()).st_ino, "connect", None, "127.0.0.1", 1))
        try:
            if number is None:
                assert known.shut(lambda opened: False)
                assert right.recv(1) == b""
            else:
                with pytest.raises(OSError, match=os.strerror(number)):
                    known.shut(lambda opened: False)
        finally:
            holder.kill()
            holder.wait()


def test_a_full_table_of_descriptors_is_not_taken_for_the_end_of_all(
    begin: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would be found, and a revocation would end nobody."""

    def content(path: str, folder: int | None = None) -> bytes:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    process = begin()
    assert process in worker_processes.processes(process)
    monkeypatch.setattr(worker_processes, "content", content)
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        worker_processes.processes(process)
