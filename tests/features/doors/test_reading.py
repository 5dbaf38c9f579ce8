"""What a read grant gives, through both doors, and how it follows the host."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sandbox_kernel.shared.unasked import UNASKED
from sandbox_kernel.trusted.confine.level import Level

from .conftest import NOBODY, Start, World, paths_for_nobody, python_for_nobody, refused


def test_a_granted_file_is_read_and_nothing_beside_it(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "a.txt").write_text("A")
    (world.nb / "b.txt").write_text("B")
    worker = start(world.files('path = "a.txt"\nmode = "read"'), level)
    assert worker.value("open('a.txt').read()") == "A"
    assert worker.value("open('ROOT/nb/a.txt').read()") == "A"
    refused(worker, "open('b.txt')")
    refused(worker, "open('ROOT/outside/secret.txt')")
    refused(worker, "open('a.txt', 'a')")
    refused(worker, "os.truncate('a.txt', 0)")
    refused(worker, "os.rename('a.txt', 'c.txt')")
    assert (world.nb / "a.txt").read_text() == "A"


def test_a_granted_directory_is_listed_and_read_whole(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data" / "deep").mkdir(parents=True)
    (world.nb / "data" / "deep" / "x").write_text("X")
    worker = start(world.files('path = "data"\nmode = "read"'), level)
    assert worker.value("os.listdir('data')") == ["deep"]
    assert worker.value("open('data/deep/x').read()") == "X"
    assert worker.value("os.stat('data/deep/x').st_size") == 1
    assert worker.value("[e.name for e in os.scandir('data/deep')]") == ["x"]
    assert worker.run("os.chdir('data/deep'); it = open('x').read(); os.chdir('../..')") == "X"
    assert (
        worker.run(
            "d = os.open('data', os.O_RDONLY); "
            "it = os.read(os.open('deep/x', os.O_RDONLY, dir_fd=d), 9)"
        )
        == "b'X'"
    )
    refused(worker, "open('data/new', 'w')")
    refused(worker, "os.mkdir('data/new')")
    refused(worker, "os.unlink('data/deep/x')")
    (world.nb / "data" / "later").write_text("L")
    assert worker.value("open('data/later').read()") == "L"
    refused(worker, "open('data/missing')")


def test_nothing_granted_is_nothing(world: World, start: Start, level: Level) -> None:
    (world.nb / "a.txt").write_text("A")
    worker = start(world.rights(""), level)
    refused(worker, "open('a.txt')")
    refused(worker, "open('new', 'w')")


def test_dot_dot_and_proc_lead_nowhere(world: World, start: Start, level: Level) -> None:
    worker = start(world.files('path = "."\nmode = "read"'), level)
    for path in (
        "../outside/secret.txt",
        "/proc/self/root/ROOT/outside/secret.txt",
        "/proc/self/cwd/../outside/secret.txt",
    ):
        refused(worker, f"open('{path}')")
    refused(
        worker,
        "d = os.open('.', os.O_RDONLY); os.open('../outside/secret.txt', os.O_RDONLY, dir_fd=d)",
    )


def test_who_says_that_nobody_need_be_asked_gets_no_more(
    world: World, start: Start, level: Level
) -> None:
    """See shared.unasked: Landlock alone decides then, and it knows of no grant."""
    (world.nb / "a.txt").write_text("A")
    worker = start(world.files('path = "a.txt"\nmode = "read"'), level)
    unasked = f"os.close(os.open(PATH, os.O_RDONLY | os.O_CLOEXEC, dir_fd={UNASKED}))"
    worker.run(unasked.replace("PATH", "os.__file__"))
    refused(worker, unasked.replace("PATH", "'ROOT/outside/secret.txt'"))
    refused(worker, unasked.replace("PATH", "'/etc/shadow'"))
    refused(worker, unasked.replace("PATH", "'a.txt'"))
    if level is not Level.FULL:
        refused(worker, unasked.replace("PATH", "'ROOT/nb/a.txt'"))
    assert worker.value("open('a.txt').read()") == "A"


def test_a_link_in_a_grant_does_not_lead_out(world: World, start: Start, level: Level) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data" / "out").symlink_to(world.canary)
    (world.nb / "data" / "in").symlink_to("x")
    (world.nb / "data" / "x").write_text("X")
    worker = start(world.files('path = "data"\nmode = "read"'), level)
    assert worker.value("open('data/in').read()") == "X"
    refused(worker, "open('data/out')")


def test_a_path_through_a_link_is_granted_by_both_spellings(
    world: World, start: Start, level: Level
) -> None:
    (world.outside / "real").mkdir()
    (world.outside / "real" / "a.txt").write_text("A")
    (world.nb / "data_link").symlink_to("../outside/real")
    worker = start(world.files('path = "data_link"\nmode = "read"'), level)
    assert worker.value("open('data_link/a.txt').read()") == "A"
    assert worker.value("open(os.path.realpath('data_link/a.txt')).read()") == "A"
    refused(worker, "open('ROOT/outside/secret.txt')")


def test_a_pattern_gives_what_it_matches(world: World, start: Start, level: Level) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        (world.nb / name).write_text(name)
    worker = start(world.files('path = "*.csv"\nmode = "read"'), level)
    assert worker.value("[open(n).read() for n in ('a.csv', 'b.csv')]") == ["a.csv", "b.csv"]
    refused(worker, "open('c.txt')")


def test_an_absolute_place_appears_at_its_own_path(
    world: World, start: Start, level: Level
) -> None:
    (world.outside / "in").mkdir()
    (world.outside / "in" / "x").write_text("X")
    worker = start(world.files('path = "ROOT/outside/in"\nmode = "read"'), level)
    assert worker.value("open('ROOT/outside/in/x').read()") == "X"
    assert worker.value("open('../outside/in/x').read()") == "X"
    refused(worker, "open('ROOT/outside/secret.txt')")


def test_special_files_are_not_granted(world: World, start: Start, level: Level) -> None:
    os.mkfifo(world.nb / "pipe")
    worker = start(world.files('path = "pipe"\nmode = "read"'), level)
    refused(worker, "os.open('pipe', os.O_RDONLY | os.O_NONBLOCK)")
    assert worker.problems


def test_special_files_in_a_granted_folder_are_not_handed_over(world: World, start: Start) -> None:
    """At the notify door. A mount shows them, and opening one holds nobody but the worker."""
    os.mkfifo(world.nb / "pipe")
    (world.nb / "way").symlink_to("pipe")
    worker = start(world.files('path = "."\nmode = "read"'), Level.NO_NAMESPACES)
    for name in ("pipe", "way", "ROOT/nb/pipe"):
        refused(worker, f"os.open('{name}', os.O_RDONLY | os.O_NONBLOCK)")
        refused(worker, f"os.open('{name}', os.O_RDONLY)")


def test_what_a_cell_stages_inside_a_read_grant_is_what_it_reads(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "out").mkdir()
    (world.nb / "out" / "old").write_text("O")
    rights = world.files('path = "."\nmode = "read"', 'path = "out"\nmode = "create"')
    worker = start(rights, level)
    worker.begin(rights)
    worker.run("open('out/new', 'w').write('N')")
    for name in ("out/new", "ROOT/nb/out/new"):
        assert worker.value(f"open('{name}').read()") == "N"
    assert worker.value("open('out/old').read()") == "O"
    assert not (world.nb / "out" / "new").exists()
    worker.end()
    assert (world.nb / "out" / "new").read_text() == "N"


def test_a_granted_file_follows_its_name_when_an_editor_saves(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "a.txt").write_text("old")
    rights = world.files('path = "a.txt"\nmode = "read"')
    worker = start(rights, level)
    assert worker.value("open('a.txt').read()") == "old"
    (world.nb / "tmp").write_text("new")
    os.replace(world.nb / "tmp", world.nb / "a.txt")
    seen = worker.run(
        "import time\n"
        "end = time.monotonic() + 5\n"
        "while (it := open('a.txt').read()) != 'new' and time.monotonic() < end: pass"
    )
    assert seen == "new"
    (world.nb / "tmp").write_text("newest")
    os.replace(world.nb / "tmp", world.nb / "a.txt")
    worker.begin(rights)
    assert worker.value("open('a.txt').read()") == "newest"


#: Runs as the user of the kernel; says when it waits for the mount, which root makes.
LATE_MOUNT = """
import os, pathlib, sys
from sandbox_kernel.trusted.confine.level import Level
from tests.features.doors.conftest import Raised, Worker, World
world = World(pathlib.Path(sys.argv[1]))
(world.nb / "data" / "sub").mkdir(parents=True)
rights = world.files('path = "data"\\nmode = "read"')
worker = Worker(world, Level(sys.argv[2]))
worker.open_for(rights)
try:
    assert worker.value("os.listdir('data/sub')") == []
    print("mount", flush=True)
    assert sys.stdin.readline() == "mounted\\n"
    (world.nb / "data" / "sub" / "late").write_text("L")
    worker.begin(rights)
    print(worker.value("open('data/sub/late').read()"))
    for attempt in ("open('data/sub/late', 'w')", "open('data/sub/evil', 'w')"):
        try:
            worker.run(attempt)
        except Raised as refused:
            print(refused.kind, refused.number)
    print(os.listdir(world.nb / "data" / "sub"), worker.follow(world.rights("")).killed)
finally:
    worker.close()
"""

#: Runs as root, in a mount namespace whose mounts are shared as systemd's are.
MOUNTS_LATER = """
import subprocess, sys
folder, *command = sys.argv[1:]
kernel = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
assert kernel.stdout.readline() == "mount\\n"
place = f"{folder}/nb/data/sub"
subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=1777", "late", place], check=True)
said, _ = kernel.communicate("mounted\\n", timeout=60)
print(said, end="")
sys.exit(kernel.returncode)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounting on the host takes root")
@pytest.mark.parametrize("user", ["root", "nobody"])
def test_what_is_mounted_later_in_a_read_grant_appears_and_is_not_writable(
    level: Level, user: str
) -> None:
    """As autofs mounts: after the grant, by another process. For both users of the kernel."""
    python, become = sys.executable, ()
    if user == "nobody":
        found = python_for_nobody()
        if found is None:
            pytest.skip("no Python of this version that an unprivileged user can run")
        python, become = found, (*NOBODY, "env")
    with tempfile.TemporaryDirectory() as folder:
        if user == "nobody":
            os.chown(folder, 65534, 65534)
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "shared", sys.executable, "-c", MOUNTS_LATER]
            + [folder, *become, python, "-c", LATE_MOUNT, folder, level.value],
            capture_output=True,
            text=True,
            timeout=90,
            cwd=Path(__file__).parents[3],
            env={**os.environ, **paths_for_nobody(__file__)},
        )
    refusal = "OSError 30" if level is Level.FULL else "PermissionError 13"
    assert done.stdout.split("\n") == ["L", refusal, refusal, "['late'] ()", ""], done.stderr


def test_a_full_table_of_descriptors_is_an_error_and_no_hang(world: World, start: Start) -> None:
    (world.nb / "file").write_text("x")
    worker = start(world.files('path = "."\nmode = "read"'), Level.NO_NAMESPACES)
    held = worker.run(
        "held = []\n"
        "try:\n"
        "    while True:\n"
        "        held.append(os.open('file', os.O_RDONLY))\n"
        "except OSError as error:\n"
        "    it = error.errno\n"
        "for descriptor in held:\n"
        "    os.close(descriptor)"
    )
    assert held == errno.EMFILE
    assert worker.value("open('file').read()") == "x"
