"""Files through both doors: what each mode lets a live worker do, and what reaches the host."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Gone, Raised, Worker, World, run_as_nobody

Start = Callable[..., Worker]
REFUSED = ("FileNotFoundError", "PermissionError", "OSError")

LEVELS = [Level.FULL, Level.NO_NAMESPACES]


@pytest.fixture(params=LEVELS, ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    return request.param


def refused(worker: Worker, source: str) -> str:
    """The error with which the worker's code is refused."""
    with pytest.raises(Raised) as caught:
        worker.run(source)
    assert caught.value.kind in REFUSED, caught.value
    return caught.value.kind


# --- read ------------------------------------------------------------------------------------


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


# --- deny ------------------------------------------------------------------------------------


def test_a_denied_place_stays_closed_when_it_is_replaced_or_made_later(
    world: World, start: Start, level: Level
) -> None:
    data = world.nb / "data"
    (data / "sub").mkdir(parents=True)
    (data / "ok").write_text("OK")
    (data / "secret").write_text("S1")
    rights = world.files('path = "data"\nmode = "read"\ndeny = ["data/secret", "data/later"]')
    worker = start(rights, level)
    assert worker.value("open('data/ok').read()") == "OK"
    refused(worker, "open('data/secret')")
    (data / "tmp").write_text("S2")
    os.replace(data / "tmp", data / "secret")
    (data / "later").write_text("S3")
    refused(worker, "open('data/secret')")
    refused(worker, "open('data/later')")
    worker.begin(rights)
    refused(worker, "open('data/secret')")
    refused(worker, "open('data/later')")
    (data / "seen").write_text("N")
    worker.begin(rights)
    assert worker.value("open('data/seen').read()") == "N"


def test_a_denied_pattern_holds_at_every_depth(world: World, start: Start, level: Level) -> None:
    (world.nb / "d" / "e").mkdir(parents=True)
    for name in ("d/a.key", "d/a.txt", "d/e/b.key", "d/e/b.txt"):
        (world.nb / name).write_text(name)
    worker = start(world.files('path = "d"\nmode = "read"\ndeny = ["d/**/*.key"]'), level)
    assert worker.value("[open(n).read() for n in ('d/a.txt', 'd/e/b.txt')]") == [
        "d/a.txt",
        "d/e/b.txt",
    ]
    refused(worker, "open('d/a.key')")
    refused(worker, "open('d/e/b.key')")


def test_many_denied_paths_of_which_some_are_missing(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "real").mkdir()
    (world.nb / "link").symlink_to("real")
    (world.nb / "dangling").symlink_to("nowhere")
    (world.nb / "ok").write_text("OK")
    deny = [f"missing/x{n}" for n in range(150)] + ["link", "dangling", "link/deep/y"]
    worker = start(world.files(f'path = "."\nmode = "read"\ndeny = {deny}'), level)
    assert worker.value("open('ok').read()") == "OK"


def test_a_write_grant_with_a_denied_folder(world: World, start: Start, level: Level) -> None:
    (world.nb / "proj" / "secrets").mkdir(parents=True)
    (world.nb / "proj" / "ok.txt").write_text("ok")
    (world.nb / "proj" / "secrets" / "k").write_text("CANARY")
    rights = world.files('path = "proj"\nmode = "write"\ndeny = ["proj/secrets"]')
    worker = start(rights, level)
    worker.begin(rights)
    assert worker.value("open('proj/ok.txt').read()") == "ok"
    refused(worker, "open('proj/secrets/k')")
    worker.run("open('proj/new.txt', 'w').write('n')")
    assert worker.value("open('proj/new.txt').read()") == "n"
    worker.run(
        "try: os.rename('proj/secrets', 'proj/s2')\nexcept OSError as error: it = str(error)"
    )
    refused(worker, "open('proj/s2/k')")
    worker.end()
    assert (world.nb / "proj" / "new.txt").read_text() == "n"
    assert (world.nb / "proj" / "secrets" / "k").read_text() == "CANARY"
    assert sorted(os.listdir(world.nb / "proj")) == ["new.txt", "ok.txt", "secrets"]


# --- write -----------------------------------------------------------------------------------


def test_write_is_live_with_atomic_saves_links_and_databases(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "out").mkdir()
    worker = start(world.files('path = "out"\nmode = "write"'), level)
    worker.run("open('out/t.tmp', 'w').write('v1')")
    assert (world.nb / "out" / "t.tmp").read_text() == "v1"
    worker.run("os.makedirs('out/new'); os.replace('out/t.tmp', 'out/new/final')")
    worker.run("os.link('out/new/final', 'out/copy')")
    assert (world.nb / "out" / "copy").read_text() == "v1"
    worker.run("open('out/new/final', 'r+').truncate(0)")
    assert (world.nb / "out" / "copy").read_text() == ""
    worker.run("os.remove('out/copy'); os.rename('out/new', 'out/other')")
    assert os.listdir(world.nb / "out") == ["other"]
    worker.run(
        "import sqlite3, contextlib\n"
        "with contextlib.closing(sqlite3.connect('out/x.db')) as db, db:\n"
        "    db.execute('create table t(a)')\n"
        "    db.executemany('insert into t values (?)', [(n,) for n in range(100)])\n"
    )
    assert (world.nb / "out" / "x.db").stat().st_size > 0
    assert sorted(os.listdir(world.nb / "out")) == ["other", "x.db"]
    worker.run(
        "import mmap\n"
        "with open('out/m', 'w+b') as f:\n"
        "    f.truncate(4096)\n"
        "    with mmap.mmap(f.fileno(), 4096) as m: m[:5] = b'hello'\n"
    )
    assert (world.nb / "out" / "m").read_bytes()[:5] == b"hello"
    worker.run("os.symlink('other', 'out/l'); os.chmod('out/m', 0o600); os.utime('out/m', (1, 2))")
    assert os.readlink(world.nb / "out" / "l") == "other"
    assert int((world.nb / "out" / "m").stat().st_mtime) == 2
    refused(worker, "os.rename('out/m', 'm')")
    refused(worker, "os.symlink('ROOT/outside', 'out/e'); open('out/e/secret.txt')")
    refused(
        worker,
        "os.makedirs('out/a/b'); os.symlink('../../outside', 'out/a/b/l'); "
        "os.rename('out/a/b', 'out/b'); open('out/b/l/secret.txt')",
    )


def test_the_notebook_itself_is_not_changed(world: World, start: Start, level: Level) -> None:
    rights = world.files('path = "."\nmode = "write"')
    worker = start(rights, level)
    worker.begin(rights)
    assert worker.value("open('case.ipynb').read()") == "{}"
    for attempt in (
        "open('case.ipynb', 'w')",
        "os.replace('x', 'case.ipynb')",
        "os.unlink('case.ipynb')",
        "os.truncate('case.ipynb', 0)",
    ):
        worker.run("open('x', 'w').write('evil')")
        refused(worker, attempt)
    worker.end()
    assert (world.nb / "case.ipynb").read_text() == "{}"
    assert (world.nb / "x").read_text() == "evil"


def test_a_single_writable_file_can_be_saved_atomically(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "a.txt").write_text("old")
    (world.nb / "b.txt").write_text("B")
    rights = world.files('path = "a.txt"\nmode = "write"')
    worker = start(rights, level)
    worker.begin(rights)
    assert worker.value("open('a.txt').read()") == "old"
    worker.run("open('a.tmp', 'w').write('new'); os.replace('a.tmp', 'a.txt')")
    assert (world.nb / "a.txt").read_text() == "old"
    refused(worker, "open('b.txt')")
    report = worker.end()
    assert (world.nb / "a.txt").read_text() == "new"
    assert report.refused == ()
    worker.begin(rights)
    worker.run("open('a.txt', 'a').write('er')")
    worker.end()
    assert (world.nb / "a.txt").read_text() == "newer"
    assert sorted(os.listdir(world.nb)) == ["a.txt", "b.txt", "case.ipynb"]


# --- staged ----------------------------------------------------------------------------------


def test_create_makes_and_does_not_change(world: World, start: Start, level: Level) -> None:
    (world.nb / "out").mkdir()
    (world.nb / "out" / "old").write_text("old")
    rights = world.files('path = "out"\nmode = "create"')
    worker = start(rights, level)
    worker.begin(rights)
    worker.run(
        "open('out/new', 'w').write('N'); os.mkdir('out/d'); open('out/d/x', 'w').write('X')"
    )
    assert not (world.nb / "out" / "new").exists()
    assert worker.value("open('out/old').read()") == "old"
    worker.run("try: open('out/old', 'w').write('changed')\nexcept OSError: pass")
    worker.run("try: os.unlink('out/old')\nexcept OSError: pass")
    report = worker.end()
    assert (world.nb / "out" / "new").read_text() == "N"
    assert (world.nb / "out" / "d" / "x").read_text() == "X"
    assert (world.nb / "out" / "old").read_text() == "old"
    assert report.files == 2
    assert str(world.nb / "out" / "new") in report.written
    worker.begin(rights)
    assert worker.value("open('out/old').read()") == "old"
    assert worker.value("open('out/new').read()") == "N"


def test_append_adds_and_does_not_rewrite(world: World, start: Start, level: Level) -> None:
    (world.nb / "log").write_text("one\n")
    rights = world.files('path = "log"\nmode = "append"')
    worker = start(rights, level)
    worker.begin(rights)
    worker.run("f = open('log', 'a'); f.write('two\\n'); f.close()")
    assert worker.end().refused == ()
    assert (world.nb / "log").read_text() == "one\ntwo\n"
    worker.begin(rights)
    worker.run("try:\n    with open('log', 'r+') as f: f.write('ONE')\nexcept OSError: pass")
    worker.end()
    assert (world.nb / "log").read_text() == "one\ntwo\n"
    worker.begin(rights)
    assert worker.value("open('log').read()") == "one\ntwo\n"
    worker.run("f = open('log', 'a'); f.write('three\\n'); f.flush(); os.ftruncate(f.fileno(), 2)")
    worker.end()
    assert (world.nb / "log").read_text() == "one\ntwo\n"


@pytest.mark.parametrize("mode", ["create", "append", "write"])
def test_a_file_that_does_not_exist_yet(
    world: World, start: Start, level: Level, mode: str
) -> None:
    rights = world.files(f'path = "out/result.csv"\nmode = "{mode}"')
    worker = start(rights, level)
    worker.begin(rights)
    assert worker.value("os.path.exists('out/result.csv')") is False
    worker.run("os.makedirs('out', exist_ok=True); open('out/result.csv', 'x').write('a,b')")
    worker.run("try: open('out/other', 'w').write('x')\nexcept OSError: pass")
    worker.end()
    assert (world.nb / "out" / "result.csv").read_text() == "a,b"
    assert os.listdir(world.nb / "out") == ["result.csv"]


def test_bytes_are_limited_over_cells(world: World, start: Start, level: Level) -> None:
    (world.nb / "out").mkdir()
    rights = world.files('path = "out"\nmode = "create"\nmax_bytes = "10 kB"')
    worker = start(rights, level)
    worker.begin(rights)
    worker.run("open('out/a', 'wb').write(b'x' * 8000)")
    assert worker.end().bytes == 8000
    worker.begin(rights)
    worker.run(
        "try:\n    with open('out/b', 'wb') as f: f.write(b'x' * 5000)\nexcept OSError: pass"
    )
    report = worker.end()
    assert not (world.nb / "out" / "b").exists()
    assert [r.code for r in report.refused] == ["max_bytes"]
    worker.begin(rights)
    worker.run("open('out/c', 'wb').write(b'x' * 2000)")
    worker.end()
    assert sorted(os.listdir(world.nb / "out")) == ["a", "c"]


def test_a_full_private_layer_says_so(world: World, start: Start) -> None:
    """Where layers are file systems of their own; elsewhere the review is the first to say it."""
    (world.nb / "out").mkdir()
    rights = world.files('path = "out"\nmode = "create"\nmax_bytes = "1 MB"')
    worker = start(rights)
    worker.begin(rights)
    with pytest.raises(Raised) as caught:
        worker.run("f = open('out/a', 'wb')\nfor n in range(30): f.write(b'x' * 100000); f.flush()")
    assert caught.value.kind == "OSError"
    assert "No space" in caught.value.text
    worker.run("f.close()")
    worker.end()
    assert not (world.nb / "out" / "a").exists()


def test_a_killed_cell_leaves_nothing_half_written(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "out").mkdir()
    (world.nb / "out" / "old").write_text("old")
    rights = world.files('path = "out"\nmode = "write"\nmax_bytes = "1 MB"')
    worker = start(rights, level)
    worker.begin(rights)
    worker.run("f = open('out/old', 'w'); f.write('half'); f.flush()")
    worker.on_loop(worker.generation.send_signal, 9)
    with pytest.raises(Gone):
        worker.run("pass")
    worker.on_loop(worker.doors.worker_died)
    assert (world.nb / "out" / "old").read_text() == "old"
    assert os.listdir(world.nb / "out") == ["old"]


def test_what_a_dead_worker_staged_is_not_committed_for_its_copy(
    world: World, start: Start, level: Level
) -> None:
    """A dormant copy goes on behind the same walls; here the worker stands for its own copy."""
    (world.nb / "out").mkdir()
    rights = world.files('path = "out"\nmode = "create"')
    worker = start(rights, level)
    worker.begin(rights)
    worker.run("f = open('out/half', 'w'); f.write('half'); f.flush()")
    worker.on_loop(worker.doors.worker_gone)
    assert worker.end().written == ()
    worker.on_loop(worker.doors.worker_replaced, worker.generation)
    worker.begin(rights)
    assert worker.value("os.listdir('out')") == []
    worker.run("open('out/whole', 'w').write('whole')")
    worker.end()
    assert os.listdir(world.nb / "out") == ["whole"]


def test_staged_files_beside_other_grants_follow_the_host(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data" / "x").write_text("X")
    (world.nb / "a.txt").write_text("1")
    rights = world.files('path = "a.txt"\nmode = "write"', 'path = "data"\nmode = "read"')
    worker = start(rights, level)
    for host, cell in (("2", "3"), ("4", "5")):
        (world.nb / "a.txt").write_text(host)
        worker.begin(rights)
        assert worker.value("open('a.txt').read()") == host
        assert worker.value("open('data/x').read()") == "X"
        worker.run(f"open('a.txt', 'w').write('{cell}')")
        worker.end()
        assert (world.nb / "a.txt").read_text() == cell


def test_something_in_the_way_of_a_grant_is_told_and_left_out(
    world: World, start: Start, level: Level
) -> None:
    """A cell that makes a link where another grant is to appear hurts itself alone."""
    for name in ("out", "out/data"):
        (world.nb / name).mkdir()
    (world.nb / "out" / "data" / "x").write_text("X")
    only = world.files('path = "out"\nmode = "write"')
    worker = start(only, level)
    both = world.files('path = "ROOT/outside"\nmode = "read"', 'path = "out"\nmode = "write"')
    worker.run("os.rename('out/data', 'out/aside'); os.symlink('ROOT/outside', 'out/data')")
    worker.follow(both)
    assert worker.value("open('out/aside/x').read()") == "X"
    assert worker.value("open('ROOT/outside/secret.txt').read()") == "CANARY"


def test_an_open_staged_file_stays_usable_over_cells(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "out").mkdir()
    rights = world.files('path = "out"\nmode = "append"')
    worker = start(rights, level)
    worker.begin(rights)
    worker.run("f = open('out/log', 'a'); f.write('1\\n'); f.flush()")
    worker.end()
    assert (world.nb / "out" / "log").read_text() == "1\n"
    worker.begin(rights)
    worker.run("f.write('2\\n'); f.flush()")
    worker.end()
    assert (world.nb / "out" / "log").read_text() == "1\n2\n"


# --- following the host ------------------------------------------------------------------------


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


LATE_MOUNT = """
import pathlib, subprocess, sys
from sandbox_kernel.trusted.confine.level import Level
from tests.features.doors.conftest import Raised, Worker, World
world = World(pathlib.Path(sys.argv[1]))
(world.nb / "data" / "sub").mkdir(parents=True)
rights = world.files('path = "data"\\nmode = "read"')
worker = Worker(world, Level.FULL)
worker.open_for(rights)
try:
    subprocess.run(["mount", "-t", "tmpfs", "late", world.nb / "data" / "sub"], check=True)
    (world.nb / "data" / "sub" / "late").write_text("L")
    worker.begin(rights)
    print(worker.value("open('data/sub/late').read()"))
    for attempt in ("open('data/sub/late', 'w')", "open('data/sub/evil', 'w')"):
        try:
            worker.run(attempt)
        except Raised as refused:
            print(refused.number)
    print(worker.follow(world.rights("")).killed)
finally:
    worker.close()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="mounting on the host takes root")
def test_what_is_mounted_later_in_a_read_grant_appears_and_is_not_writable(tmp_path: Path) -> None:
    """On a host whose mounts are shared, as systemd makes them: in a namespace of our own."""
    done = subprocess.run(
        [
            "unshare",
            "--mount",
            "--propagation",
            "shared",
            sys.executable,
            "-c",
            LATE_MOUNT,
            tmp_path,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[3],
    )
    assert done.stdout.split("\n")[:4] == ["L", "30", "30", "()"], done.stderr


# --- taking away -------------------------------------------------------------------------------


def test_a_revoked_file_cannot_be_opened_again(world: World, start: Start, level: Level) -> None:
    (world.nb / "a.txt").write_text("A")
    worker = start(world.files('path = "a.txt"\nmode = "read"'), level)
    worker.value("open('a.txt').read()")
    taken = worker.follow(world.rights(""))
    assert taken.killed == ()
    assert taken.still_open == ()
    refused(worker, "open('a.txt')")
    refused(worker, "open('a.txt', 'w').write('left over')")
    worker.follow(world.files('path = "a.txt"\nmode = "read"'))
    assert worker.value("open('a.txt').read()") == "A"


def test_a_file_that_is_open_while_revoked_is_listed(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data" / "a.txt").write_text("A")
    worker = start(world.files('path = "data"\nmode = "read"'), level)
    worker.run("f = open('data/a.txt')")
    taken = worker.follow(world.rights(""))
    assert taken.killed == ()
    assert [Path(name).name for name in taken.still_open] == ["a.txt"]
    refused(worker, "open('data/a.txt')")


@pytest.mark.parametrize(
    "hold",
    [
        "fd = os.open('data', os.O_RDONLY)",
        "fd = os.open('data', os.O_PATH)",
        "os.chdir('data')",
        "import socket; a, b = socket.socketpair(); d = os.open('data', os.O_RDONLY); "
        "socket.send_fds(a, [b'x'], [d]); os.close(d)",
    ],
    ids=["descriptor", "O_PATH", "cwd", "in flight"],
)
def test_whoever_holds_a_revoked_directory_ends(
    world: World, start: Start, level: Level, hold: str
) -> None:
    (world.nb / "data").mkdir()
    (world.nb / "data" / "canary").write_text("CANARY")
    worker = start(world.files('path = "data"\nmode = "write"'), level)
    worker.run(hold)
    taken = worker.follow(world.rights(""))
    if level is not Level.FULL and "chdir" in hold:
        # There a working directory gives nothing: what is relative to it comes to the door.
        assert taken.killed == ()
        refused(worker, "open('canary')")
        refused(worker, "open('evil', 'w')")
        return
    assert taken.killed
    with pytest.raises(Gone):
        worker.run("os.open('evil', os.O_CREAT | os.O_WRONLY, dir_fd=fd)")
    assert os.listdir(world.nb / "data") == ["canary"]


def test_descriptors_that_arrive_after_a_moment_cost_no_worker(
    world: World, start: Start, level: Level
) -> None:
    # As the supervisor's own do, when a revocation comes before the worker has read them. Not
    # read, they end it: the case "in flight" above.
    (world.nb / "data").mkdir()
    (world.nb / "data" / "x").write_text("X")
    worker = start(world.files('path = "data"\nmode = "read"'), level)
    worker.run(
        "import signal, socket\n"
        "a, b = socket.socketpair()\n"
        "d = os.memfd_create('of nothing'); socket.send_fds(a, [b'x'], [d]); os.close(d)\n"
        "kept = open('data/x')\n"
        "def arrive(*_):\n"
        "    signal.signal(signal.SIGCONT, signal.SIG_DFL)\n"
        "    socket.recv_fds(b, 1, 1)\n"
        "signal.signal(signal.SIGCONT, arrive)"
    )
    taken = worker.follow(world.rights(""))
    assert taken.killed == ()
    assert [Path(name).name for name in taken.still_open] == ["x"]
    assert worker.value("1 + 1") == 2


def test_a_child_that_holds_a_revoked_directory_ends(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data").mkdir()
    worker = start(world.files('path = "data"\nmode = "read"'), level, spawn=True)
    worker.run(
        "r, w = os.pipe()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    fd = os.open('data', os.O_RDONLY); os.write(w, b'x')\n"
        "    import signal; signal.pause()\n"
        "os.read(r, 1); it = child"
    )
    taken = worker.follow(world.rights(""))
    assert taken.killed == ("a directory descriptor",)
    assert worker.value("os.waitpid(child, 0)[1]") == 9


def test_narrowing_takes_the_rest_away(world: World, start: Start, level: Level) -> None:
    (world.nb / "data" / "sub").mkdir(parents=True)
    (world.nb / "data" / "sub" / "x").write_text("X")
    (world.nb / "data" / "y").write_text("Y")
    worker = start(world.files('path = "data"\nmode = "write"'), level)
    worker.run("open('data/y', 'a').write('!')")
    worker.follow(world.files('path = "data/sub"\nmode = "read"'))
    refused(worker, "open('data/y')")
    assert worker.value("open('data/sub/x').read()") == "X"
    refused(worker, "open('data/sub/x', 'a')")


# --- as another user ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_all_of_this_as_an_unprivileged_user() -> None:
    run_as_nobody(__file__)
