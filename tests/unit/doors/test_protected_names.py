"""When it is looked for who can change what is protected by now."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

import pytest

from sandbox_kernel.policy.kinds.paths import literal
from sandbox_kernel.trusted.doors import holders
from sandbox_kernel.trusted.doors.file_rights import FileRights
from sandbox_kernel.trusted.doors.holders import Holders
from sandbox_kernel.trusted.doors.mount_items import Bind, Item
from sandbox_kernel.trusted.doors.protected_names import Identity, ProtectedNames

WORKER = 7
WRITE: tuple[Item, ...] = (Bind("/elsewhere", "/elsewhere", 1, 2, True, writable=True),)
NOTHING: tuple[Item, ...] = ()


class Table:
    """A notebook, the names that follow it, and what was looked for."""

    def __init__(self, folder: Path) -> None:
        self.notebook = folder / "case.ipynb"
        self.notebook.write_text("{}")
        self.names = ProtectedNames(lambda seconds: None)
        self.looked: list[str] = []
        self.kept: list[Collection[int] | None] = []

    def end_holders(
        self, worker: int, look: Callable[[list[int]], Holders], wait: Callable[[float], None]
    ) -> Holders:
        assert worker == WORKER
        look([])
        return Holders({9: "why"})

    def find_changers(
        self,
        pids: list[int],
        files: Mapping[Identity, str],
        kept_by: Collection[int] | None,
    ) -> Holders:
        self.looked += files.values()
        self.kept.append(kept_by)
        return Holders()

    def follow(self, items: tuple[Item, ...], *, changed: Collection[str] = ()) -> bool:
        """Whether it was looked for who can change the notebook."""
        self.looked.clear()
        protected = literal(str(self.notebook), lambda same: same)
        rights = FileRights(read_only=(protected,)) if items else FileRights()
        taken = self.names.follow(
            rights, items, WORKER, changed=changed, kept_by=lambda names: {len(names)}
        )
        assert taken.killed == (("why",) if self.looked else ())
        assert self.looked in ([], [str(self.notebook)])
        return bool(self.looked)

    def save(self) -> None:
        """Write another file and give it the notebook's name."""
        new = self.notebook.with_name("new")
        new.write_text("new")
        os.replace(new, self.notebook)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Table:
    made = Table(tmp_path)
    monkeypatch.setattr(holders, "end_holders", made.end_holders)
    monkeypatch.setattr(holders, "find_changers", made.find_changers)
    return made


def test_nobody_is_looked_for_before_cells_could_write(table: Table) -> None:
    assert not table.follow(NOTHING)
    table.save()
    assert not table.follow(WRITE)
    assert table.names.watched == (str(table.notebook),)
    assert not table.follow(WRITE)


def test_another_file_under_the_name_and_a_moment_without_it(table: Table) -> None:
    table.follow(WRITE)
    table.save()
    assert table.follow(WRITE)
    assert table.kept == [{1}]
    assert not table.follow(WRITE)
    assert table.follow(WRITE, changed=[str(table.notebook)])
    table.notebook.unlink()
    assert not table.follow(WRITE)
    table.notebook.write_text("again")
    assert table.follow(WRITE)


def test_what_was_open_stays_open_when_nothing_is_granted_any_more(table: Table) -> None:
    table.follow(WRITE)
    assert not table.follow(NOTHING)
    assert table.names.watched == (str(table.notebook),)
    table.save()
    assert table.follow(NOTHING)


def test_no_cell_gave_another_name_to_what_had_one_when_it_came(table: Table) -> None:
    table.follow(WRITE)
    first = table.names.single[str(table.notebook)]
    os.link(table.notebook, table.notebook.with_name("backup"))
    table.follow(WRITE)
    assert table.names.single[str(table.notebook)] == first
    new = table.notebook.with_name("new")
    new.write_text("new")
    os.link(new, table.notebook.with_name("of a cell"))
    os.replace(new, table.notebook)
    assert table.follow(WRITE)
    assert table.names.single[str(table.notebook)] == first
    assert not table.follow(WRITE)
    assert table.names.single[str(table.notebook)] == first
