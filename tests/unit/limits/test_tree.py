"""What forks of a worker use is seen from outside, whatever they or the worker say. Real processes.

The worker here is a Python process that forks once as it is told; what it and its child do stands
in `WORK`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sandbox_kernel.trusted.limits.sampling import Sample, read_process
from sandbox_kernel.trusted.limits.tree import AWAITED, Tree, end_children

SECONDS = 20.0
NEVER_NEAR = float("inf")
#: The child asks for orders one by one, and answers each with a line.
WORK = """
import mmap, os, sys, time
held = []
def burn():
    end = time.process_time() + .4
    while time.process_time() < end: pass
def fill(private=True):
    flags = mmap.MAP_PRIVATE if private else mmap.MAP_SHARED
    held.append(mmap.mmap(-1, 64 << 20, flags | mmap.MAP_ANONYMOUS))
    held[-1].write(b"x" * (64 << 20))
def in_file():
    number = os.memfd_create("held")
    os.write(number, b"x" * (64 << 20))
    held.append(number)
ballast = bytearray(b"x") * (32 << 20)
child = os.fork()
if child:
    print(child, flush=True)
    os.waitpid(child, 0)
    sys.stdin.read()  # To its end, whatever becomes of the child.
else:
    for line in sys.stdin:
        exec(line)
        print("done", flush=True)
"""


class Family:
    """A worker and the process that it forked."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        assert process.stdout is not None
        self.worker, self.child = process.pid, int(process.stdout.readline())

    def does(self, work: str) -> None:
        """Have the child do this, and wait until it has."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(work + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"


@contextmanager
def family() -> Iterator[Family]:
    command = [sys.executable, "-c", WORK]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Family(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()  # The child ends, and the worker after it.


def look(tree: Tree, near: float = NEVER_NEAR) -> Sample:
    sample = tree.sample(0.0, 0.0, dict, near)
    assert sample is not None
    return sample


def until(tree: Tree, wanted: Callable[[Sample], bool]) -> Sample:
    """The first sample that is as wanted."""
    end = time.monotonic() + SECONDS
    while not wanted(sample := look(tree)):
        assert time.monotonic() < end, sample
    return sample


def as_stray(of: Family) -> Tree:
    worker = read_process(of.worker)
    assert worker is not None
    tree = Tree(of.worker)
    tree.awaits(True, 0.0, worker.faults)
    return tree


def as_copy(of: Family) -> Tree:
    tree = as_stray(of)
    tree.copy_is(of.child)
    return tree


def unseen(of: Family) -> Tree:
    """As if forks counted for nothing: the control."""
    return Tree(of.worker)


@pytest.mark.parametrize("known", [as_copy, as_stray])
def test_cpu_time_of_a_fork_counts(known) -> None:
    with family() as forked:
        tree = known(forked)
        before = look(tree).cpu
        forked.does("burn()")
        assert look(tree).cpu - before > 0.3
        assert look(unseen(forked)).cpu < 0.3  # The control: the worker itself has used little.


def test_cpu_time_of_a_fork_that_has_ended_still_counts() -> None:
    with family() as forked:
        tree = as_copy(forked)
        forked.does("burn()")
        used = look(tree).cpu
        tree.copy_is(None)
        assert look(tree).cpu >= used


@pytest.mark.parametrize("work", ["fill()", "fill(private=False)", "in_file()"])
@pytest.mark.parametrize("known", [as_copy, as_stray])
def test_memory_that_only_a_fork_holds_counts(known, work) -> None:
    with family() as forked:
        tree = known(forked)
        before = look(tree)
        assert before.copy < 24 << 20  # Not the worker's ballast, which both have.
        forked.does(work)
        assert look(tree).copy - before.copy > 60 << 20
        assert look(unseen(forked)).memory < 100 << 20  # The control.


def test_a_copy_that_does_not_sleep_is_seen() -> None:
    with family() as forked:
        tree = as_copy(forked)
        until(tree, lambda sample: tree._forks[forked.child].asleep is not None)
        assert not look(tree).copy_runs
        forked.does("burn()")
        assert look(tree).copy_runs


def test_what_it_does_before_it_says_that_it_sleeps_is_no_breach() -> None:
    with family() as forked:
        tree = as_stray(forked)
        until(tree, lambda sample: tree._forks[forked.child].asleep is not None)
        forked.does("burn()")
        tree.copy_is(forked.child)
        assert not look(tree).copy_runs


def test_an_order_that_is_not_answered_is_overdue_and_its_fork_a_stray() -> None:
    with family() as forked:
        tree = as_stray(forked)
        assert not tree.overdue(AWAITED)
        assert tree.overdue(AWAITED + 0.1)
        assert end_children(tree) == 1
        until(tree, lambda sample: not tree.strays())


def test_a_copy_is_no_stray() -> None:
    with family() as forked:
        assert end_children(as_copy(forked)) == 0
        assert os.path.exists(f"/proc/{forked.child}")
