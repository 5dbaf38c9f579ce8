"""Of which names it is told that they lead elsewhere."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox_kernel.trusted.doors import _sys_inotify as inotify
from sandbox_kernel.trusted.doors.watch import NameWatch


def told(folder: Path, act: Callable[[Path], object]) -> set[str]:
    """What `act` tells who watches the file `kept` and the file `b/other`."""
    (folder / "kept").write_text("old")
    (folder / "b").mkdir()

    async def run() -> set[str]:
        changed: set[str] = set()
        watch = NameWatch(changed.update)
        watch.watch([str(folder / "gone"), str(folder / "missing" / "x")])
        watch.watch([str(folder / "kept"), str(folder / "b" / "other")])
        act(folder)
        (folder / "last").touch()
        watch._arrived()
        watch.close()
        return {str(Path(path).relative_to(folder)) for path in changed}

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("kept", lambda folder: (folder / "kept").unlink()),
        ("kept", lambda folder: (folder / "kept").rename(folder / "moved")),
        ("kept", lambda folder: os.replace(_made(folder / "new"), folder / "kept")),
        ("b/other", lambda folder: (folder / "b" / "other").touch()),
    ],
)
def test_a_name_that_leads_elsewhere(
    tmp_path: Path, name: str, act: Callable[[Path], object]
) -> None:
    assert told(tmp_path, act) == {name}


@pytest.mark.parametrize(
    "act",
    [
        lambda folder: (folder / "kept").write_text("new"),
        lambda folder: (folder / "other").touch(),
        lambda folder: (folder / "b" / "kept").touch(),
        lambda folder: _made(folder / "gone"),
    ],
)
def test_other_names_and_what_stands_in_a_file(
    tmp_path: Path, act: Callable[[Path], object]
) -> None:
    assert not told(tmp_path, act)


def test_what_the_kernel_could_not_keep_may_be_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [[(-1, inotify.IN_Q_OVERFLOW, "")], []]
    monkeypatch.setattr(inotify, "read", lambda descriptor: events.pop(0))
    assert told(tmp_path, lambda folder: None) == {"kept", "b/other"}


def test_a_folder_that_was_replaced_is_watched_again(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    async def run() -> set[str]:
        changed: set[str] = set()
        watch = NameWatch(changed.update)
        watch.watch([str(folder / "kept")])
        folder.rename(tmp_path / "old")
        folder.mkdir()
        watch.watch([str(folder / "kept")])
        (tmp_path / "old" / "kept").touch()
        watch._arrived()
        assert not changed
        (folder / "kept").touch()
        watch._arrived()
        watch.close()
        return changed

    assert asyncio.run(run()) == {str(folder / "kept")}


def _made(path: Path) -> Path:
    path.touch()
    return path
