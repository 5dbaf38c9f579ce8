"""Two processes on one processor for a moment, and what they have afterwards."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine._sys_affinity import SameProcessor

CPUSET = Path("/sys/fs/cgroup/cpuset")


@pytest.fixture
def other() -> Iterator[int]:
    """Another process."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process.pid
        process.kill()


def test_both_are_held_and_both_are_let_go(other: int) -> None:
    ours, turns = os.sched_getaffinity(0), SameProcessor()
    assert turns.hold(other)
    (one,) = os.sched_getaffinity(0)
    assert os.sched_getaffinity(other) == {one}
    turns.let_go(other)
    assert (os.sched_getaffinity(other), os.sched_getaffinity(0)) == (ours, {one})
    assert turns.hold(other)
    turns.let_go(other)
    turns.release()
    assert os.sched_getaffinity(0) == os.sched_getaffinity(other) == ours


def test_a_set_that_it_has_chosen_is_given_back(other: int) -> None:
    chosen = {max(os.sched_getaffinity(0))}
    os.sched_setaffinity(other, chosen)
    turns = SameProcessor()
    for _ in range(2):
        assert turns.hold(other)
        turns.let_go(other)
        assert os.sched_getaffinity(other) == chosen
    turns.release()


def test_who_has_ended_is_not_held(other: int) -> None:
    turns = SameProcessor()
    assert turns.hold(other)
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    assert not turns.hold(gone.pid)
    turns.let_go(gone.pid)
    turns.let_go(other)
    turns.release()


@pytest.mark.skipif(
    not os.access(CPUSET / "cgroup.procs", os.W_OK) or len(os.sched_getaffinity(0)) < 2,
    reason="needs a cpuset (cgroup v1) to write to, and two processors",
)
def test_who_has_chosen_nothing_follows_a_cpuset_that_grows(other: int) -> None:
    home = CPUSET / f"affinity-test-{os.getpid()}"
    few, all_of_them = "0\n", ",".join(map(str, sorted(os.sched_getaffinity(0))))
    home.mkdir()
    try:
        (home / "cpuset.mems").write_text((CPUSET / "cpuset.mems").read_text())
        (home / "cpuset.cpus").write_text(few)
        (home / "cgroup.procs").write_text(f"{other}\n")
        assert os.sched_getaffinity(other) == {0}
        os.sched_setaffinity(0, {0})  # The other one runs nowhere else.
        turns = SameProcessor()
        assert turns.hold(other)
        turns.let_go(other)
        turns.release()
        (home / "cpuset.cpus").write_text(all_of_them)
        assert len(os.sched_getaffinity(other)) > 1
        # What was all is chosen now, as a limit on processors chooses: it stays so.
        os.sched_setaffinity(other, {0})
        assert turns.hold(other)
        turns.let_go(other)
        turns.release()
        assert os.sched_getaffinity(other) == {0}
    finally:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        (CPUSET / "cgroup.procs").write_text(f"{other}\n")
        home.rmdir()
