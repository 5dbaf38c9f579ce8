"""When the supervisor or the warden is killed nothing stays behind: no process, no scratch."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox_kernel.trusted import locked_folder
from sandbox_kernel.trusted.confine.host_scratch import PREFIX, HostScratch
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.locked_folder import remove_tree, sweep

from .repl import LEVELS, PATIENCE

ROOT = Path(__file__).resolve().parents[2]

SUPERVISOR = """
import asyncio, sys
from sandbox_kernel.trusted.confine.plan import Level
from tests.escape.repl import worker_at
async def main():
    async with worker_at(Level(sys.argv[1])) as worker:
        print(worker.generation.pid, worker.warden.pid, worker.generation.scratch, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


def wait_for_death(pid: int) -> None:
    """Until a process that is not our child is gone. Raises TimeoutError."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            if not select.select([fd], [], [], PATIENCE)[0]:
                raise TimeoutError(f"process {pid} lives on")
        finally:
            os.close(fd)


@pytest.fixture
def supervisor(
    tmp_path: Path,
) -> Iterator[Callable[[Level], tuple[subprocess.Popen[str], list[str]]]]:
    """Starts supervisors in processes of their own, which tests may kill."""
    started: list[subprocess.Popen[str]] = []

    def start(level: Level) -> tuple[subprocess.Popen[str], list[str]]:
        process = subprocess.Popen(
            [sys.executable, "-c", SUPERVISOR, level.value],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).resolve().parents[2],
            # Of its own: every kernel that starts sweeps what dead ones left in the usual place.
            env={**os.environ, "TMPDIR": str(tmp_path)},
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
        sweep(os.path.dirname(os.path.dirname(scratch)), PREFIX)
        assert not os.path.exists(scratch)


def test_a_scratch_in_use_is_not_swept(tmp_path: Path) -> None:
    scratch = HostScratch(str(tmp_path))
    sweep(str(tmp_path), PREFIX)
    assert os.path.isdir(scratch.path + "/home")
    scratch.remove()
    assert list(tmp_path.iterdir()) == []


def test_a_half_made_scratch_and_other_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / (PREFIX + "new")).mkdir(mode=0o755)
    (tmp_path / "other").mkdir()
    (tmp_path / (PREFIX + "link")).symlink_to(tmp_path / "other")
    sweep(str(tmp_path), PREFIX)
    assert len(list(tmp_path.iterdir())) == 3
    assert stat.S_IMODE((tmp_path / (PREFIX + "new")).stat().st_mode) == 0o755


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


def test_a_scratch_deeper_than_any_path_is_removed_with_few_descriptors(tmp_path: Path) -> None:
    base = tmp_path / "scratch"
    base.mkdir()
    (base / "7").mkdir()
    (base / "7" / "file").touch()
    made = """if 1:
        import os, resource, sys
        from sandbox_kernel.trusted.locked_folder import remove_tree
        base = sys.argv[1]
        os.chdir(base)
        for level in range(6000):
            os.mkdir(f"{level % 10}")
            os.mkdir(f"d{level}")
            os.chdir(f"d{level}")
        os.chdir("/")
        resource.setrlimit(resource.RLIMIT_NOFILE, (30, 30))
        remove_tree(base)
    """
    subprocess.run([sys.executable, "-c", made, str(base)], cwd=ROOT, check=True)
    assert not base.exists()


def by_path(path: str, when: Callable[[str], None]) -> None:
    """The control: removes by path what it found to be folders and files."""
    for name in os.listdir(path):
        below = f"{path}/{name}"
        if stat.S_ISDIR(os.lstat(below).st_mode):
            when(name)
            by_path(below, when)
        else:
            os.unlink(below)
    os.rmdir(path)


@pytest.mark.parametrize("swapped", ["sub", "sub/inner"])
@pytest.mark.parametrize("control", [False, True], ids=["by-descriptor", "by-path"])
def test_what_a_swapped_link_leads_to_is_not_removed(
    control: bool, swapped: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A granted cell puts a link in the place of a folder in the moment between look and step."""
    base, outside = tmp_path / "fake", tmp_path / "outside"
    (base / "sub" / "inner").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").touch()

    def swap(name: str) -> None:
        if name == os.path.basename(swapped) and not (base / swapped).is_symlink():
            (base / swapped).rename(tmp_path / "aside")
            (base / swapped).symlink_to(outside)

    if control:
        with contextlib.suppress(OSError):
            by_path(str(base), swap)
    else:
        plain = locked_folder._opened

        def opened(name: str, parent: int) -> int:
            swap(name)
            return plain(name, parent)

        monkeypatch.setattr(locked_folder, "_opened", opened)
        remove_tree(str(base))
        assert not base.exists()
    assert (tmp_path / "aside").is_dir()
    assert (outside / "file").exists() != control


def test_a_folder_that_cannot_be_removed_keeps_no_kernel_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    linked = tmp_path / (PREFIX + "linked")
    linked.mkdir()
    (linked / "lock").symlink_to(tmp_path / "made-by-the-sweep")
    stays = tmp_path / (PREFIX + "stays")
    stays.mkdir()
    (stays / "lock").touch()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(locked_folder, "SWEEP_SECONDS", -1.0)  # Its time is over at once.
        sweep(str(tmp_path), PREFIX)
    assert sorted(p.name for p in tmp_path.iterdir()) == [linked.name, stays.name]
    assert "the next kernel goes on" in caplog.text
    sweep(str(tmp_path), PREFIX)
    assert [p.name for p in tmp_path.iterdir()] == [linked.name]


def test_one_whose_removal_was_cut_short_is_removed_by_the_next(tmp_path: Path) -> None:
    scratch = HostScratch(str(tmp_path))
    for number in range(3000):
        (Path(scratch.path) / f"{number}" / "below").mkdir(parents=True)
    removes = (
        "import sys\nfrom sandbox_kernel.trusted.locked_folder import remove_tree\n"
        "print('begins', flush=True)\nremove_tree(sys.argv[1])"
    )
    base = next(tmp_path.iterdir())
    command = [sys.executable, "-c", removes, str(base)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while len(os.listdir(scratch.path)) > 2900:
            os.sched_yield()
        process.kill()
    assert (base / "lock").exists()
    os.close(scratch._base._lock)
    sweep(str(tmp_path), PREFIX)
    assert list(tmp_path.iterdir()) == []


def test_names_that_it_gives_may_be_there_already(tmp_path: Path) -> None:
    base = tmp_path / "scratch"
    for number in range(10):
        (base / f"{number}").mkdir(parents=True)
        (base / f"d{number}" / f"x{number}" / "y").mkdir(parents=True)
        (base / f"d{number}" / f"x{number}" / "file").touch()
    (base / "10").touch()
    remove_tree(str(base))
    assert not base.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user's folder")
def test_a_folder_of_another_users_stays_as_it_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = tmp_path / (PREFIX + "fake")
    (fake / "share" / "private").mkdir(parents=True)
    (fake / "lock").touch()
    (fake / "share" / "private" / "thesis").write_text("years of work")
    for folder in (fake / "share", fake / "share" / "private"):
        os.chown(folder, 65534, 65534)
    (fake / "share" / "private").chmod(0o700)
    (fake / "share").chmod(0o777)
    theirs = tmp_path / (PREFIX + "theirs")
    theirs.mkdir(0o755)
    (theirs / "lock").touch()
    os.chown(theirs, 65534, 65534)
    sweep(str(tmp_path), PREFIX)
    assert (fake / "share" / "private" / "thesis").read_text() == "years of work"
    assert stat.S_IMODE((fake / "share").stat().st_mode) == 0o777
    assert stat.S_IMODE(theirs.stat().st_mode) == 0o755
    assert "another user's" in caplog.text
    assert theirs.name not in caplog.text


def test_what_is_mounted_in_it_stays_as_it_is(tmp_path: Path) -> None:
    outside, fake = tmp_path / "outside", tmp_path / "parent" / (PREFIX + "fake")
    (outside / "d").mkdir(parents=True, mode=0o755)
    (outside / "secret").write_text("stays")
    (fake / "mnt").mkdir(parents=True)
    (fake / "lock").touch()
    script = (
        "import sys\nfrom sandbox_kernel.trusted.locked_folder import sweep\n"
        f"sweep({str(fake.parent)!r}, {PREFIX!r})"
    )
    mounts = f'mount --bind {outside} {fake}/mnt && exec "$0" -c "$1"'
    own = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "-r", "--mount"]
    done = subprocess.run(
        [*own, "sh", "-c", mounts, sys.executable, script],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (outside / "secret").read_text() == "stays"
    assert stat.S_IMODE((outside / "d").stat().st_mode) == 0o755
    assert "cross-device" in done.stderr


def test_its_path_leaves_room_for_the_address_of_a_socket(tmp_path) -> None:
    scratch = HostScratch(str(tmp_path))
    try:
        below = f"{scratch.path}/tmp/pymp-12345678/listener-12345678"
        assert len(below) - len(str(tmp_path)) < 60
    finally:
        scratch.remove()


STAGES = """
import os, sys, time
from sandbox_kernel.trusted.doors.mount_items import Stage
from sandbox_kernel.trusted.doors.private_layer import PrivateLayer
from sandbox_kernel.trusted.doors.staged_review import Mode, StageRule
place = sys.argv[1]
found = os.stat(place)
stage = Stage(place, found.st_dev, found.st_ino, True, (StageRule("", True, Mode.WRITE, None),))
layer = PrivateLayer(stage, os.open(place, os.O_RDONLY))
os.close(layer.open("secret", os.O_WRONLY | os.O_CREAT, 0o600))
print("staged", flush=True)
sys.stdin.read()
layer.close()
"""


def test_what_a_killed_supervisor_staged_goes_with_the_next(tmp_path: Path) -> None:
    place, temporary = tmp_path / "place", tmp_path / "temporary"
    place.mkdir()
    temporary.mkdir()

    def staging() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", STAGES, str(place)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(ROOT)},
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "staged\n"
        return process

    with staging() as killed, staging() as lives:
        killed.kill()
        killed.wait()
        assert len(list(temporary.rglob("secret"))) == 2
        with staging() as after:
            assert len(list(temporary.rglob("secret"))) == 2  # Its own, and that of who lives.
            after.communicate("")
        lives.communicate("")
    assert list(temporary.iterdir()) == []
