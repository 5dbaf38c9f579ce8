"""Looks at processes that are on their way out, or seem to be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sandbox_kernel.trusted.limits.sampling import Held, held, living_thread, read_process

ORDINARY = 65534
BYTES = 50_000_000
#: The first thread ends; another one goes on, with memory, and with a file in memory.
GOES_ON = f"""
import ctypes, os, threading, time
def go_on():
    file = os.memfd_create("held")
    os.write(file, bytes({BYTES}))
    kept = bytearray({BYTES})
    kept[::4096] = b"x" * len(kept[::4096])
    while open(f"/proc/{{os.getpid()}}/stat").read().rsplit(")", 1)[1].split()[0] != "Z": pass
    print("go", flush=True)
    time.sleep(600)
threading.Thread(target=go_on).start()
ctypes.CDLL(None).syscall(ctypes.c_long(60 if os.uname().machine == "x86_64" else 93), 0)
"""


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
    assert living_thread(ended) is None
    assert living_thread(os.getpid()) is not None
    assert read_process(ended) is None


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


def test_what_goes_on_without_its_first_thread_is_measured() -> None:
    with subprocess.Popen([sys.executable, "-c", GOES_ON], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"go\n"
            # The control: of the process as such nothing is told.
            with open(f"/proc/{process.pid}/status", encoding="ascii") as file:
                assert "VmSize" not in file.read()
            found = read_process(process.pid)
            assert found is not None
            assert found.anonymous >= BYTES
            assert held([process.pid]).bytes >= BYTES
        finally:
            process.kill()
