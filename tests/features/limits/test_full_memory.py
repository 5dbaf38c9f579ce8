"""A worker that is full to the last byte: the error is told, and the next cell can clean up."""

import contextlib
import os
import signal

import psutil
import pytest

from tests.features.kernel.conftest import FULL_LANGUAGE, start_kernel

__all__ = ["start_kernel"]  # A fixture.

#: What is left when the last block does not fit any more is less than one block.
BLOCKS = [20_000_000, 1_000_000, 300_000, 100_000, 40_000, 3_000, 1_000]
FILL = "while True: blocks.append(bytearray({size}))"


@pytest.fixture(scope="module", params=["full", "no-namespaces"])
def kernel(request, start_kernel):
    policy = FULL_LANGUAGE + '[limits]\nmemory = "200 MB"\n'
    return start_kernel(level=request.param, policy=policy)


def goes_on(kernel):
    for _ in range(3):
        again = kernel.run("print(kept)")
        assert again.text() == "45\n", again.error
    assert kernel.run("print(len(blocks) > 5)").text() == "True\n"
    assert kernel.run("del blocks; print('freed')").text() == "freed\n"


@pytest.mark.parametrize("size", BLOCKS)
def test_the_error_is_told_and_the_session_goes_on(kernel, size):
    kernel.run("kept = 45")
    full = kernel.run("blocks = []\n" + FILL.format(size=size))
    assert full.reply["content"]["ename"] in ("MemoryError", "LimitExceeded"), full.error
    assert "memory:" in full.error
    goes_on(kernel)


@pytest.mark.parametrize("size", BLOCKS)
def test_a_cell_that_swallows_the_error_leaves_nothing_and_the_session_goes_on(kernel, size):
    kernel.run("kept = 45")
    code = f"blocks = []\ntry:\n    {FILL.format(size=size)}\nexcept MemoryError: pass"
    full = kernel.run(code)
    assert full.status == "ok" or full.error.startswith("LimitExceeded: memory:"), full.error
    goes_on(kernel)


@pytest.mark.parametrize("size", [50_000_000, 50_000, 700])
def test_what_was_freed_can_be_had_again(start_kernel, size):
    kernel = start_kernel(policy=FULL_LANGUAGE + '[limits]\nmemory = "200 MB"\n')
    kernel.run("blocks = []\n" + FILL.format(size=size))
    kernel.run("del blocks")
    for _ in range(2):
        again = kernel.run("whole = bytearray(120_000_000); print(len(whole)); del whole")
        assert again.text() == "120000000\n", again.error


def test_the_first_cell_of_all_may_fill_it(start_kernel):
    kernel = start_kernel(policy=FULL_LANGUAGE + '[limits]\nmemory = "200 MB"\n')
    kernel.run("kept = 45\nblocks = []\n" + FILL.format(size=20_000_000))
    goes_on(kernel)


#: Goes beyond the limit in memory that no wall counts, while nobody looks.
BEYOND = """
import mmap, time
ballast[:] = bytes(len(ballast))  # A copy holds what it was.
print('now', flush=True)
time.sleep(1)
shared = mmap.mmap(-1, 260_000_000)
for at in range(0, len(shared), 10_000_000):
    shared[at:at + 10_000_000] = b'x' * 10_000_000
"""


@pytest.mark.parametrize("level", ["full", "no-namespaces"])
@pytest.mark.parametrize("then", ["pass", "while True: pass"])
def test_a_jump_beyond_the_limit_costs_no_variables(start_kernel, level, then):
    kernel = start_kernel(level=level, policy=FULL_LANGUAGE + '[limits]\nmemory = "200 MB"\n')
    kernel.run("kept = 45; ballast = bytearray(40_000_000)")
    supervisor = psutil.Process(kernel.manager.provisioner.process.pid)

    def shared() -> int:
        """Bytes of shared memory of the process below the supervisor that has most."""
        most = 0
        for process in supervisor.children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                most = max(most, process.memory_info().shared)
        return most

    def held_up() -> None:
        supervisor.send_signal(signal.SIGSTOP)
        try:
            while shared() < 255_000_000:
                os.sched_yield()
        finally:
            supervisor.send_signal(signal.SIGCONT)

    jumped = kernel.run(BEYOND + then, interrupt_when="now", do=held_up)
    assert jumped.error.startswith("LimitExceeded: memory:"), jumped.error
    assert "All variables from before this cell are back" in jumped.error
    assert kernel.run("print(kept, len(ballast))").text() == "45 40000000\n"


#: Its last act brings it beyond the limit, and it says many times that it is through.
AT_ITS_END = """
import json, os, socket, struct, time
a, b = socket.socketpair()
for _ in range(4):
    file = os.memfd_create('x')
    os.write(file, b'y' * 25_000_000)
    socket.send_fds(a, [b'x'], [file])  # On its way it is in nobody's count.
    os.close(file)
time.sleep(0.01)
to = get_ipython().get_parent()['header']['msg_id']

def frame(say, **more):
    text = json.dumps({'say': say, 'to': to, **more}).encode()
    return struct.pack('<II', 1, len(text)) + text

done = frame('finished', pipes=[0, 0])
reply = frame('reply', content={'status': 'ok', 'execution_count': 1})
got = [socket.recv_fds(b, 1, 1) for _ in range(4)]
CHEATS
"""


@pytest.mark.parametrize("cheats", ["", "os.write(3, reply + done * 40)"], ids=["ends", "cheats"])
def test_a_cell_that_ends_far_beyond_the_limit_is_killed_for_it(start_kernel, cheats):
    kernel = start_kernel(policy=FULL_LANGUAGE + '[limits]\nmemory = "200 MB"\n')
    kernel.run("kept = 45; ballast = bytearray(b'x') * 100_000_000")
    ended = kernel.run(AT_ITS_END.replace("CHEATS", cheats))
    assert ended.error.startswith("LimitExceeded: memory:"), ended.error
    assert "All variables from before this cell are back" in ended.error
    # The copy that has gone on has one of its own, before any other cell has ended.
    assert "are back" in kernel.run("import os; os.abort()").error
    assert kernel.run("print(kept, len(ballast))").text() == "45 100000000\n"
