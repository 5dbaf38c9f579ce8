"""Workers from launch to death, and what they hold."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from sandbox_kernel.shared.errors import ConfinementFailed
from sandbox_kernel.trusted.confine import generation
from sandbox_kernel.trusted.confine.launch import Warden
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.spec import WorkerSpec

from . import _sys_outer as outer
from .repl import LEVELS, REPL, Worker, worker_at


@pytest.mark.parametrize("level", LEVELS)
def test_the_working_directory_is_the_notebooks_own_and_empty(level: Level) -> None:
    async def run() -> None:
        async with worker_at(level) as worker:
            here = worker.generation._spec.working_directory
            assert await worker.ask("os.getcwd()") == repr(here)
            assert await worker.ask("os.listdir('.')") in ("[]", "PermissionError 13")
            assert "Error" in await worker.ask("os.mkdir('x')")

    asyncio.run(run())


@pytest.mark.parametrize("level", LEVELS)
def test_an_exit_and_a_signal_are_told_apart(level: Level) -> None:
    async def run() -> None:
        async with worker_at(level) as worker:
            worker._writer.write(b"os._exit(7)\n")
            assert await worker.death() == 7
        async with worker_at(level) as worker:
            worker.generation.send_signal(signal.SIGKILL)
            assert await worker.death() == -signal.SIGKILL

    asyncio.run(run())


@pytest.mark.parametrize("level", LEVELS)
def test_a_second_launch_ends_the_first_worker_and_starts_with_an_empty_scratch(
    level: Level,
) -> None:
    async def run() -> None:
        async with worker_at(level) as worker:
            first = worker.generation
            await worker.ask("open(os.environ['HOME'] + '/note', 'w').close()")
            second = Worker(worker.warden, worker.warden.launch())
            await second.generation.sealed()
            await second.connect()
            assert await worker.death() == -signal.SIGKILL
            assert await second.ask("os.listdir(os.environ['HOME'])") == "[]"
            assert second.generation.pid != first.pid
            second._writer.close()
            second.generation.close()

    asyncio.run(run())


@pytest.mark.parametrize("level", LEVELS)
def test_one_ordered_fork_passes_and_no_other(level: Level) -> None:
    fork = "(lambda pid: pid or os._exit(0))(os.fork()) > 0"

    async def run() -> None:
        async with worker_at(level) as worker:
            assert await worker.ask(fork) == "PermissionError 1"
            worker.generation.expect_fork(True)
            assert await worker.ask(fork) == "True"
            assert await worker.ask(fork) == "PermissionError 1"
            worker.generation.expect_fork(True)
            worker.generation.expect_fork(False)
            assert await worker.ask(fork) == "PermissionError 1"

    asyncio.run(run())


def test_no_user_namespace_may_be_made_below_the_workers() -> None:
    """Were the filter ever to miss one: a private copy of the mounts would outlive a revocation."""

    async def run() -> str:
        async with worker_at(Level.FULL) as worker:
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                outer.enter_user_namespace_of(worker.generation.pid)
                os.write(writer, Path("/proc/sys/user/max_user_namespaces").read_bytes())
                os._exit(0)
            os.close(writer)
            with open(reader, encoding="ascii") as report:
                found = report.read()
            os.waitpid(pid, 0)
            return found.strip()

    assert asyncio.run(run()) == "0"


@pytest.mark.parametrize("level", LEVELS)
def test_a_descriptor_that_the_server_left_open_for_everybody_reaches_nobody(level: Level) -> None:
    async def run() -> None:
        with open("/etc/passwd", "rb") as file:
            os.set_inheritable(file.fileno(), True)
            # The control: whatever else this process starts has it.
            program = ["cat", f"/proc/self/fd/{file.fileno()}"]
            assert subprocess.run(program, close_fds=False, capture_output=True).stdout
            async with worker_at(level) as worker:
                for pid in (worker.generation.pid, worker.warden.pid):
                    held = [
                        os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")
                    ]
                    assert "/etc/passwd" not in held

    asyncio.run(run())


@pytest.mark.parametrize("level", LEVELS)
def test_programs_run_behind_the_same_walls_and_end_with_the_worker(
    level: Level, tmp_path: Path
) -> None:
    (tmp_path / "canary").write_text("secret")
    mark = f"mark-{os.getpid()}-{level.value}"
    run = "__import__('subprocess').run({!r}).returncode".format
    start = (
        "__import__('subprocess').Popen({!r}, stdout=-1, start_new_session=True).stdout.readline()"
    ).format
    read, kill = run(["cat", str(tmp_path / "canary")]), run(["kill", "-0", "1"])

    async def main() -> None:
        async with worker_at(level, spawn=True) as worker:
            assert await worker.ask(run(["true"])) != "0"
            worker.generation.allow_forks(lambda: True)
            assert await worker.ask(run(["true"])) == "0"
            assert await worker.ask(read) == "1"
            assert await worker.ask(kill) == "1"
            stays = ["sh", "-c", "echo; sleep 1000; :", mark]
            assert await worker.ask(start(stays)) == repr(b"\n")
            assert _running(mark)

    asyncio.run(main())
    assert not _running(mark)


def _running(argument: str) -> bool:
    """Whether a process that was started with this argument is there."""
    for cmdline in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if argument.encode() in cmdline.read_bytes().split(b"\0"):
                return True
    return False


def test_a_worker_with_a_second_thread_is_not_sealed() -> None:
    program = "import threading, time; threading.Thread(target=time.sleep, args=(9,)).start()\n"

    async def run() -> None:
        with tempfile.TemporaryDirectory() as notebook:
            warden = Warden.start(
                WorkerSpec(working_directory=notebook, entry=("-c", program + REPL))
            )
            try:
                with pytest.raises(ConfinementFailed, match="2 threads"):
                    await warden.launch().sealed()
            finally:
                warden.close()

    asyncio.run(run())


def test_a_worker_that_cannot_start_says_why() -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as notebook:
            warden = Warden.start(
                WorkerSpec(working_directory=notebook, entry=("-c", "raise RuntimeError('why')"))
            )
            try:
                with pytest.raises(ConfinementFailed, match="RuntimeError: why"):
                    await warden.launch().sealed()
            finally:
                warden.close()

    asyncio.run(run())


def test_a_worker_that_never_answers_at_its_start_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "SEAL_SECONDS", 1.0)

    async def run() -> None:
        with tempfile.TemporaryDirectory() as notebook:
            entry = ("-c", "import signal; signal.pause()")
            warden = Warden.start(WorkerSpec(working_directory=notebook, entry=entry))
            try:
                with pytest.raises(ConfinementFailed, match="did not seal itself within 1 s"):
                    await warden.launch().sealed()
            finally:
                warden.close()

    asyncio.run(run())
