"""Who is ended for what they hold: holders at once, who may only be slow to read after a while."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from sandbox_kernel.trusted.doors import holders, worker_processes
from sandbox_kernel.trusted.doors.holders import IN_FLIGHT, LOOKS, Holders, end_holders

HOLDS = "a directory descriptor"


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A worker and a child of it, for the search."""
    processes = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    pids = [process.pid for process in processes]
    monkeypatch.setattr(worker_processes, "processes", lambda worker: pids)
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def looks(*answers: dict[int, str]):
    """A search that finds these, one after another, and then nothing."""
    left = list(answers)

    def look(pids: list[int]) -> Holders:
        return Holders(dict(left.pop(0)) if left else {})

    return look


def ended(process: subprocess.Popen[bytes]) -> bool:
    try:
        return process.wait(0.2) == -9
    except subprocess.TimeoutExpired:
        return False


def test_who_only_has_not_read_yet_outlives_a_holder_beside_it(two) -> None:
    worker, child = two
    found = end_holders(worker.pid, looks({worker.pid: IN_FLIGHT, child.pid: HOLDS}))
    assert found.dangerous == {child.pid: HOLDS}
    assert ended(child)
    assert not ended(worker)


def test_who_receives_it_meanwhile_is_a_holder(two) -> None:
    worker, child = two
    found = end_holders(worker.pid, looks({worker.pid: IN_FLIGHT}, {worker.pid: HOLDS}))
    assert found.dangerous == {worker.pid: HOLDS}
    assert ended(worker)
    assert not ended(child)


def test_what_is_on_its_way_for_good_ends_its_holder(two) -> None:
    worker, _ = two
    always = [{worker.pid: IN_FLIGHT}] * LOOKS
    assert end_holders(worker.pid, looks(*always)).dangerous == {worker.pid: IN_FLIGHT}
    assert ended(worker)


def test_control_one_look_less_and_it_lives(two) -> None:
    worker, _ = two
    almost = [{worker.pid: IN_FLIGHT}] * (LOOKS - 1)
    assert end_holders(worker.pid, looks(*almost)).dangerous == {}
    assert not ended(worker)


def as_ordinary_user(seen: Callable[[], str]) -> str:
    """What `seen` gives in a child process that is no root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(65534, 65534, 65534)
                os.setresuid(65534, 65534, 65534)
            os.write(writing, seen().encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def dangers_in(begin: Callable[[], object]) -> str:
    """What a search finds in a child that has called `begin`; it is stopped, or has ended."""
    child = os.fork()
    if child == 0:
        begin()
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    os.waitid(os.P_PID, child, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    found = (
        holders.find([child], {1}).dangerous,
        holders.find_below([child], {"/none"}).dangerous,
        holders.find_in_flight([child]).dangerous,
    )
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return repr(found).replace(str(child), "CHILD")


def dumpable(value: int) -> None:
    """prctl(PR_SET_DUMPABLE, value): 0 hides what a process has open from its own user."""
    assert ctypes.CDLL(None).prctl(4, value, 0, 0, 0) == 0


def test_who_hides_what_it_has_open_is_dangerous() -> None:
    hidden = f"{{CHILD: '{holders.UNSEEN}'}}"
    assert as_ordinary_user(lambda: dangers_in(lambda: dumpable(0))) == (
        f"({hidden}, {hidden}, {hidden})"
    )


def test_control_who_hides_nothing_and_who_has_ended_is_not() -> None:
    for begin in (lambda: dumpable(1), lambda: os._exit(0)):
        assert as_ordinary_user(lambda: dangers_in(begin)) == "({}, {}, {})"  # noqa: B023
