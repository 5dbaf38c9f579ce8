"""A place that is only mounted anew, because one above it goes, is not forgotten by its holders."""

from __future__ import annotations

import errno

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Gone, Raised, Start, World

ABOVE = 'path = "ROOT/outside"\nmode = "read"'
WITHIN = 'path = "ROOT/outside/sub"\nmode = "write"'


def test_a_directory_within_another_place_does_not_outlive_its_grant(
    world: World, start: Start, level: Level
) -> None:
    sub = world.outside / "sub"
    sub.mkdir()
    worker = start(world.files(ABOVE, WITHIN), level)
    worker.run("fd = os.open('ROOT/outside/sub', os.O_RDONLY | os.O_DIRECTORY)")
    worker.follow(world.files(WITHIN))  # The one above is taken back: this is allowed still.
    worker.follow(world.rights(""))  # Now it is taken back, too.
    (sub / "late.txt").write_text("WRITTEN AFTER THE REVOCATION")
    try:
        read = worker.value("open(os.open('late.txt', os.O_RDONLY, dir_fd=fd)).read()")
    except (Gone, Raised):
        return
    assert not read


def test_and_is_not_written_to(world: World, start: Start, level: Level) -> None:
    sub = world.outside / "sub"
    sub.mkdir()
    (sub / "kept.txt").write_text("KEPT")
    worker = start(world.files(ABOVE, WITHIN), level)
    worker.run("fd = os.open('ROOT/outside/sub', os.O_RDONLY | os.O_DIRECTORY)")
    worker.follow(world.files(WITHIN))
    worker.follow(world.rights(""))
    for code in (
        "os.write(os.open('kept.txt', os.O_WRONLY | os.O_TRUNC, dir_fd=fd), b'CHANGED')",
        "os.write(os.open('new.txt', os.O_WRONLY | os.O_CREAT, dir_fd=fd), b'NEW')",
        "os.unlink('kept.txt', dir_fd=fd)",
    ):
        try:
            worker.run(code)
        except (Gone, Raised):
            continue
    assert {path.name: path.read_text() for path in sub.iterdir()} == {"kept.txt": "KEPT"}


def test_the_folder_of_a_mount_is_not_moved_from_under_it(world: World, start: Start) -> None:
    """Nothing would be found at the mount's path then, and it would be taken for gone."""
    (world.outside / "x" / "out").mkdir(parents=True)
    staged = 'path = "ROOT/outside"\nmode = "write"\nmax_bytes = "1 MB"'
    live = 'path = "ROOT/outside/x/out"\nmode = "write"'
    worker = start(world.files(staged, live), Level.FULL)
    with pytest.raises(Raised) as refused:
        worker.run("os.rename('ROOT/outside/x', 'ROOT/outside/y')")
    assert refused.value.number in (errno.EXDEV, errno.EBUSY)
