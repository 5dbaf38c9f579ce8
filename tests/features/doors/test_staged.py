"""Grants whose changes are staged: what reaches the host when a cell ends, and what does not."""

from __future__ import annotations

import os

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Gone, Raised, Start, World


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
