"""Which mounts a set of rights means, on a file system that is a table."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from sandbox_kernel.policy.kinds.files import FileEntry
from sandbox_kernel.policy.kinds.paths import PathPattern, pattern
from sandbox_kernel.trusted.doors.mount_items import (
    Bind,
    Granted,
    Item,
    Link,
    Listed,
    Skeleton,
    Stage,
)
from sandbox_kernel.trusted.doors.mount_table import plan, writable_points
from sandbox_kernel.trusted.doors.resolve import Place
from sandbox_kernel.trusted.doors.staged_review import Mode


class Tree:
    """A host whose files are the given paths; a path with a `/` at its end is a directory."""

    def __init__(self, *paths: str) -> None:
        self.kinds = {"/": "directory", "/nb": "directory"}
        for path in paths:
            whole = path.rstrip("/")
            self.kinds[whole] = "directory" if path.endswith("/") else "file"
            while (whole := os.path.dirname(whole)) != "/":
                self.kinds.setdefault(whole, "directory")

    def entries(self, directory: str) -> Iterable[Listed]:
        found = [p for p in self.kinds if p != "/" and os.path.dirname(p) == directory]
        return [Listed(os.path.basename(p), self.kinds[p], 1, hash(p)) for p in sorted(found)]

    def look(self, path: str) -> Place | None:
        kind = self.kinds.get(path)
        if kind is None:
            return None
        return Place(path, path, "file" if kind == "file" else "directory", 1, hash(path))

    def mounts_below(self, path: str) -> tuple[int, ...]:
        return ()


def place(path: str, written: str) -> PathPattern:
    return pattern(written, "/nb", "/home", lambda same: same)


def granted(host: Tree, path: str, mode: str, **more: object) -> Granted:
    where = host.look(path) or Place(path, path, "missing")
    deny = tuple(place("", d) for d in more.pop("deny", ()))  # type: ignore[attr-defined]
    guard = tuple(place("", d) for d in more.pop("read_only", ()))  # type: ignore[attr-defined]
    entry = FileEntry((place("", path),), mode, deny, guard, **more)  # type: ignore[arg-type]
    return Granted(entry, where)


def shapes(items: tuple[Item, ...]) -> list[tuple[str, str]]:
    return [(type(item).__name__, item.destination) for item in items]


def test_a_directory_and_a_file_are_bound() -> None:
    host = Tree("/nb/data/x", "/nb/a.txt")
    items = plan([granted(host, "/nb/data", "read"), granted(host, "/nb/a.txt", "read")], host)
    assert [(i.destination, i.directory, i.writable) for i in items if isinstance(i, Bind)] == [
        ("/nb/a.txt", False, False),
        ("/nb/data", True, False),
    ]


def test_what_a_wider_grant_shows_is_not_mounted_again() -> None:
    host = Tree("/nb/data/x")
    both = [granted(host, "/nb/data", "read"), granted(host, "/nb/data/x", "read")]
    assert shapes(plan(both, host)) == [("Bind", "/nb/data")]
    twice = [granted(host, "/nb/data", "read"), granted(host, "/nb/data", "read")]
    assert shapes(plan(twice, host)) == [("Bind", "/nb/data")]
    writes = [granted(host, "/nb/data", "write"), granted(host, "/nb/data", "write")]
    assert shapes(plan(writes, host)) == [("Bind", "/nb/data")]


def test_a_deny_makes_a_skeleton_of_the_rest() -> None:
    host = Tree("/nb/d/a", "/nb/d/secret", "/nb/d/e/b", "/nb/d/e/secret", "/nb/d/f/c")
    one = granted(host, "/nb/d", "read", deny=["/nb/d/secret", "/nb/d/e/secret"])
    assert shapes(plan([one], host)) == [
        ("Skeleton", "/nb/d"),
        ("Bind", "/nb/d/a"),
        ("Folder", "/nb/d/e"),
        ("Bind", "/nb/d/e/b"),
        ("Bind", "/nb/d/f"),
    ]


def test_a_deny_of_one_line_closes_the_place_for_another() -> None:
    host = Tree("/nb/d/a", "/nb/d/secret")
    lines = [
        granted(host, "/nb/d", "read", deny=["/nb/d/secret"]),
        granted(host, "/nb/d/secret", "read"),
    ]
    assert ("Bind", "/nb/d/secret") not in shapes(plan(lines, host))


def test_names_in_another_case_are_denied_too() -> None:
    host = Tree("/nb/d/Secret", "/nb/d/a")
    items = plan([granted(host, "/nb/d", "read", deny=["/nb/d/secret"])], host)
    assert ("Bind", "/nb/d/Secret") not in shapes(items)


def test_a_plain_write_grant_is_live_and_guards_what_is_directly_in_it() -> None:
    host = Tree("/nb/case.ipynb", "/nb/x")
    one = granted(host, "/nb", "write", read_only=["/nb/case.ipynb"])
    items = plan([one], host)
    assert [(i.destination, i.writable) for i in items if isinstance(i, Bind)] == [
        ("/nb", True),
        ("/nb/case.ipynb", False),
    ]


@pytest.mark.parametrize(
    "guarded", ["/nb/sub/policy.toml", "/nb/missing.toml", "/nb/*.toml", "/nb/sub"]
)
def test_what_a_mount_cannot_guard_is_staged(guarded: str) -> None:
    """A directory above a mount point can be renamed; a missing name can be made."""
    host = Tree("/nb/sub/policy.toml")
    items = plan([granted(host, "/nb", "write", read_only=[guarded])], host)
    assert [type(item) for item in items] == [Stage]


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        ("create", {}),
        ("append", {}),
        ("write", {"max_bytes": 10}),
        ("write", {"max_count": 1}),
        ("write", {"deny": ["/nb/d/secret"]}),
    ],
)
def test_what_plain_mounts_cannot_say_is_staged(mode: str, more: dict[str, object]) -> None:
    host = Tree("/nb/d/a", "/nb/d/secret")
    (stage,) = plan([granted(host, "/nb/d", mode, **more)], host)
    assert isinstance(stage, Stage)
    assert stage.visible
    assert stage.rules[0].mode is Mode(mode)
    assert stage.masks == ((("secret", False),) if "deny" in more else ())


def test_a_denied_name_is_masked_before_it_exists() -> None:
    host = Tree("/nb/d/a")
    (stage,) = plan([granted(host, "/nb/d", "write", deny=["/nb/d/later"])], host)
    assert isinstance(stage, Stage)
    assert stage.masks == (("later", False),)


def test_a_name_that_two_denials_close_is_masked_once() -> None:
    host = Tree("/nb/d/closed/", "/nb/d/closed/in/", "/nb/d/.env")
    deny = ["/nb/d/closed", "/nb/d/closed/in", "/nb/d/**/.env", "/nb/d/clos*"]
    (stage,) = plan([granted(host, "/nb/d", "write", deny=deny)], host)
    assert isinstance(stage, Stage)
    assert stage.masks == ((".env", False), ("closed", True))


def test_a_missing_file_is_staged_where_its_folder_would_be() -> None:
    host = Tree("/nb/other")
    (stage,) = plan([granted(host, "/nb/out/result.csv", "create")], host)
    assert isinstance(stage, Stage)
    assert (stage.destination, stage.visible) == ("/nb", False)
    assert [rule.path for rule in stage.rules] == ["out/result.csv"]


def test_a_missing_file_to_read_is_nothing() -> None:
    host = Tree()
    assert plan([granted(host, "/nb/none", "read")], host) == ()


def test_single_writable_files_are_copied_and_leave_room_for_other_places() -> None:
    host = Tree("/nb/a.txt", "/nb/data/x", "/nb/b.txt")
    items = plan(
        [
            granted(host, "/nb/a.txt", "write"),
            granted(host, "/nb/data", "read"),
            granted(host, "/nb/b.txt", "read"),
        ],
        host,
    )
    assert shapes(items) == [("Stage", "/nb"), ("Bind", "/nb/b.txt"), ("Bind", "/nb/data")]
    stage = items[0]
    assert isinstance(stage, Stage)
    assert [seed.path for seed in stage.seeds] == ["a.txt"]
    assert stage.points == (("b.txt", False), ("data", True))


def test_a_file_that_two_lines_let_be_written_is_copied_once() -> None:
    host = Tree("/nb/a.txt")
    (stage,) = plan([granted(host, "/nb/a.txt", mode) for mode in ("write", "append")], host)
    assert isinstance(stage, Stage)
    assert [seed.path for seed in stage.seeds] == ["a.txt"]
    assert len(stage.rules) == 2


def test_staged_places_inside_a_visible_one_are_one() -> None:
    host = Tree("/nb/d/log", "/nb/d/x")
    lines = [granted(host, "/nb/d", "create"), granted(host, "/nb/d/log", "append")]
    (stage,) = plan(lines, host)
    assert isinstance(stage, Stage)
    assert [(rule.path, rule.mode.value) for rule in stage.rules] == [
        ("", "create"),
        ("log", "append"),
    ]


def test_a_place_that_is_spelled_through_a_link_gets_the_link(tmp_path: os.PathLike[str]) -> None:
    base = os.path.realpath(tmp_path)
    os.mkdir(f"{base}/real")
    os.symlink("real", f"{base}/link")
    host = Tree(f"{base}/real/")
    entry = FileEntry((place("", f"{base}/link"),), "read")
    where = Place(f"{base}/link", f"{base}/real", "directory", 1, 2)
    items = plan([Granted(entry, where)], host)
    assert Link(f"{base}/link", f"{base}/real") in items
    assert ("Bind", f"{base}/real") in shapes(items)


def test_skeletons_have_a_place_of_their_own() -> None:
    host = Tree("/nb/d/secret")
    items = plan([granted(host, "/nb/d", "read", deny=["/nb/d/secret"])], host)
    assert items == (Skeleton("/nb/d"),)


def test_writable_points_are_known_before_anything_is_granted() -> None:
    host = Tree("/nb/d/x")
    places = [Place("/nb/d", "/nb/d", "directory"), Place("/nb/new/y", "/nb/new/y", "missing")]
    assert writable_points(places, host) == ("/nb", "/nb/d", "/nb/new/y")
