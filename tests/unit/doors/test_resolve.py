"""What a spelled path means on the trusted side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox_kernel.trusted.doors.resolve import (
    Unresolvable,
    canonical,
    expand,
    open_place,
    printable,
    resolve,
    walk,
)


def test_a_link_is_followed_and_its_spelling_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("A")
    (tmp_path / "link").symlink_to("real")
    place = resolve("link/a", str(tmp_path))
    assert place.spelled == str(tmp_path / "link" / "a")
    assert place.real == str(tmp_path / "real" / "a")
    assert (place.kind, place.inode) == ("file", (tmp_path / "real" / "a").stat().st_ino)


def test_dot_dot_after_a_link_is_taken_as_the_kernel_does(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "x").write_text("x")
    (tmp_path / "link").symlink_to("deep/er")
    assert resolve("link/../x", str(tmp_path)).real == str(tmp_path / "deep" / "x")


def test_a_missing_tail_is_kept(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    place = resolve("link/new/file", str(tmp_path))
    assert (place.kind, place.real) == ("missing", str(tmp_path / "new" / "file"))


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(Unresolvable) as caught:
        resolve("a", str(tmp_path))
    assert caught.value.code == "loop"
    with pytest.raises(OSError, match="symbolic links"):
        canonical(str(tmp_path / "a"))


def test_a_dangling_link_is_missing_at_its_target(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("nowhere")
    assert resolve("a", str(tmp_path)).real == str(tmp_path / "nowhere")


@pytest.mark.parametrize("make", [os.mkfifo])
def test_a_fifo_cannot_be_granted(tmp_path: Path, make: object) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Unresolvable) as caught:
        resolve("pipe", str(tmp_path))
    assert caught.value.code == "special"


def test_a_device_cannot_be_granted() -> None:
    with pytest.raises(Unresolvable) as caught:
        resolve("/dev/null", "/")
    assert caught.value.code == "special"


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(Unresolvable) as caught:
        resolve(path, "/")
    assert caught.value.code == "bad_path"


def test_bytes_that_are_not_utf8_survive(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9"
    with open(raw, "wb") as file:
        file.write(b"x")
    place = resolve(os.fsdecode(b"caf\xe9"), str(tmp_path))
    assert place.kind == "file"
    assert os.fsencode(place.real) == raw
    assert printable(place.real).endswith("caf\\xe9")


def test_what_was_resolved_is_what_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    place = resolve("a", str(tmp_path))
    descriptor = open_place(place)
    assert os.fstat(descriptor).st_ino == place.inode
    os.close(descriptor)
    (tmp_path / "b").write_text("2")
    os.replace(tmp_path / "b", tmp_path / "a")
    with pytest.raises(Unresolvable) as caught:
        open_place(place)
    assert caught.value.code == "moved"


def test_a_directory_swapped_for_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_text("1")
    place = resolve("d/a", str(tmp_path))
    os.rename(tmp_path / "d", tmp_path / "e")
    (tmp_path / "d").symlink_to("e")
    with pytest.raises(Unresolvable):
        open_place(place)


def test_patterns_match_in_order_and_do_not_enter_links(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv", "sub/c.csv", ".hidden.csv", "x.txt"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    (tmp_path / "loop").symlink_to(".")
    assert [p.real for p in expand("*.csv", str(tmp_path))] == [
        str(tmp_path / "a.csv"),
        str(tmp_path / "b.csv"),
    ]
    assert {p.real for p in expand("**/*.csv", str(tmp_path))} == {
        str(tmp_path / n) for n in ("a.csv", "b.csv", "sub/c.csv")
    }
    assert expand("*.none", str(tmp_path)) == ()


def test_a_walk_is_bounded_in_count_and_depth(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(".")
    deep = tmp_path
    for _ in range(6):
        deep = deep / "d"
        deep.mkdir()
    top = os.open(tmp_path, os.O_RDONLY)
    try:
        assert len(list(walk(top))) == 7
        with pytest.raises(Unresolvable, match="deeper"):
            list(walk(top, depth=4))
        with pytest.raises(Unresolvable, match="entries"):
            list(walk(top, most=3))
    finally:
        os.close(top)
