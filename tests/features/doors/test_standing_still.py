"""A worker is searched while it stands still, whatever it does to go on, and only for that."""

from __future__ import annotations

import contextlib
import errno
import subprocess
import threading

import pytest

from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.doors import worker_processes

from .conftest import Gone, Raised, Start, World
from .services import TALK, Echo

#: Threads that wake the worker without end, and one that moves a descriptor from number to number.
UNSTOPPABLE = """
import os, signal, threading
going = [True]
where = []
def wake():
    while going[0]:
        os.kill(os.getpid(), signal.SIGCONT)
def hop(fd):
    at = 100
    while going[0]:
        os.dup2(fd, at)
        os.close(fd)
        fd = at
        at = at + 1 if at < 199 else 100
    where.append(fd)
def begin(fd):
    global hopper
    hopper = threading.Thread(target=hop, args=(fd,), daemon=True)
    hopper.start()
    for _ in range(2):
        threading.Thread(target=wake, daemon=True).start()
def end():
    going[0] = False
    hopper.join()
    return where[0]
"""
#: Some dozens of threads begin, and end one after the other.
ENDING = """
import threading, time
ending = [True]
def begin():
    while ending[0]:
        threads = [
            threading.Thread(target=time.sleep, args=(0.002 + number * 0.0004,))
            for number in range(60)
        ]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
churner = threading.Thread(target=begin, daemon=True)
churner.start()
"""
#: Threads that end at once, started in C by two others.
CHURN = """
import ctypes, threading
libc = ctypes.CDLL(None)
going = [True]
def churn():
    thread = ctypes.c_ulong()
    run = ctypes.cast(libc.abs, ctypes.c_void_p)
    while going[0]:
        if libc.pthread_create(ctypes.byref(thread), None, run, None) == 0:
            libc.pthread_join(thread, None)
for _ in range(2):
    threading.Thread(target=churn, daemon=True).start()
"""
TIMER = """
import ctypes, signal, struct
libc = ctypes.CDLL(None, use_errno=True)
event = ctypes.create_string_buffer(64)
struct.pack_into("qii", event, 0, 0, signal.SIGCONT, 0)
timer = ctypes.c_void_p()
if libc.timer_create(1, event, ctypes.byref(timer)):
    raise OSError(ctypes.get_errno(), "timer_create")
"""
OUTSIDE = 'path = "ROOT/outside"\nmode = "read"'


def test_no_timer_wakes_a_worker_that_stands_still(
    world: World, start: Start, level: Level
) -> None:
    with pytest.raises(Raised) as refused:
        start(world.rights(""), level).run(TIMER)
    assert refused.value.number == errno.EPERM


def test_a_folder_does_not_outlive_its_grant_in_one_that_wakes_itself(
    world: World, start: Start, level: Level
) -> None:
    kept = []
    for number in range(4):
        worker = start(world.rights(""), level)
        worker.follow(world.files(OUTSIDE))
        worker.run(UNSTOPPABLE)
        worker.run("begin(os.open('ROOT/outside', os.O_RDONLY | os.O_DIRECTORY))")
        worker.follow(world.rights(""))
        (world.outside / str(number)).touch()
        worker.patience(5)
        with contextlib.suppress(Gone, Raised):
            kept.append(str(number) in worker.value("os.listdir(end())"))
    assert not any(kept)


def test_a_connection_does_not_outlive_its_grant_in_one_that_wakes_itself(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    for _ in range(4):
        worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
        worker.run(UNSTOPPABLE)
        worker.run(f"s = socket.create_connection(('127.0.0.1', {echo.port}), 5)")
        worker.run("begin(s.detach())")
        worker.follow(world.rights(""))
        worker.patience(5)
        with contextlib.suppress(Gone, Raised):
            worker.run("s = socket.socket(fileno=end()); s.settimeout(5)")
            assert worker.run(TALK) != "HELLO"


def test_nor_in_one_whose_threads_end_while_it_is_looked_for(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.rights(""), level)
    worker.run(ENDING)
    granted = world.rights(
        f'[[given.files]]\nreason = "test"\n{OUTSIDE}\n'
        f'[[given.sockets]]\nreason = "test"\nconnect = "localhost:{echo.port}"'
    )
    for number in range(6):
        worker.follow(granted)
        worker.run("fd = os.open('ROOT/outside', os.O_RDONLY | os.O_DIRECTORY)")
        worker.run(f"s = socket.create_connection(('127.0.0.1', {echo.port}), 5)")
        worker.follow(world.rights(""))
        (world.outside / str(number)).touch()
        with pytest.raises(Gone):  # For the folder that it held.
            worker.run("os.listdir(fd)")
        worker = start(world.rights(""), level)
        worker.run(ENDING)


def test_a_worker_is_found_whatever_of_it_ends_meanwhile(
    world: World, start: Start, level: Level
) -> None:
    worker = start(world.rights(""), level)
    worker.run(ENDING)
    pid = worker.generation.pid
    assert all(pid in worker_processes.processes(pid) for _ in range(100))
    worker.run("ending[0] = False; churner.join()")


def test_a_neighbour_that_starts_threads_costs_nobody_the_worker(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data/x").write_text("X")
    neighbour = start(world.rights(""), level)
    others = [subprocess.Popen(["sleep", "30"]) for _ in range(300)]  # As on a shared machine.
    try:
        worker = start(world.files('path = "data"\nmode = "read"'), level)
        worker.run("kept = open('data/x')")
        neighbour.run(CHURN)
        taken = worker.follow(world.rights(""))
        neighbour.run("going[0] = False")
        assert taken.killed == ()
        assert worker.value("kept.read()") == "X"
    finally:
        for other in others:
            other.kill()
            other.wait()


def test_a_busy_worker_with_many_threads_outlives_a_revocation(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data/x").write_text("X")
    worker = start(world.files('path = "data"\nmode = "read"'), level)
    worker.run(
        "import threading\nkept = open('data/x')\ngoing = [True]\n"
        "def spin():\n    while going[0]:\n        os.path.exists('data/none')\n"
        "threads = [threading.Thread(target=spin, daemon=True) for _ in range(16)]\n"
        "for thread in threads: thread.start()"
    )
    stop = threading.Event()
    loads = [threading.Thread(target=lambda: sum(iter(stop.is_set, True))) for _ in range(2)]
    for load in loads:
        load.start()
    try:
        for _ in range(3):
            assert worker.follow(world.rights("")).killed == ()
            worker.follow(world.files('path = "data"\nmode = "read"'))
    finally:
        stop.set()
        for load in loads:
            load.join()
    assert worker.value("kept.read()") == "X"
