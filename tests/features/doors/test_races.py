"""Names that change while they are opened: never another file than the granted one.

20,000 opens at each door, while somebody swaps directories and links in a tight loop from outside,
and while a thread of the worker swaps the path in memory between the check and the kernel's use.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.trusted.confine import generation
from sandbox_kernel.trusted.confine.level import Level

from .conftest import Worker, World

Start = Callable[..., Worker]
OPENS = 20_000
PATIENCE = 240.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

OPEN_ALL = f"""
wrong = right = refused = 0
for n in range({OPENS}):
    try:
        fd = os.open('ROOT/nb/data/f', os.O_RDONLY)
    except OSError:
        refused += 1
        continue
    if os.fstat(fd).st_ino == CANARY: wrong += 1
    else: right += 1
    os.close(fd)
it = [right, wrong, refused]
"""

SWAP_IN_MEMORY = f"""
import ctypes, threading
libc = ctypes.CDLL(None, use_errno=True)
path = ctypes.create_string_buffer(4096)
good, evil = GOOD, EVIL
stop = False
def swap():
    while not stop:
        ctypes.memmove(path, evil, len(evil) + 1)
        ctypes.memmove(path, good, len(good) + 1)
thread = threading.Thread(target=swap); thread.start()
wrong = right = refused = 0
for n in range({OPENS}):
    fd = libc.open(path, os.O_RDONLY)
    if fd < 0:
        refused += 1
        continue
    if os.fstat(fd).st_ino == CANARY: wrong += 1
    else: right += 1
    os.close(fd)
stop = True
thread.join()
it = [right, wrong, refused]
"""


@pytest.fixture(params=[Level.FULL, Level.NO_NAMESPACES], ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    found: Level = request.param
    return found


def run_patiently(worker: Worker, source: str, canary: Path) -> Any:
    worker.patience(PATIENCE)
    return worker.run(source.replace("CANARY", str(canary.stat().st_ino)))


@contextlib.contextmanager
def swapping(world: World) -> Iterator[list[int]]:
    """Swap the granted directory and file for links to the outside and back, all the time."""
    data, aside = world.nb / "data", world.nb / "aside"
    stop = threading.Event()
    rounds = [0]

    def swap() -> None:
        while not stop.is_set():
            os.rename(data, aside)
            os.symlink(world.outside, data)
            os.sched_yield()  # On a busy machine too, others meet the link.
            os.unlink(data)
            os.rename(aside, data)
            os.rename(data / "f", data / "g")
            os.symlink(world.outside / "f", data / "f")
            os.sched_yield()
            os.unlink(data / "f")
            os.rename(data / "g", data / "f")
            rounds[0] += 1

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield rounds
    finally:
        stop.set()
        thread.join()


def world_with_twins(world: World) -> Path:
    """`f` in the granted directory and, as the canary, in the one outside."""
    (world.nb / "data").mkdir()
    (world.nb / "data" / "f").write_text("granted")
    canary = world.outside / "f"
    canary.write_text("CANARY")
    return canary


def test_swapping_from_outside_opens_no_other_file(
    world: World, start: Start, level: Level
) -> None:
    canary = world_with_twins(world)
    rights = world.files('path = "data"\nmode = "write"')
    worker = start(rights, level)
    with swapping(world) as rounds:
        right, wrong, _ = run_patiently(worker, OPEN_ALL, canary)
    assert wrong == 0
    assert right > 0
    assert rounds[0] > 0


OPEN_UNTIL_WRONG = """
import os
opens = 0
while True:
    opens += 1
    try:
        fd = os.open('ROOT/nb/data/f', os.O_RDONLY)
    except OSError:
        continue
    if os.fstat(fd).st_ino == CANARY:
        break
    os.close(fd)
print(opens)
"""


def test_the_same_race_outside_the_walls_is_lost(world: World) -> None:
    """The control: plain opens by name do reach the other file, however long it takes."""
    canary = world_with_twins(world)
    source = OPEN_UNTIL_WRONG.replace("ROOT", str(world.base))
    source = source.replace("CANARY", str(canary.stat().st_ino))
    with swapping(world):
        done = subprocess.run(
            [sys.executable, "-c", source],
            capture_output=True,
            text=True,
            check=True,
            timeout=PATIENCE,
        )
    assert int(done.stdout) > 0


def test_grants_that_are_made_during_a_race_mount_no_other_file(
    world: World, start: Start, level: Level
) -> None:
    canary = world_with_twins(world)
    rights = world.files('path = "data"\nmode = "read"')
    worker = start(world.rights(""), level)
    nothing = world.rights("")
    look = (
        "try: it = os.stat('ROOT/nb/data/f').st_ino if os.listdir('ROOT/nb/data') else 0\n"
        "except OSError: it = 0"
    )
    seen = set()
    with swapping(world):
        for _ in range(200):
            with contextlib.suppress(OSError):
                worker.follow(rights)
            if level is Level.FULL:  # Elsewhere `stat` of a path is visible: a stated gap.
                seen.add(worker.run(look))
            worker.follow(nothing)
    assert canary.stat().st_ino not in seen


def evil_swap(world: World, canary: Path) -> str:
    good = os.path.realpath(os.__file__).encode()
    source = SWAP_IN_MEMORY.replace("GOOD", repr(good))
    return source.replace("EVIL", repr(str(canary).encode()))


def test_swapping_the_path_in_memory_opens_no_other_file(
    world: World, start: Start, level: Level
) -> None:
    worker = start(world.files('path = "."\nmode = "read"'), level)
    source = evil_swap(world, world.canary)
    right, wrong, _ = run_patiently(worker, source, world.canary)
    assert wrong == 0
    assert right > 0


def test_without_landlock_the_path_in_memory_wins(
    world: World, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the notify door: what it lets run is safe by the second look alone."""
    plan = generation.seal_plan

    def without_landlock(*arguments: Any, **named: Any) -> Any:
        return replace(plan(*arguments, **named), landlock=None)

    async def no_trial(self: Any) -> None:
        await self._send_seal({"try": None})
        await self._receive(self._seal)

    monkeypatch.setattr(generation, "seal_plan", without_landlock)
    monkeypatch.setattr(generation.Generation, "_try_walls", no_trial)
    worker = start(world.rights(""), Level.NO_NAMESPACES)
    source = evil_swap(world, world.canary)
    wrong = 0
    while not wrong:  # The test's own time limit ends a race that is never won.
        _, wrong, _ = run_patiently(worker, source, world.canary)
