"""A call that is under way while the worker stands still, on a file system that answers late."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.doors.holders import UNDER_WAY

from .conftest import Gone, Start, World

SERVER = Path(__file__).parent / "slow_fuse.py"
HOLD = """
import threading
kept = []
def hold():
    kept.append(os.open('ROOT/outside/sub', os.O_PATH | os.O_DIRECTORY))
thread = threading.Thread(target=hold, daemon=True)
thread.start()
"""
pytestmark = pytest.mark.skipif(
    os.getuid() != 0 or not os.path.exists("/dev/fuse"), reason="mounts a FUSE file system"
)


@pytest.fixture
def slow(world: World) -> Iterator[tuple[Path, Path]]:
    """A slow file system: the file that shows that it was asked, the one that lets it go on."""
    asked, go = world.base / "asked", world.base / "go"
    command = [sys.executable, str(SERVER), str(world.outside), str(asked), str(go)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"mounted\n"
        yield asked, go
        go.touch()
        subprocess.run(["umount", "-l", str(world.outside)], check=True)
        server.kill()


def test_an_open_that_is_under_way_does_not_outlive_the_grant(
    world: World, start: Start, slow: tuple[Path, Path]
) -> None:
    asked, go = slow
    worker = start(world.files('path = "ROOT/outside"\nmode = "read"'), Level.FULL)
    worker.run(HOLD)
    while not asked.exists():
        worker.value("1")
    taken = worker.follow(world.rights(""))
    assert taken.killed == (UNDER_WAY,)
    go.touch()
    with pytest.raises(Gone):
        worker.run("thread.join(5)")


def test_control_an_open_that_is_soon_over_costs_nobody_the_worker(
    world: World, start: Start, slow: tuple[Path, Path]
) -> None:
    asked, go = slow
    worker = start(world.files('path = "ROOT/outside"\nmode = "read"'), Level.FULL)
    worker.run(HOLD.replace("O_PATH | os.O_DIRECTORY", "O_RDONLY").replace("/sub", "/sub/late.txt"))
    while not asked.exists():
        worker.value("1")
    threading.Timer(0.05, go.touch).start()
    taken = worker.follow(world.rights(""))
    assert taken.killed == ()
    assert [Path(name).name for name in taken.still_open] == ["late.txt"]
    assert worker.value("1 + 1") == 2
