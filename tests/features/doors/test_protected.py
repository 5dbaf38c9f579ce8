"""While a live write grant is opened, what it protects is never open for changes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Gone, Raised, Start, World

RACE = """
import threading, os
going, got = [True], []
def race():
    while going[0]:
        try:
            fd = os.open('ROOT/nb/case.ipynb', os.O_WRONLY)
            os.write(fd, b'CHANGED BY THE CELL')
            got.append(1)
            os.close(fd)
        except OSError:
            pass
racer = threading.Thread(target=race, daemon=True)
racer.start()
"""


def test_the_notebook_is_never_writable(world: World, start: Start, level: Level) -> None:
    worker = start(world.rights(""), level)
    worker.run(RACE)
    granted = world.files('path = "."\nmode = "write"')
    for _ in range(60):
        try:
            worker.follow(granted)
            worker.follow(world.rights(""))
        except Gone:
            break
    assert (world.nb / "case.ipynb").read_text() == "{}"


SWAP = """
import threading, os
going = [True]
def race():
    while going[0]:
        try:
            os.rename('ROOT/nb/case.ipynb', 'ROOT/nb/old.ipynb')
            with open('ROOT/nb/case.ipynb', 'w') as file: file.write('OF THE CELL')
        except OSError:
            pass
racer = threading.Thread(target=race, daemon=True)
racer.start()
"""


def test_a_notebook_that_cannot_be_protected_leaves_no_writable_place(
    world: World, start: Start
) -> None:
    """When the mount that protects it fails, the writable place must not stay."""
    worker = start(world.rights(""), Level.FULL)
    worker.run(SWAP)
    granted = world.files('path = "."\nmode = "write"')
    for _ in range(60):
        worker.follow(granted)
        if worker.problems:
            break
        worker.follow(world.rights(""))
    worker.run("going[0] = False; racer.join()")
    try:
        worker.run("open('ROOT/nb/case.ipynb', 'w').write('AT LEISURE')")
    except Raised:
        return
    assert (world.nb / "case.ipynb").read_text() != "AT LEISURE"


def test_a_notebook_that_is_saved_meanwhile_is_protected_again(
    world: World, start: Start, level: Level
) -> None:
    """An editor saves by renaming another file over it: the mount that protects it goes with it."""
    worker = start(world.files('path = "."\nmode = "write"'), level)
    for number in range(3):
        text = f'{{"saved": {number}}}'
        (world.nb / "new").write_text(text)
        os.replace(world.nb / "new", world.nb / "case.ipynb")
        worker.on_loop(asyncio.sleep, 0.2)  # As long as it takes to hear of it, and longer.
        for change in (
            "open('case.ipynb', 'w')",
            "os.rename('case.ipynb', 'other')",
            "os.unlink('case.ipynb')",
        ):
            with pytest.raises(Raised):
                worker.run(change)
        assert worker.value("open('case.ipynb').read()") == text
        assert worker.value(f"open('made-{number}', 'w').write('1')") == 1
        assert (world.nb / f"made-{number}").read_text() == "1"
    assert worker.problems == []
    worker.run("os.chdir('/')")
    assert worker.follow(world.rights("")).killed == ()
    with pytest.raises(Raised):
        worker.run("open('ROOT/nb/made-0')")


REOPENED = "fd = os.open(f'/proc/self/fd/{held}', os.O_WRONLY)\nos.pwrite(fd, b'CELL', 0)"
HELD = {
    "a descriptor": "held = os.open('new', os.O_RDWR)",
    "a descriptor for reading": "held = os.open('new', os.O_RDONLY)",
    "a descriptor and a name": "held = os.open('new', os.O_RDWR)\nos.link('new', 'mine')",
    "a descriptor without access": "held = os.open('new', os.O_PATH)",
    "a shared mapping": (
        "import mmap\nfile = os.open('new', os.O_RDWR)\nheld = mmap.mmap(file, 4)\nos.close(file)"
    ),
    "a descriptor on its way": (
        "import socket\na, b = socket.socketpair()\nfile = os.open('new', os.O_RDWR)\n"
        "held = socket.send_fds(a, [b'x'], [file])\nos.close(file)"
    ),
}
CHANGES = {
    "a descriptor": "os.pwrite(held, b'CELL', 0)",
    "a descriptor for reading": REOPENED,
    "a descriptor and a name": "os.pwrite(held, b'CELL', 0)",
    "a descriptor without access": REOPENED,
    "a shared mapping": "held[0:4] = b'CELL'\nheld.flush()",
    "a descriptor on its way": (
        "_, (fd,), _, _ = socket.recv_fds(b, 1, 1)\nos.pwrite(fd, b'CELL', 0)"
    ),
}


@pytest.mark.parametrize("how", HELD)
def test_who_holds_what_becomes_the_notebook_does_not_change_it(
    world: World, start: Start, level: Level, how: str
) -> None:
    """A program writes another file first, where a cell may open it, and renames it then."""
    worker = start(world.files('path = "."\nmode = "write"'), level)
    (world.nb / "new").write_text("SAVED")
    try:
        worker.run(f"import os\n{HELD[how]}")
        os.replace(world.nb / "new", world.nb / "case.ipynb")
        worker.on_loop(asyncio.sleep, 2.0)
        worker.run(CHANGES[how])
    except (Gone, Raised):
        pass
    assert (world.nb / "case.ipynb").read_text() == "SAVED"


def test_whoever_holds_another_file_lives_on(world: World, start: Start, level: Level) -> None:
    worker = start(world.files('path = "."\nmode = "write"'), level)
    (world.nb / "new").write_text("SAVED")
    worker.run("import os\nheld = os.open('other', os.O_RDWR | os.O_CREAT)")
    worker.run("reads = os.open('case.ipynb', os.O_RDONLY)")
    os.replace(world.nb / "new", world.nb / "case.ipynb")
    worker.on_loop(asyncio.sleep, 2.0)
    assert worker.value("os.pwrite(held, b'CELL', 0)") == 4
    assert worker.value("os.pread(reads, 9, 0).decode()") == "{}"
    assert worker.problems == []


def test_another_name_of_the_notebook_does_not_change_it(
    world: World, start: Start, level: Level
) -> None:
    worker = start(world.files('path = "."\nmode = "write"'), level)
    (world.nb / "new").write_text("SAVED")
    worker.run("import os\nos.link('new', 'mine')")
    os.replace(world.nb / "new", world.nb / "case.ipynb")
    worker.on_loop(asyncio.sleep, 1.0)
    with contextlib.suppress(Gone, Raised):
        worker.run("open('mine', 'r+').write('CELL')")
    assert (world.nb / "case.ipynb").read_text() == "SAVED"


def test_what_was_open_in_another_place_does_not_change_the_notebook(
    world: World, start: Start, level: Level
) -> None:
    """Also once nothing is granted any more: what was open for writing stays so."""
    outside = world.files('path = "ROOT/outside"\nmode = "write"')
    worker = start(outside, level)
    (world.outside / "new").write_text("SAVED")
    worker.run("import os\nheld = os.open('ROOT/outside/new', os.O_RDWR)")
    assert worker.follow(world.rights("")).killed == ()
    assert worker.value("os.pwrite(held, b'saved', 0)") == 5
    os.replace(world.outside / "new", world.nb / "case.ipynb")
    worker.on_loop(asyncio.sleep, 2.0)
    with pytest.raises(Gone):
        worker.run("os.pwrite(held, b'CELL', 0)")
    assert (world.nb / "case.ipynb").read_text() == "saved"


def saved_by_git(world: World) -> None:
    """As `git checkout`: the old file goes, a new one is made, often with the same number."""
    (world.nb / "case.ipynb").unlink()
    (world.nb / "case.ipynb").write_text("SAVED")


def moved_and_back(world: World) -> None:
    """The same file, which had another name for a moment."""
    (world.nb / "case.ipynb").write_text("SAVED")
    (world.nb / "case.ipynb").rename(world.nb / "away")
    (world.nb / "away").rename(world.nb / "case.ipynb")


def linked_and_back(world: World) -> None:
    (world.nb / "case.ipynb").write_text("SAVED")
    os.link(world.nb / "case.ipynb", world.nb / "away")
    (world.nb / "case.ipynb").unlink()
    (world.nb / "away").rename(world.nb / "case.ipynb")


@pytest.mark.parametrize("save", [saved_by_git, moved_and_back, linked_and_back])
@pytest.mark.parametrize("pause", [0.0, 0.003, 0.3])
def test_a_notebook_that_is_gone_for_a_moment(
    world: World,
    start: Start,
    level: Level,
    save: Callable[[World], None],
    pause: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It stays protected, and a cell that stands in its folder lives on."""
    granted = world.files('path = "."\nmode = "write"')
    worker = start(granted, level)
    worker.begin(granted)
    unlink, rename = Path.unlink, Path.rename

    def then_pause(act: Callable[..., Any]) -> Callable[..., Any]:
        def paused(*arguments: Any) -> Any:
            done = act(*arguments)
            if pause:
                worker.on_loop(asyncio.sleep, pause)
            return done

        return paused

    monkeypatch.setattr(Path, "unlink", then_pause(unlink))
    monkeypatch.setattr(Path, "rename", then_pause(rename))
    for _ in range(3):
        save(world)
        worker.on_loop(asyncio.sleep, 0.1)
        for change in ("open('case.ipynb', 'r+')", "os.unlink('case.ipynb')"):
            with pytest.raises(Raised):
                worker.run(change)
        assert worker.value("open('case.ipynb').read()") == "SAVED"
        worker.run("open('made', 'w').write('1')")
    worker.end()
    assert worker.problems == []
    worker.begin(granted)
    with pytest.raises(Raised):
        worker.run("open('case.ipynb', 'r+')")


def test_a_notebook_that_is_away_leaves_a_cell_its_folder_to_read(
    world: World, start: Start, level: Level
) -> None:
    granted = world.files('path = "."\nmode = "write"')
    worker = start(granted, level)
    worker.begin(granted)
    worker.run("open('made', 'w').write('1')")
    (world.nb / "case.ipynb").unlink()
    worker.on_loop(asyncio.sleep, 0.2)
    for change in ("open('case.ipynb', 'x')", "os.rename('made', 'case.ipynb')"):
        with pytest.raises(Raised):
            worker.run(change)
    assert worker.value("open('made').read()") == "1"
    worker.end()
    worker.begin(granted)  # Staged from now on.
    worker.run("open('made', 'w').write('2')")
    with pytest.raises(Raised):
        worker.run("open('case.ipynb').read()")
    worker.end()
    assert (world.nb / "made").read_text() == "2"
    assert not (world.nb / "case.ipynb").exists()


@pytest.mark.parametrize("where", ["nb", "outside"])
def test_a_backup_by_link_ends_no_cell(
    world: World, start: Start, level: Level, where: str
) -> None:
    granted = world.files('path = "."\nmode = "write"')
    more = world.files('path = "."\nmode = "write"', 'path = "ROOT/outside"\nmode = "read"')
    worker = start(granted, level)
    worker.begin(granted)
    os.link(world.nb / "case.ipynb", world.base / where / "backup")
    assert worker.follow(more).killed == ()
    worker.run("open('made', 'w').write('1')")
    (world.nb / "new").write_text("SAVED")
    os.replace(world.nb / "new", world.nb / "case.ipynb")
    worker.on_loop(asyncio.sleep, 0.2)
    worker.run("open('made', 'a').write('2')")
    worker.end()
    assert worker.problems == []
    assert (world.nb / "made").read_text() == "12"


def test_what_is_staged_is_not_lost_when_the_notebook_is_saved(
    world: World, start: Start, level: Level
) -> None:
    """A notebook with two names makes the place a staged one, until the cell's end."""
    os.link(world.nb / "case.ipynb", world.outside / "backup")
    granted = world.files('path = "."\nmode = "write"')
    more = world.files('path = "."\nmode = "write"', 'path = "ROOT/outside"\nmode = "read"')
    worker = start(granted, level)
    worker.begin(granted)
    worker.run("open('result', 'w').write('1')")
    (world.nb / "new").write_text("SAVED")
    os.replace(world.nb / "new", world.nb / "case.ipynb")
    worker.on_loop(asyncio.sleep, 0.2)
    worker.follow(more)
    assert worker.value("open('result').read()") == "1"
    assert worker.end().refused == ()
    assert (world.nb / "result").read_text() == "1"
    assert (world.nb / "case.ipynb").read_text() == "SAVED"


def test_a_folder_that_was_replaced_is_watched(world: World, start: Start, level: Level) -> None:
    granted = world.files('path = "."\nmode = "write"')
    worker = start(granted, level)
    worker.run("os.chdir('/')")
    world.nb.rename(world.base / "old")
    world.nb.mkdir()
    (world.nb / "case.ipynb").write_text("NEW")
    worker.on_loop(worker.doors.begin_cell, granted)
    (world.nb / "new").write_text("SAVED")
    os.replace(world.nb / "new", world.nb / "case.ipynb")
    worker.on_loop(asyncio.sleep, 0.2)
    with pytest.raises(Raised):
        worker.run("open('ROOT/nb/case.ipynb', 'r+')")
    assert (world.nb / "case.ipynb").read_text() == "SAVED"


def test_a_place_that_is_held_stays_so_when_the_worker_is_replaced(
    world: World, start: Start
) -> None:
    """A cell can end its own worker, whose copy goes on with the same places."""
    worker = start(world.files('path = "."\nmode = "write"'), Level.FULL)
    (world.nb / "new").write_text("SAVED")
    worker.run("import os\nos.link('new', 'mine')")
    os.replace(world.nb / "new", world.nb / "case.ipynb")
    worker.on_loop(asyncio.sleep, 0.5)
    with pytest.raises(Raised):
        worker.run("open('mine', 'r+').write('CELL')")
    worker.run("os.chdir('/')")
    worker.on_loop(worker.doors.worker_replaced, worker.generation)
    with pytest.raises(Raised):
        worker.run("open('ROOT/nb/mine', 'r+').write('CELL')")
    assert (world.nb / "case.ipynb").read_text() == "SAVED"
