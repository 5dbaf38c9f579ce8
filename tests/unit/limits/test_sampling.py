"""Looks at processes that are on their way out."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sandbox_kernel.trusted.limits.sampling import Held, held, is_ending

ORDINARY = 65534


@pytest.fixture
def ended() -> Iterator[int]:
    """A process that has ended and is not reaped."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield pid
    os.waitpid(pid, 0)


def test_what_has_ended_is_told_from_what_lives(ended: int) -> None:
    assert is_ending(ended)
    assert not is_ending(os.getpid())


def test_what_an_ended_process_had_open_is_no_failure_of_the_monitor(ended: int) -> None:
    """An ordinary user may not look: what is left of a process belongs to root."""
    pid = os.fork()
    if pid == 0:
        result = 1
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(ORDINARY, ORDINARY, ORDINARY)
                os.setresuid(ORDINARY, ORDINARY, ORDINARY)
            try:
                os.listdir(f"/proc/{ended}/fd")
            except PermissionError:
                result = 0 if held([ended]) == Held() else 2
        finally:
            os._exit(result)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
