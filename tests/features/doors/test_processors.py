"""While its calls are answered a worker keeps the processors that it may run on, and we ours."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from sandbox_kernel.trusted.confine import launch
from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.doors import _sys_listener

from .conftest import Gone, Raised, Start, World

OPENS = """
import threading
for n in range(200):
    with open(f"ROOT/nb/{n}.txt", "w") as stream:
        stream.write(str(n))
own = NUMBERS
os.sched_setaffinity(0, own)
seen, read, inherited = set(), 0, []
for n in range(3000):
    descriptor = os.open(f"ROOT/nb/{n % 200}.txt", os.O_RDONLY)
    seen.add(frozenset(os.sched_getaffinity(0)))
    read += os.read(descriptor, 10) == str(n % 200).encode()
    os.close(descriptor)
    if n % 300 == 0:
        thread = threading.Thread(target=lambda: inherited.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()
it = [sorted(map(sorted, seen)), read, all(i == own for i in inherited) and len(inherited)]
"""


@pytest.fixture(params=[True, False], ids=["shares", "does-not-share"])
def shares(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that wake up on the current processor, and those before 6.6."""
    if not request.param:
        monkeypatch.setattr(_sys_listener, "_SYNC_WAKE_UP", 1 << 30)  # EINVAL, as before 6.6


@pytest.mark.usefixtures("shares")
@pytest.mark.parametrize("choose", [sorted, lambda all: sorted(all)[-1:]], ids=["all", "one"])
def test_opens_change_no_processors(
    choose: Callable[[set[int]], list[int]], world: World, start: Start
) -> None:
    ours = os.sched_getaffinity(0)
    numbers = choose(ours)
    rights = world.files('path = "."\nmode = "write"')
    worker = start(rights, Level.NO_NAMESPACES)
    assert worker.run(OPENS.replace("NUMBERS", str(set(numbers)))) == [[numbers], 3000, 10]
    assert worker.on_loop(os.sched_getaffinity, 0) == ours


@pytest.mark.usefixtures("shares")
def test_threads_that_open_at_once_all_get_theirs(world: World, start: Start) -> None:
    worker = start(world.files('path = "."\nmode = "write"'), Level.NO_NAMESPACES)
    source = """
from concurrent.futures import ThreadPoolExecutor
for n in range(8):
    with open(f"ROOT/nb/{n}.txt", "w") as stream:
        stream.write(str(n))
def opens(n):
    before = os.sched_getaffinity(0)
    good = 0
    for _ in range(500):
        with open(f"ROOT/nb/{n}.txt") as stream:
            good += stream.read() == str(n)
    return good, os.sched_getaffinity(0) == before
with ThreadPoolExecutor(8) as pool:
    it = list(pool.map(opens, range(8)))
"""
    assert worker.run(source) == [[500, True]] * 8


def test_mounting_leaves_the_warden_and_its_workers_all_processors(
    world: World, start: Start
) -> None:
    ours = os.sched_getaffinity(0)
    (world.nb / "data").mkdir()
    nothing, data = world.files(), world.files('path = "data"\nmode = "read"')
    worker = start(nothing)
    for _ in range(20):
        worker.follow(data)
        worker.follow(nothing)
    assert os.sched_getaffinity(worker.warden.pid) == ours
    # Ordered while the warden may still be held for an answer: a worker inherits what it has.
    worker.on_loop(worker.launch)
    worker.open_for(data)
    assert set(worker.value("list(os.sched_getaffinity(0))")) == ours
    assert worker.on_loop(os.sched_getaffinity, 0) == ours


def test_a_warden_that_was_woken_sleeps_when_no_order_comes_and_does_the_next(
    world: World, start: Start
) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data" / "x").write_text("X")
    nothing, data = world.files(), world.files('path = "data"\nmode = "read"')
    worker = start(nothing)
    for rights in (data, nothing):  # It is woken only once it has answered.
        worker.follow(rights)
    task = f"/proc/{worker.warden.pid}/task/{worker.warden.pid}/stat"

    def used() -> int:
        with open(task, encoding="utf-8") as file:
            return sum(map(int, file.read().rpartition(")")[2].split()[11:13]))

    for _ in range(3):
        worker.on_loop(worker.doors.rouse)
        worker.on_loop(worker.doors.rouse)
        before = used()
        worker.value("__import__('time').sleep(0.5)")
        assert used() - before <= 2  # Ticks of a hundredth of a second.
        worker.follow(data)
        assert worker.value("open('data/x').read()") == "X"
        worker.follow(nothing)
        with pytest.raises(Raised):
            worker.run("open('data/x')")
    worker.on_loop(worker.doors.rouse)
    worker.on_loop(worker.launch)
    worker.open_for(data)
    assert worker.value("open('data/x').read()") == "X"


def test_an_answer_that_takes_longer_than_to_wait_awake_is_waited_for(
    world: World, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "AWAKE_SECONDS", 0.0)
    (world.nb / "data").mkdir()
    nothing, data = world.files(), world.files('path = "data"\nmode = "read"')
    worker = start(nothing)
    for rights in (data, nothing, data):
        worker.on_loop(worker.doors.rouse)
        worker.follow(rights)
    assert worker.value("os.listdir('data')") == []


def test_an_answer_that_comes_too_late_is_not_taken_for_another(
    world: World, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = start(world.files())
    order = {"op": "unmount", "target": "/nowhere/x", "detach": False}
    monkeypatch.setattr(launch, "MOUNT_ANSWER_SECONDS", 0.3)
    os.kill(worker.warden.pid, signal.SIGSTOP)
    with pytest.raises(launch.WardenLost, match="did not answer"):
        worker.on_loop(worker.warden.door, order)
    os.kill(worker.warden.pid, signal.SIGCONT)
    monkeypatch.undo()
    for _ in range(3):
        with pytest.raises(launch.MountFailed, match="not granted"):
            worker.on_loop(worker.warden.door, order)


def test_a_warden_that_is_gone_is_told_when_it_is_needed(world: World, start: Start) -> None:
    (world.nb / "data").mkdir()
    worker = start(world.files('path = "data"\nmode = "read"'))
    os.kill(worker.warden.pid, signal.SIGKILL)
    with pytest.raises(Gone):
        worker.run("__import__('time').sleep(60)")  # Its worker ends with it.
    worker.on_loop(worker.doors.rouse)
    with pytest.raises(launch.WardenLost, match="gone"):
        worker.follow(world.files())
