"""Grants of many places, of one place many times, and of places that lie in each other."""

from __future__ import annotations

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Raised, Start, World, refused


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


DENIED = """
[[given.files]]
reason = "test"
path = "."
mode = "read"
deny = ["data/b.key", "keys"]
"""
REFUSED = """
[[refuse.files]]
reason = "test"
path = "data/b.key"
mode = "read"
[[refuse.files]]
reason = "test"
path = "keys"
mode = "read"
"""


@pytest.mark.parametrize("shut", [DENIED, REFUSED], ids=["deny", "refuse"])
@pytest.mark.parametrize("mode", ["read", "create", "append", "write"])
def test_what_a_pattern_matches_is_denied_like_all_else(
    world: World, start: Start, level: Level, mode: str, shut: str
) -> None:
    for name in ("data/a.key", "data/b.key", "keys/c.key"):
        (world.nb / name).parent.mkdir(exist_ok=True)
        (world.nb / name).write_text(name)
    line = f'[[given.files]]\nreason = "test"\npath = "**/*.key"\nmode = "{mode}"\n'
    worker = start(world.rights(line + shut), level)
    assert worker.value("open('data/a.key').read()") == "data/a.key"
    for name in ("data/b.key", "keys/c.key"):
        refused(worker, f"open('{name}')")


def test_what_is_granted_stays_when_a_file_beside_it_may_be_made(
    world: World, start: Start, level: Level
) -> None:
    (world.nb / "data" / "deep").mkdir(parents=True)
    (world.nb / "data" / "own.csv").write_text("own")
    (world.nb / "data" / "deep" / "x").write_text("x")
    read = 'path = "data/own.csv"\nmode = "read"'
    write = 'path = "data/deep"\nmode = "write"'
    create = 'path = "data/new.csv"\nmode = "create"'
    worker = start(world.files(read, write), level)
    for granted in (world.files(read, write, create), world.files(read, write)):
        worker.begin(granted)
        assert worker.value("open('data/own.csv').read()") == "own"
        assert worker.value("open('data/deep/x').read()") == "x"
        worker.run("open('data/deep/made', 'a').write('+')")
        if granted.rights != world.files(read, write).rights:
            worker.run("open('data/new.csv', 'x').write('new')")
        assert worker.end().refused == ()
    worker.run("os.chdir('/')")
    assert worker.follow(world.rights("")).killed == ()
    assert (world.nb / "data" / "new.csv").read_text() == "new"
    assert (world.nb / "data" / "deep" / "made").read_text() == "++"
    assert worker.problems == []


def test_a_staged_place_in_a_folder_with_denied_parts(
    world: World, start: Start, level: Level
) -> None:
    for name in ("log/old.txt", "log/deep/old.txt", "log/secret.key", "other.txt"):
        (world.nb / name).parent.mkdir(parents=True, exist_ok=True)
        (world.nb / name).write_text(name)
    read = 'path = "."\nmode = "read"\ndeny = ["**/*.key"]'
    append = 'path = "log"\nmode = "append"'
    worker = start(world.files(read), level)
    granted = world.files(read, append)
    worker.begin(granted)
    assert worker.value("open('other.txt').read()") == "other.txt"
    worker.run("open('log/old.txt', 'a').write('+')")
    worker.run("open('log/deep/old.txt', 'a').write('+')")
    refused(worker, "open('log/secret.key')")
    assert worker.end().refused == ()
    worker.run("os.chdir('/')")
    assert worker.follow(world.rights("")).killed == ()
    assert (world.nb / "log" / "old.txt").read_text() == "log/old.txt+"
    assert (world.nb / "log" / "deep" / "old.txt").read_text() == "log/deep/old.txt+"
    assert worker.problems == []


def test_files_that_a_pattern_matches_have_room_beside_a_small_meter(
    world: World, start: Start, level: Level
) -> None:
    for number in range(5):
        (world.nb / f"{number}.txt").write_text(str(number))
    worker = start(world.files('path = "*.txt"\nmode = "create"\nmax_bytes = "10 B"'), level)
    assert [worker.value(f"open('{n}.txt').read()") for n in range(5)] == list("01234")
    assert worker.problems == []


def test_a_place_that_is_spelled_through_a_link_beside_a_file_to_be_made(
    world: World, start: Start, level: Level
) -> None:
    (world.outside / "data").mkdir()
    (world.outside / "data" / "x").write_text("x")
    (world.nb / "link").symlink_to(world.outside / "data")
    granted = world.files('path = "link"\nmode = "write"', 'path = "new.csv"\nmode = "create"')
    worker = start(granted, level)
    worker.begin(granted)
    assert worker.value("open('link/x').read()") == "x"
    worker.run("open('link/made', 'x').write('made')")
    worker.run("open('new.csv', 'x').write('new')")
    assert worker.end().refused == ()
    assert (world.outside / "data" / "made").read_text() == "made"
    assert (world.nb / "new.csv").read_text() == "new"
    assert worker.problems == []
