"""Live write grants through both doors: what tools do when they save."""

from __future__ import annotations

import os

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Start, World, refused


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
