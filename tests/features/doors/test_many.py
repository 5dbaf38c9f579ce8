"""Grants of many places, and of one place many times."""

from __future__ import annotations

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Raised, Start, World


def test_hundreds_of_single_files_are_staged_one_by_one(
    world: World, start: Start, level: Level
) -> None:
    for number in range(400):
        (world.nb / f"f{number}.txt").write_text(str(number))
    (world.nb / "other").write_text("O")
    granted = world.files('path = "f*.txt"\nmode = "write"')
    worker = start(granted, level)
    assert worker.value("[open(f'f{n}.txt').read() for n in range(400)]") == [
        str(number) for number in range(400)
    ]
    with pytest.raises(Raised):
        worker.run("open('other')")
    worker.begin(granted)
    worker.run("open('f7.txt', 'w').write('new')")
    assert worker.end().refused == ()
    assert (world.nb / "f7.txt").read_text() == "new"
    assert worker.problems == []


def test_thousands_of_denied_names_stay_closed(world: World, start: Start, level: Level) -> None:
    data = world.nb / "data"
    data.mkdir()
    for number in range(8000):
        (data / f"{'x' * 200}{number}.key").touch()
    (data / "open.txt").write_text("O")
    metered = 'path = "data"\nmode = "write"\nmax_bytes = "1 MB"\ndeny = ["data/*.key"]'
    granted = world.files(metered)
    worker = start(granted, level)
    assert worker.value("open('data/open.txt').read()") == "O"
    for number in (0, 7999):
        with pytest.raises(Raised):
            worker.run(f"open('data/{'x' * 200}{number}.key')")
    worker.begin(granted)
    worker.run("open('data/open.txt', 'w').write('new')")
    assert worker.end().refused == ()
    assert (data / "open.txt").read_text() == "new"
    assert worker.problems == []


def test_a_file_that_two_lines_let_be_written(world: World, start: Start, level: Level) -> None:
    (world.nb / "own.txt").write_text("old")
    granted = world.files('path = "own.txt"\nmode = "write"', 'path = "*.txt"\nmode = "append"')
    worker = start(granted, level)
    worker.begin(granted)
    worker.run("open('own.txt', 'w').write('new')")
    assert worker.end().refused == ()
    assert (world.nb / "own.txt").read_text() == "new"
    assert worker.problems == []
