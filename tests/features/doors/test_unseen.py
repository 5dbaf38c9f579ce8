"""Processes of a worker that hide what they have open, and hold what was revoked."""

from __future__ import annotations

import os

import pytest

from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.doors.holders import UNSEEN as UNSEEN_DESCRIPTORS

from .conftest import Start, World

#: Runs a program that may not be read: the kernel then keeps its process from being looked at.
UNSEEN = """
fd = os.open('data', os.O_RDONLY)
os.set_inheritable(fd, True)
memory = os.memfd_create('sleep')
with open('/bin/sleep', 'rb') as program:
    os.write(memory, program.read())
readable = os.open(f'/proc/self/fd/{memory}', os.O_RDONLY)
os.close(memory)
os.fchmod(readable, MODE)
r, w = os.pipe()
child = os.fork()
if child == 0:
    try:
        os.execve(readable, ['sleep', '60'], {})
    finally:
        os._exit(1)
os.close(w)
os.read(r, 1)  # Until the program runs.
os.close(fd)
it = child
"""


@pytest.mark.parametrize("mode", [0o111, 0o555], ids=["unseen", "control"])
def test_a_program_that_may_not_be_read_ends_with_the_folder_that_it_holds(
    world: World, start: Start, mode: int
) -> None:
    (world.nb / "data").mkdir()
    worker = start(world.files('path = "data"\nmode = "read"'), Level.FULL, spawn=True)
    worker.run(UNSEEN.replace("MODE", str(mode)))
    reason = UNSEEN_DESCRIPTORS if mode == 0o111 and os.getuid() else "a directory descriptor"
    assert worker.follow(world.rights("")).killed == (reason,)
    assert worker.value("os.waitpid(child, 0)[1]") == 9
