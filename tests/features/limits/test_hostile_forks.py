"""A cell that has changed how copies are made gets no process of its own out of the ordered fork.

The cells here reach into the worker, as an attacker may who is through the language's wall. Each
attack has a control: with honest copies the same watching finds nothing.
"""

from __future__ import annotations

import time

import psutil
import pytest

from tests.features.kernel.conftest import DEADLINE, FULL_LANGUAGE, Kernel, start_kernel
from tests.features.limits.test_snapshots import protected, status

__all__ = ["start_kernel"]  # A fixture.

#: In the place of sleeping: the fork says nothing, or it says that it sleeps; then it works.
ATTACK = """
from sandbox_kernel.sandboxed import snapshot
def works(link, own):
    {says}
    while True:
        pass
snapshot._sleep = works
"""
SAYS = {"never says that it sleeps": "pass", "says that it sleeps": "link.send(b'dormant')"}
#: Seconds of CPU time that no honest copy uses.
MUCH = 0.08


def forks(kernel: Kernel) -> list[psutil.Process]:
    """The living children of the worker."""
    worker = int(kernel.request("usage_request", {}, "control").reply["content"]["pid"])
    return psutil.Process(worker).children()


def working(kernel: Kernel) -> psutil.Process | None:
    """A fork that has used more CPU time than an honest copy."""
    for process in forks(kernel):
        try:
            if sum(process.cpu_times()[:2]) > MUCH:
                return process
        except psutil.NoSuchProcess:
            continue
    return None


def seen_working(kernel: Kernel) -> psutil.Process:
    end = time.monotonic() + DEADLINE
    while (found := working(kernel)) is None:
        assert time.monotonic() < end, "the attack does not work: this test shows nothing"
    return found


def ended(process: psutil.Process) -> bool:
    """True when it has ended, whether its parent knows or not; False after too long a time."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
    return False


@pytest.mark.parametrize("says", SAYS.values(), ids=SAYS.keys())
def test_a_fork_that_works_is_ended_between_two_cells(start_kernel, says) -> None:
    kernel = start_kernel(policy=FULL_LANGUAGE)
    kernel.run("kept = 1")
    protected(kernel)
    assert working(kernel) is None  # The control: an honest copy sleeps.
    kernel.run(ATTACK.format(says=says))
    assert ended(seen_working(kernel))
    found = status(kernel)
    assert found["protected"] is False
    assert "copy" in found["unprotected_because"]
    assert kernel.run("print(kept)").text() == "1\n"


@pytest.mark.parametrize("says", SAYS.values(), ids=SAYS.keys())
def test_a_fork_that_works_is_ended_while_the_next_cell_runs(start_kernel, says) -> None:
    kernel = start_kernel(policy=FULL_LANGUAGE)
    attack = kernel.client.execute(ATTACK.format(says=says))
    cell = kernel.client.execute("import time; time.sleep(600)")
    kernel.reply_to(attack)
    assert ended(seen_working(kernel))
    kernel.manager.interrupt_kernel()
    assert kernel.reply_to(cell)["content"]["ename"] == "KeyboardInterrupt"


@pytest.mark.parametrize("says", SAYS.values(), ids=SAYS.keys())
def test_limits_of_time_are_held_beside_a_fork_that_works(start_kernel, says) -> None:
    """The fork's CPU time is the cell's: it comes to its limit no later for having one."""
    policy = FULL_LANGUAGE + '[limits]\ncpu_time = "2 s"\nwall_time = "600 s"\ngrace = "1 s"\n'
    kernel = start_kernel(policy=policy)
    kernel.run(ATTACK.format(says=says))
    ran = kernel.run("while True: pass")
    assert "LimitExceeded: cpu_time" in ran.error
    late = next(e for e in ran.of("sandbox_event") if e["kind"] == "limit")
    assert late["used"] < 4


def test_the_worker_cannot_pass_for_its_own_copy(start_kernel) -> None:
    """Its process id comes with what it sends: then the fork would be nobody's."""
    kernel = start_kernel(policy=FULL_LANGUAGE)
    kernel.run(
        "from sandbox_kernel.sandboxed import snapshot\nimport os, time\nforked = []\n"
        "def take(self, link, harmless, **more):\n"
        "    link.send(b'dormant')\n"
        "    forked.append(os.fork())\n"
        "    while not forked[-1]: pass\n"
        "    return '', 0.0, None\n"
        "snapshot.Copies.take = take"
    )
    end = time.monotonic() + DEADLINE
    while (found := forks(kernel)) and not all(ended(process) for process in found):
        assert time.monotonic() < end, found
    assert status(kernel)["protected"] is False
    assert kernel.run("print(forked[0] > 0)").text() == "True\n"  # It was no attack otherwise.


#: Does the fork get more memory, before its word that it sleeps and afterwards?
GROWS = """
import mmap, os, resource
from sandbox_kernel.sandboxed import snapshot
def attempt(work):
    try:
        work()
        return 1
    except (OSError, MemoryError, ValueError):
        return 0
def fill():
    number = os.memfd_create("held")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.write(number, b"x" * 1000)
import signal
def grows(link, own):
    ways = (lambda: mmap.mmap(-1, 200_000_000), lambda: bytearray(200_000_000), fill)
    before = sum(attempt(way) for way in ways)
    link.send(b'dormant')
    while resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        pass
    while resource.getrlimit(resource.RLIMIT_FSIZE)[0]:
        pass
    os._exit(10 * before + sum(attempt(way) for way in ways))
snapshot._sleep = grows
def fork(fork=os.fork):
    global forked
    forked = fork()
    return forked
os.fork = fork
endings = {}
def wait(number, options, wait=os.waitpid):
    found = wait(number, options)
    endings.update([found])  # The kernel of the cell reaps too, sooner or later.
    return found
os.waitpid = wait
"""


def test_a_fork_that_says_that_it_sleeps_gets_no_more_memory(start_kernel) -> None:
    kernel = start_kernel(policy=FULL_LANGUAGE)
    kernel.run(GROWS)
    end = time.monotonic() + DEADLINE
    while status(kernel)["unprotected_because"] != "the dormant copy has ended":
        assert time.monotonic() < end, status(kernel)
    told = kernel.run(
        "if forked not in endings: os.waitpid(forked, 0)\n"
        "print(os.waitstatus_to_exitcode(endings[forked]))"
    ).text()
    assert told == "30\n"  # All three ways before, the control, and none of them afterwards.
