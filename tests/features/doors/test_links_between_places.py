"""A link in one granted place leads into another by that one's rights, never by its own.

The control of each attack: where the other place may be changed too, the same call does it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from sandbox_kernel.trusted.confine.level import Level

from .conftest import Raised, Worker, World

Start = Callable[..., Worker]

CHANGES = {
    "unlink": "os.unlink('ROOT/nb/desk/link/file')",
    "rmdir": "os.rmdir('ROOT/nb/desk/link/empty')",
    "mkdir": "os.mkdir('ROOT/nb/desk/link/new')",
    "rename": "os.rename('ROOT/nb/desk/link/file', 'ROOT/nb/desk/link/moved')",
    "rename to outside": "os.rename('ROOT/nb/desk/link/file', 'ROOT/nb/desk/taken')",
    "rename from outside": "os.rename('ROOT/nb/desk/own', 'ROOT/nb/desk/link/file')",
    "link": "os.link('ROOT/nb/desk/link/file', 'ROOT/nb/desk/link/more')",
    "link from there": "os.link('ROOT/nb/desk/link/file', 'ROOT/nb/desk/mine')",
    "symlink": "os.symlink('x', 'ROOT/nb/desk/link/new')",
    "truncate": "os.truncate('ROOT/nb/desk/link/file', 0)",
    "chmod": "os.chmod('ROOT/nb/desk/link/file', 0o777)",
    "utime": "os.utime('ROOT/nb/desk/link/file', (1, 1))",
    "open and truncate": "open('ROOT/nb/desk/link/file', 'w').close()",
    "open to change": "open('ROOT/nb/desk/link/file', 'r+').write('X')",
    "open by a link": "open('ROOT/nb/desk/to_file', 'w').close()",
    "make by a link": "open('ROOT/nb/desk/to_new', 'w').close()",
}
#: Between two mounts no name moves, whatever the rights.
NEVER = {"rename to outside", "rename from outside", "link from there"}


@pytest.fixture(params=[Level.FULL, Level.NO_NAMESPACES], ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    found: Level = request.param
    return found


@pytest.fixture
def folders(world: World) -> World:
    work, data = world.nb / "desk", world.nb / "data"
    for folder in (work, data / "secret", data / "empty"):
        folder.mkdir(parents=True)
    (data / "file").write_text("data")
    (data / "secret" / "file").write_text("SECRET")
    (work / "own").write_text("own")
    return world


def tree(world: World) -> dict[str, tuple[int, int, bytes]]:
    """Everything that `data` has on the host: mode, time and content."""
    found = {}
    for path in sorted((world.nb / "data").rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        time = 0 if path.is_dir() else int(status.st_mtime)
        found[str(path)] = (status.st_mode, time, content)
    return found


LINKS = (
    "os.symlink('../data', 'ROOT/nb/desk/link')\n"
    "os.symlink('../data/file', 'ROOT/nb/desk/to_file')\n"
    "os.symlink('../data/new', 'ROOT/nb/desk/to_new')"
)
WORK = 'path = "desk"\nmode = "write"'


@pytest.mark.parametrize("change", CHANGES)
def test_a_link_changes_nothing_in_a_place_that_is_only_read(
    folders: World, start: Start, level: Level, change: str
) -> None:
    worker = start(folders.files(WORK, 'path = "data"\nmode = "read"'), level)
    worker.run(LINKS)
    before = tree(folders)
    with pytest.raises(Raised) as refused:
        worker.run(CHANGES[change])
    assert refused.value.kind in ("PermissionError", "OSError"), refused.value
    assert tree(folders) == before


@pytest.mark.parametrize("change", sorted(set(CHANGES) - NEVER))
def test_control_a_link_changes_what_may_be_changed(
    folders: World, start: Start, level: Level, change: str
) -> None:
    worker = start(folders.files(WORK, 'path = "data"\nmode = "write"'), level)
    worker.run(LINKS)
    before = tree(folders)
    worker.run(CHANGES[change])
    assert tree(folders) != before


READS = {
    "by a link to the file": "open('ROOT/nb/desk/to_secret').read()",
    "by a link to the folder": "open('ROOT/nb/desk/link/secret/file').read()",
    "by a link to the denied folder": "open('ROOT/nb/desk/secret/file').read()",
    "the names in it": "os.listdir('ROOT/nb/desk/secret')",
    "a descriptor of it": "os.open('ROOT/nb/desk/secret', os.O_RDONLY | os.O_DIRECTORY)",
}
SECRET_LINKS = (
    "os.symlink('../data', 'ROOT/nb/desk/link')\n"
    "os.symlink('../data/secret', 'ROOT/nb/desk/secret')\n"
    "os.symlink('../data/secret/file', 'ROOT/nb/desk/to_secret')"
)


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("denied", [True, False])
def test_a_link_opens_nothing_that_the_other_place_denies(
    folders: World, start: Start, level: Level, read: str, denied: bool
) -> None:
    deny = '\ndeny = ["data/secret"]' if denied else ""
    worker = start(folders.files(WORK, f'path = "data"\nmode = "read"{deny}'), level)
    worker.run(SECRET_LINKS)
    if denied:
        with pytest.raises(Raised):
            worker.value(READS[read])
    else:  # The control.
        worker.value(READS[read])
    assert worker.value("open('ROOT/nb/desk/link/file').read()") == "data"


def test_a_link_does_not_make_a_file_under_a_protected_name(
    folders: World, start: Start, level: Level
) -> None:
    """The name of a policy file that does not exist yet, by a dangling link in the same place."""
    rules = "\n[[refuse.files]]\npath = '{}'\nmode = 'write'\nreason = 'protected'\n"
    for name, made in (("nb/desk/protected", False), ("outside/elsewhere", True)):
        text = '[[given.files]]\nreason = "test"\n' + WORK + rules.format(f"{folders.base}/{name}")
        worker = start(folders.rights(text), level)
        (folders.nb / "desk" / "dangling").unlink(missing_ok=True)
        (folders.nb / "desk" / "dangling").symlink_to("protected")
        worker.begin(folders.rights(text))
        with contextlib.suppress(Raised):  # Refused at once, or when the cell ends.
            worker.run("open('ROOT/nb/desk/dangling', 'w').close()")
        worker.end()
        # The control: where another name is protected, it is made.
        assert (folders.nb / "desk" / "protected").exists() is made
