"""What a worker takes along from the time before it entered its own file tree: nothing of use."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.head_start import HeadStart, beginning
from sandbox_kernel.trusted.confine.launch import Warden
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.spec import WorkerSpec

from .repl import LEVELS, REPL, Worker, worker_at


def asked(expression: str, level: Level = Level.FULL, repl: str = REPL, **spec: object) -> str:
    """What a sealed worker says to an expression."""

    async def run() -> str:
        async with worker_at(level, repl, **spec) as worker:
            return await worker.ask(expression)

    return asyncio.run(run())


def test_its_program_lies_on_a_read_only_mount() -> None:
    flags = int(asked("os.statvfs('/proc/self/exe').f_flag"))
    assert flags & os.ST_RDONLY
    assert flags & os.ST_NOSUID


def test_its_root_and_folder_are_those_of_its_own_tree(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    ways = ("/proc/self/root", "/proc/self/cwd", "/proc/thread-self/root", "..", "../..")
    listed = asked(f"[os.path.exists(w + {str(tmp_path / 'secret')!r}) for w in {ways!r}]")
    assert listed == repr([False] * len(ways))


def test_it_keeps_no_way_back_into_a_namespace() -> None:
    held = asked("sorted(os.readlink(f'/proc/self/fd/{n}')[:4] for n in (0, 1, 2, 3, 4, 5, 6, 7)"
                 " if os.path.lexists(f'/proc/self/fd/{n}'))")  # fmt: skip
    assert "mnt:" not in held
    assert held != "[]"


def test_it_knows_no_names_from_folders_that_it_cannot_see(tmp_path: Path) -> None:
    """A folder on the module path that is no root was listed by its imports."""
    (tmp_path / "diary.txt").touch()
    folder = repr(str(tmp_path))
    look = f"import sys; sys.path.append({folder})\ntry: import nothing_like_it\n"
    look += f"except ImportError: pass\nassert {folder} in sys.path_importer_cache\n"
    for level, known in ((Level.FULL, "False"), (Level.LANGUAGE_ONLY, "True")):
        assert asked(f"{folder} in sys.path_importer_cache", level, look + REPL) == known


@pytest.mark.parametrize("level", LEVELS)
def test_what_the_policy_adds_to_the_environment_arrives(level: Level) -> None:
    told = {"OMP_NUM_THREADS": "2", "FAVOURITE": "blue"}
    names = "[os.environ.get(n) for n in ('OMP_NUM_THREADS', 'FAVOURITE', 'PATH')]"
    assert asked(names, level, environment=told) == repr(
        ["2", "blue", "/usr/local/bin:/usr/bin:/bin"]
    )


def test_a_head_start_that_does_not_fit_is_given_up(tmp_path: Path) -> None:
    """The worker is then one that was started as it should be."""

    async def run() -> str:
        spec = WorkerSpec(str(tmp_path), entry=("-c", REPL), forced_level=Level.FULL)
        ahead = HeadStart.start("full")
        with contextlib.closing(Warden.start(spec, ahead)) as warden:
            worker = Worker(warden, warden.launch())
            await worker.generation.sealed()
            await worker.connect()
            try:
                return await worker.ask("sys.argv[0]")
            finally:
                worker._writer.close()
                worker.generation.close()

    assert asyncio.run(run()) == "'-c'"


def test_one_that_fits_is_the_first_worker(tmp_path: Path) -> None:
    ahead = HeadStart.start("full")
    entry = ("-c", REPL)
    ahead.order(beginning(entry=entry, level="full"))
    ends = ahead._ends
    assert ends is not None
    spec = WorkerSpec(str(tmp_path), entry=entry, forced_level=Level.FULL, python=sys.executable)
    with contextlib.closing(Warden.start(spec, ahead)) as warden:
        first, second = warden.launch(), warden.launch()
        try:
            assert first.channel is ends.channel
            assert second.channel is not ends.channel
        finally:
            first.close()
            second.close()
