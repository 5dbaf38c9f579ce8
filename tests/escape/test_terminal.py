"""The terminal that a server was started from is out of a worker's reach.

Who can open it reads what the person types, and with TIOCSTI types commands into their shell
(ioctl_tty(2)).
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import subprocess
import sys
import termios
from typing import Any

import pytest

from sandbox_kernel.trusted.confine.plan import Level

from .repl import LEVELS, worker_at
from .test_foreign_walls import after

OPEN = "open('/dev/tty', 'rb', buffering=0).fileno() > 0"
PUSH = "[__import__('fcntl').ioctl(fd, 0x5412, b'x') for fd in range(3)]"


def own_a_terminal() -> None:
    """What a login does: a session of one's own, with a terminal that controls it."""
    os.setsid()
    _, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSCTTY, 0)
    for descriptor in range(3):
        os.dup2(side, descriptor)


def looked_at(level: Level) -> dict[str, Any]:
    """What a plain child of the same process gets, and what the worker does."""

    async def ask() -> dict[str, Any]:
        async with worker_at(level) as worker:
            return {"open": await worker.ask(OPEN), "push": await worker.ask(PUSH)}

    plain = subprocess.run([sys.executable, "-c", f"assert {OPEN}"], check=False)
    return {**asyncio.run(ask()), "plain": plain.returncode}


@pytest.mark.parametrize("level", LEVELS)
def test_no_worker_opens_the_terminal_that_its_supervisor_has(level: Level) -> None:
    found = after(own_a_terminal, lambda: looked_at(level))
    assert found.get("plain") == 0, found  # the control
    assert "Error" in found["open"], found
    assert "Error" in found["push"], found
