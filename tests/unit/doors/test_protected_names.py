"""When it is looked for who can change what is protected by now."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox_kernel.trusted.doors import holders
from sandbox_kernel.trusted.doors.holders import Holders
from sandbox_kernel.trusted.doors.mount_items import Bind, Item
from sandbox_kernel.trusted.doors.protected_names import ProtectedNames

WORKER = 7


def live(*kept: int) -> tuple[Item, ...]:
    """A place for writing with one protected file, of this inode, or none."""
    place = Bind("/nb", "/nb", 1, 2, True, writable=True)
    return place, *(Bind("/nb/case.ipynb", "/nb/case.ipynb", 1, inode, False) for inode in kept)


READ = (Bind("/nb", "/nb", 1, 2, True),)


@pytest.mark.parametrize(
    ("before", "now", "looks"),
    [
        ([], live(3), False),
        ([live(3)], live(3), False),
        ([READ], live(3), False),
        ([live(3)], READ, False),
        ([live(3)], live(4), True),
        ([live()], live(3), True),
        ([live(3), live()], live(3), False),
        ([live(3), live()], live(4), True),
        ([live(3), READ, ()], live(4), True),
    ],
)
def test_who_could_write_before_a_file_had_a_protected_name_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
    before: list[tuple[Item, ...]],
    now: tuple[Item, ...],
    looks: bool,
) -> None:
    looked: list[int] = []

    def end_holders(
        worker: int,
        look: Callable[[list[int]], Holders],
        wait: Callable[[float], None],
    ) -> Holders:
        looked.append(worker)
        return Holders({9: "why"})

    monkeypatch.setattr(holders, "end_holders", end_holders)
    told: list[tuple[str, str]] = []
    names = ProtectedNames(lambda name, why: told.append((name, why)), lambda seconds: None)
    for items in before:
        names.follow(items, WORKER)
    looked.clear()
    told.clear()
    taken = names.follow(now, WORKER)
    assert looked == [WORKER] * looks
    assert taken.killed == ("why",) * looks
    assert [name for name, _ in told] == ["/nb/case.ipynb"] * looks
