"""What a cell stages costs the trusted side no more than the room it has: bytes, time, listings.

Each test shows that the attack works where the bound is not.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox_kernel.trusted.doors import layer_views, private_layer
from sandbox_kernel.trusted.doors.mount_items import Stage
from sandbox_kernel.trusted.doors.private_layer import PrivateLayer
from sandbox_kernel.trusted.doors.staged_places import commit_stage
from sandbox_kernel.trusted.doors.staged_review import (
    Kind,
    LowerEntry,
    Mode,
    StageRule,
    UpperEntry,
    nothing_denied,
    review,
)

WRITE = StageRule("", True, Mode.WRITE)


def stage(place: Path, mode: str = "write", max_bytes: int | None = None) -> Stage:
    found = place.stat()
    rule = StageRule("", True, Mode(mode), max_bytes)
    return Stage(str(place), found.st_dev, found.st_ino, True, (rule,))


@pytest.fixture
def sides(tmp_path: Path) -> tuple[Path, Path]:
    upper, lower = tmp_path / "upper", tmp_path / "lower"
    upper.mkdir()
    lower.mkdir()
    return upper, lower


@pytest.mark.parametrize(("room", "arrives"), [(1_000_000, False), (100_000_000, True)])
def test_a_hole_is_not_written_out_to_the_host(
    sides: tuple[Path, Path], room: int, arrives: bool
) -> None:
    upper, lower = sides
    with open(upper / "hole", "wb") as file:
        file.truncate(50_000_000)
    assert (upper / "hole").stat().st_blocks * 512 < room
    descriptor = os.open(upper, os.O_RDONLY)
    try:
        done = commit_stage(stage(lower), descriptor, {}, nothing_denied, room)
    finally:
        os.close(descriptor)
    assert (lower / "hole").exists() is arrives
    assert [refusal.code for refusal in done.refused] == ([] if arrives else ["room"])
    if arrives:  # The control: the host pays for what the layer never held.
        assert (lower / "hole").stat().st_blocks * 512 >= 50_000_000


def test_a_meter_of_its_own_comes_on_top_of_the_room(sides: tuple[Path, Path]) -> None:
    upper, lower = sides
    (upper / "file").write_bytes(b"x" * 3000)
    descriptor = os.open(upper, os.O_RDONLY)
    try:
        done = commit_stage(stage(lower, "create", 3000), descriptor, {}, nothing_denied, 0)
    finally:
        os.close(descriptor)
    assert done.refused == ()
    assert (lower / "file").stat().st_size == 3000


def test_small_files_share_the_room() -> None:
    upper = {name: UpperEntry(Kind.FILE, 40) for name in "abc"}
    outcome = review({}, upper, [WRITE], room=100)
    assert [change.path for change in outcome.changes] == ["a", "b"]
    assert [refusal.path for refusal in outcome.refused] == ["c"]


class Walked(dict[str, LowerEntry]):
    """A listing that counts how often somebody goes through all of it."""

    walks = 0

    def __iter__(self) -> Iterator[str]:
        self.walks += 1
        return super().__iter__()


@pytest.mark.parametrize("kind", [Kind.WHITEOUT, Kind.DIRECTORY])
def test_a_review_of_many_entries_goes_through_the_host_s_once(kind: Kind) -> None:
    paths = [f"d/{number}" for number in range(500)]
    lower = Walked({"d": LowerEntry(Kind.DIRECTORY)})
    lower.update({path: LowerEntry(Kind.FILE, 1) for path in paths})
    upper = {path: UpperEntry(kind) for path in paths}
    outcome = review(lower, upper, [WRITE])
    assert {change.path for change in outcome.changes} == set(paths)
    assert lower.walks == 1
    # The control: to look for what lies below each of them is to go through all for each.
    for path in paths:
        assert not [other for other in lower if other.startswith(path + "/")]
    assert lower.walks == 1 + len(paths)


def test_what_lies_below_a_removed_directory_goes_with_it_and_its_neighbours_stay() -> None:
    lower = {
        "d": LowerEntry(Kind.DIRECTORY),
        "d/a": LowerEntry(Kind.DIRECTORY),
        "d/a/b": LowerEntry(Kind.FILE),
        "d-e": LowerEntry(Kind.FILE),
        "d.f": LowerEntry(Kind.FILE),
        "d0": LowerEntry(Kind.FILE),
    }
    outcome = review(lower, {"d": UpperEntry(Kind.WHITEOUT)}, [WRITE])
    assert [change.path for change in outcome.changes] == ["d/a/b", "d/a", "d"]


# --- without namespaces ---------------------------------------------------------------------------


@pytest.fixture
def layer(sides: tuple[Path, Path], request: pytest.FixtureRequest) -> Iterator[PrivateLayer]:
    _, lower = sides
    made = PrivateLayer(stage(lower, "append"), os.open(lower, os.O_RDONLY))
    yield made
    made.close()


@pytest.mark.parametrize(("bound", "copied"), [(1_000_000, False), (100_000_000, True)])
def test_a_file_of_the_host_is_copied_only_into_the_room(
    sides: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, bound: int, copied: bool
) -> None:
    monkeypatch.setattr(private_layer, "STAGING_BYTES", bound)
    _, lower = sides
    for name in ("first", "second"):
        with open(lower / name, "wb") as file:
            file.truncate(600_000)
    made = PrivateLayer(stage(lower, "append"), os.open(lower, os.O_RDONLY))
    try:
        os.close(made.open("first", os.O_WRONLY | os.O_APPEND, 0))
        if copied:
            os.close(made.open("second", os.O_WRONLY | os.O_APPEND, 0))
        else:
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                made.open("second", os.O_WRONLY | os.O_APPEND, 0)
    finally:
        made.close()


def test_what_a_layer_takes_of_the_disk_is_counted(layer: PrivateLayer) -> None:
    assert layer.bytes() < 100_000
    layer._counted_at = -1.0
    descriptor = layer.open("new", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, b"x" * 1_000_000)
    os.close(descriptor)
    assert layer.bytes() >= 1_000_000


@pytest.mark.parametrize("most", [5, 1000])
def test_listings_of_directories_do_not_pile_up(
    layer: PrivateLayer, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(layer_views, "_MOST", most)
    for _ in range(40):
        os.close(layer.open("", os.O_RDONLY | os.O_DIRECTORY, 0))
    kept = len(os.listdir(f"{layer._base}/views"))
    assert kept == min(most, 40)
    layer.make_directory("d", 0o700)
    descriptor = layer.open("", os.O_RDONLY | os.O_DIRECTORY, 0)
    try:
        assert os.listdir(descriptor) == ["d"]
        view = os.readlink(f"/proc/self/fd/{descriptor}")
        assert layer.behind_view(f"{view}/d") == "d"
    finally:
        os.close(descriptor)
