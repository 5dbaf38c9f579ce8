"""While a live write grant is opened, what it protects is never open for changes."""

from __future__ import annotations

import asyncio
import contextlib
import os

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


HELD = {
    "a descriptor": "held = os.open('new', os.O_RDWR)",
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
    "a descriptor without access": (
        "fd = os.open(f'/proc/self/fd/{held}', os.O_WRONLY)\nos.pwrite(fd, b'CELL', 0)"
    ),
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
    worker.run("reads = os.open('new', os.O_RDONLY)")
    os.replace(world.nb / "new", world.nb / "case.ipynb")
    worker.on_loop(asyncio.sleep, 2.0)
    assert worker.value("os.pwrite(held, b'CELL', 0)") == 4
    assert worker.value("os.pread(reads, 9, 0).decode()") == "SAVED"
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
