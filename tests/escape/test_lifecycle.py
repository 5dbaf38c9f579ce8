"""Workers from launch to death, and what stays behind: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.shared.errors import ConfinementFailed
from sandbox_kernel.trusted.confine.host_scratch import PREFIX, HostScratch, remove_tree, sweep
from sandbox_kernel.trusted.confine.launch import Generation, Warden
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.spec import WorkerSpec

from . import _sys_outer as outer

PATIENCE = 30.0
LEVELS = [Level.FULL, Level.NO_NAMESPACES]
#: Runs each line that comes through the channel and answers with its value or its error.
REPL = """
import json, os, socket, sys
from sandbox_kernel.sandboxed.seal import seal
seal(int(sys.argv[-1]))
with socket.socket(fileno=int(sys.argv[-2])).makefile('rw') as lines:
    for line in lines:
        try: got = repr(eval(line))
        except OSError as error: got = f'{type(error).__name__} {error.errno}'
        lines.write(json.dumps(got) + '\\n'); lines.flush()
"""


class Worker:
    """A sealed worker that evaluates expressions."""

    def __init__(self, warden: Warden, generation: Generation) -> None:
        self.warden, self.generation = warden, generation

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self.generation.channel)

    async def ask(self, expression: str) -> str:
        async with asyncio.timeout(PATIENCE):
            self._writer.write(expression.encode() + b"\n")
            return str(json.loads(await self._reader.readline()))

    async def death(self) -> int:
        """Its exit status, once it is dead."""
        async with asyncio.timeout(PATIENCE):
            while (status := self.generation.exit_status()) is None:
                await _readable(self.generation.exit_fd)
        return status


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)


@contextlib.asynccontextmanager
async def worker_at(level: Level | None, **spec: Any) -> AsyncIterator[Worker]:
    """A worker at a level, ended and cleaned up afterwards."""
    with tempfile.TemporaryDirectory() as notebook:
        warden = Warden.start(
            WorkerSpec(working_directory=notebook, forced_level=level, entry=("-c", REPL), **spec)
        )
        try:
            worker = Worker(warden, warden.launch())
            await worker.generation.sealed()
            await worker.connect()
            try:
                yield worker
            finally:
                worker._writer.close()
                worker.generation.close()
        finally:
            warden.close()


def wait_for_death(pid: int) -> None:
    """Until a process that is not our child is gone. Raises TimeoutError."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            if not select.select([fd], [], [], PATIENCE)[0]:
                raise TimeoutError(f"process {pid} lives on")
        finally:
            os.close(fd)


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


def test_a_descriptor_that_the_server_left_open_for_everybody_reaches_nobody() -> None:
    async def run() -> None:
        with open("/etc/passwd", "rb") as file:
            os.set_inheritable(file.fileno(), True)
            async with worker_at(Level.FULL) as worker:
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


SUPERVISOR = """
import asyncio, sys
from sandbox_kernel.trusted.confine.plan import Level
from tests.escape.test_lifecycle import worker_at
async def main():
    async with worker_at(Level(sys.argv[1])) as worker:
        print(worker.generation.pid, worker.warden.pid, worker.generation.scratch, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


@pytest.fixture
def supervisor() -> Iterator[Callable[[Level], tuple[subprocess.Popen[str], list[str]]]]:
    """Starts supervisors in processes of their own, which tests may kill."""
    started: list[subprocess.Popen[str]] = []

    def start(level: Level) -> tuple[subprocess.Popen[str], list[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, level.value],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().split()

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("level", LEVELS)
def test_a_killed_supervisor_leaves_no_process_and_no_scratch(
    level: Level, supervisor: Callable[[Level], tuple[subprocess.Popen[str], list[str]]]
) -> None:
    process, (worker, warden, scratch) = supervisor(level)
    process.kill()
    process.wait()
    wait_for_death(int(worker))
    wait_for_death(int(warden))
    assert not os.path.exists(scratch)


@pytest.mark.parametrize("level", LEVELS)
def test_a_killed_warden_takes_the_worker_with_it(
    level: Level, supervisor: Callable[[Level], tuple[subprocess.Popen[str], list[str]]]
) -> None:
    process, (worker, warden, scratch) = supervisor(level)
    os.kill(int(warden), signal.SIGKILL)
    wait_for_death(int(worker))
    process.kill()
    process.wait()
    if level is Level.NO_NAMESPACES:
        assert os.path.exists(scratch)
        sweep(os.path.dirname(os.path.dirname(scratch)))
        assert not os.path.exists(scratch)


def test_a_scratch_in_use_is_not_swept(tmp_path: Path) -> None:
    scratch = HostScratch(str(tmp_path))
    sweep(str(tmp_path))
    assert os.path.isdir(scratch.path + "/home")
    scratch.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_half_made_scratch_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / (PREFIX + "new")).mkdir()
    (tmp_path / "other").mkdir()
    (tmp_path / (PREFIX + "link")).symlink_to(tmp_path / "other")
    sweep(str(tmp_path))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_scratch_is_removed_whatever_is_in_it(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("stays")
    base = tmp_path / "scratch"
    base.mkdir()
    (base / "link").symlink_to(outside)
    (base / "closed" / "deeper").mkdir(parents=True)
    (base / "closed" / "file").write_text("")
    (base / "closed" / "deeper").chmod(0)
    (base / "closed").chmod(0)
    deep = base
    while len(str(deep)) < 3900:
        deep = deep / "d"
        deep.mkdir()
    remove_tree(str(base))
    assert not base.exists()
    assert (outside / "file").read_text() == "stays"


# --- walls that somebody else put around us ------------------------------------------------------


def under(setup: Callable[[], object], spec: dict[str, Any]) -> dict[str, Any]:
    """Start a worker in a forked process that has first done `setup`; what became of it."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        found: dict[str, Any]
        try:
            setup()
            found = asyncio.run(_describe(spec))
        except BaseException as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        os.write(writer, json.dumps(found).encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as report:
        data = report.read()
    os.waitpid(pid, 0)
    return dict(json.loads(data))


async def _describe(spec: dict[str, Any]) -> dict[str, Any]:
    try:
        async with worker_at(spec.pop("level", None), **spec) as worker:
            return {
                "level": worker.generation.level.value,
                "missing": list(worker.generation.missing),
                "maps": await worker.ask("'python' in open('/proc/self/maps').read()"),
                "meminfo": await worker.ask("'MemTotal' in open('/proc/meminfo').read()"),
                "others": await worker.ask("[n for n in os.listdir('/proc') if n.isdigit()]"),
                "fork": await worker.ask("os.fork()"),
            }
    except ConfinementFailed as error:
        return {"refused": str(error)}


def test_without_user_namespaces_the_next_level_is_taken() -> None:
    found = under(outer.forbid_namespaces, {})
    assert found["level"] == "no-namespaces"
    assert found["missing"] == ["namespaces"]
    assert found["maps"] == found["meminfo"] == "True"


def test_below_the_least_level_nothing_runs_and_the_remedy_is_named() -> None:
    found = under(outer.forbid_namespaces, {"least_level": Level.FULL})
    assert "allow unprivileged user namespaces" in found.get("refused", ""), found
    assert "Operation not permitted" in found.get("refused", ""), found


def test_beside_another_listener_full_works_without_ours() -> None:
    found = under(outer.hold_the_listener, {})
    assert found["level"] == "full"
    assert found["missing"] == ["listener"]
    assert found["fork"] == "PermissionError 1"


def test_beside_another_listener_and_without_namespaces_the_default_refuses() -> None:
    def setup() -> None:
        outer.forbid_namespaces()
        outer.hold_the_listener()

    found = under(setup, {})
    assert "listener" in found.get("refused", ""), found
    assert "landlock-only" in found.get("refused", ""), found
    lower = under(setup, {"least_level": Level.LANDLOCK_ONLY})
    assert lower["level"] == "landlock-only"
    assert lower["fork"] == "PermissionError 1"


@pytest.mark.skipif(os.getuid() != 0, reason="masking /proc takes uid 0")
def test_with_a_masked_proc_files_are_served_in_its_place() -> None:
    found = under(outer.mask_part_of_proc, {})
    assert found["level"] == "full"
    assert found["missing"] == ["own_proc"]
    assert found["maps"] == found["meminfo"] == "True"
    assert found["others"] == "[]"


def test_a_wall_that_does_not_hold_is_found_and_nothing_runs(tmp_path: Path) -> None:
    """The canary lies in a folder that, by mistake, every worker may read."""

    def setup() -> None:
        tempfile.tempdir = str(tmp_path)

    for level in LEVELS:
        found = under(setup, {"level": level, "read_roots": (str(tmp_path),)})
        assert "the worker could read a file of the host's" in found.get("refused", ""), found


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
