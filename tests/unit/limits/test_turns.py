"""Turns of the processor: what a thread gives, and that it comes back."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sandbox_kernel.trusted.limits import _sys_turns, walls

_READ = {"x86_64": 315, "aarch64": 275}
LINUX = tuple(map(int, os.uname().release.split(".")[:2]))
pytestmark = pytest.mark.skipif(LINUX < (6, 12), reason="slices are chosen since Linux 6.12")


def nanoseconds(thread: int) -> int:
    """The slice of a thread (sched_getattr(2))."""
    buffer = ctypes.create_string_buffer(48)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(_READ[platform.machine()], thread, buffer, 48, 0) == 0
    return int(struct.unpack("=IIQiIQQQ", buffer.raw)[5])


@pytest.fixture
def child() -> Iterator[int]:
    """A process that waits."""
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    yield process.pid
    process.communicate()


def test_short_turns_are_taken_and_given_back(child: int) -> None:
    ordinary = nanoseconds(child)
    _sys_turns.short_turns(child)
    assert nanoseconds(child) == 100_000 < ordinary
    _sys_turns.ordinary_turns(child)
    assert nanoseconds(child) == ordinary


def test_children_inherit_them() -> None:
    code = (
        "import os\nfrom sandbox_kernel.trusted.limits._sys_turns import short_turns\n"
        "short_turns()\nos.execvp('cat', ['cat'])"
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"x\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"x\n"
    assert nanoseconds(process.pid) == 100_000
    process.communicate()


@pytest.mark.parametrize("behind", [False, True])
def test_a_process_gives_way_and_comes_back(child: int, behind: bool) -> None:
    if behind and not walls.may_return(child):
        pytest.skip("who goes behind everybody here cannot come back")
    walls.give_way([child], gives=False, behind=False)
    walls.give_way([child], gives=True, behind=behind)
    assert os.sched_getscheduler(child) == (os.SCHED_IDLE if behind else os.SCHED_OTHER)
    assert behind or nanoseconds(child) != 100_000
    walls.give_way([child], gives=False, behind=behind)
    assert os.sched_getscheduler(child) == os.SCHED_OTHER
    assert nanoseconds(child) == 100_000


def test_who_is_gone_gives_nothing(child: int) -> None:
    with subprocess.Popen(["true"]) as ended:
        pass
    walls.give_way([ended.pid], gives=True, behind=False)
