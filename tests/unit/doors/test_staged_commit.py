"""A reviewed private layer reaches the host whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox_kernel.trusted.doors.staged_commit import Outcome, commit
from sandbox_kernel.trusted.doors.staged_review import Act, Change, Mode, StageRule, review
from sandbox_kernel.trusted.doors.staged_tree import listings


class Sides:
    """A private layer and a host directory, without an overlay between them."""

    def __init__(self, base: Path) -> None:
        self.upper, self.lower = base / "upper", base / "lower"
        self.upper.mkdir()
        self.lower.mkdir()

    def run(self, mode: str, *, max_bytes: int | None = None) -> Outcome:
        upper, lower = os.open(self.upper, os.O_RDONLY), os.open(self.lower, os.O_RDONLY)
        try:
            below, above = listings(upper, lower)
            outcome = review(below, above, [StageRule("", True, Mode(mode), max_bytes)])
            done = commit(outcome.changes, upper, lower)
            return Outcome(done.committed, outcome.refused + done.refused)
        finally:
            os.close(upper)
            os.close(lower)


@pytest.fixture
def sides(tmp_path: Path) -> Sides:
    return Sides(tmp_path)


def test_new_files_and_directories_arrive(sides: Sides) -> None:
    (sides.upper / "d").mkdir()
    (sides.upper / "d" / "a").write_text("A")
    outcome = sides.run("create")
    assert (sides.lower / "d" / "a").read_text() == "A"
    assert outcome.refused == ()


def test_create_leaves_an_old_file_alone(sides: Sides) -> None:
    (sides.lower / "a").write_text("old")
    (sides.upper / "a").write_text("new")
    assert [r.code for r in sides.run("create").refused] == ["exists"]
    assert (sides.lower / "a").read_text() == "old"


def test_create_does_not_overwrite_what_appeared_since_the_review(sides: Sides) -> None:
    (sides.upper / "a").write_text("mine")
    upper, lower = os.open(sides.upper, os.O_RDONLY), os.open(sides.lower, os.O_RDONLY)
    (sides.lower / "a").write_text("theirs")
    outcome = commit((Change(Act.CREATE, "a", 4),), upper, lower)
    os.close(upper)
    os.close(lower)
    assert [r.code for r in outcome.refused] == ["host"]
    assert (sides.lower / "a").read_text() == "theirs"
    assert os.listdir(sides.lower) == ["a"]


def test_append_keeps_the_old_content_even_when_the_copy_changes_late(sides: Sides) -> None:
    (sides.lower / "log").write_text("one\n")
    (sides.upper / "log").write_text("one\ntwo\n")
    upper, lower = os.open(sides.upper, os.O_RDONLY), os.open(sides.lower, os.O_RDONLY)
    below, above = listings(upper, lower)
    changes = review(below, above, [StageRule("", True, Mode.APPEND)]).changes
    (sides.upper / "log").write_text("EVIL")
    with open(sides.upper / "log", "a") as file:
        file.write("two\nmore\n")
    outcome = commit(changes, upper, lower)
    os.close(upper)
    os.close(lower)
    assert outcome.refused == ()
    assert (sides.lower / "log").read_text() == "one\ntwo\n"


def test_append_refuses_a_file_that_the_host_changed_meanwhile(sides: Sides) -> None:
    (sides.lower / "log").write_text("one\n")
    (sides.upper / "log").write_text("one\ntwo\n")
    upper, lower = os.open(sides.upper, os.O_RDONLY), os.open(sides.lower, os.O_RDONLY)
    below, above = listings(upper, lower)
    changes = review(below, above, [StageRule("", True, Mode.APPEND)]).changes
    with open(sides.lower / "log", "a") as file:
        file.write("from the host\n")
    outcome = commit(changes, upper, lower)
    os.close(upper)
    os.close(lower)
    assert [r.code for r in outcome.refused] == ["host"]
    assert (sides.lower / "log").read_text() == "one\nfrom the host\n"


def test_append_refuses_a_rewritten_file(sides: Sides) -> None:
    (sides.lower / "log").write_text("one\n")
    (sides.upper / "log").write_text("ONE\ntwo\n")
    assert [r.code for r in sides.run("append").refused] == ["rewritten"]
    assert (sides.lower / "log").read_text() == "one\n"


def test_write_replaces_and_keeps_the_hosts_bits(sides: Sides) -> None:
    (sides.lower / "a").write_text("old")
    (sides.lower / "a").chmod(0o640)
    (sides.upper / "a").write_text("new!")
    (sides.upper / "a").chmod(0o4777)
    assert sides.run("write").refused == ()
    assert (sides.lower / "a").read_text() == "new!"
    assert (sides.lower / "a").stat().st_mode & 0o7777 == 0o640


def test_set_user_id_bits_never_arrive(sides: Sides) -> None:
    (sides.upper / "a").write_text("x")
    (sides.upper / "a").chmod(0o6755)
    sides.run("create")
    assert (sides.lower / "a").stat().st_mode & 0o7777 == 0o755


def test_a_link_on_the_host_does_not_lead_a_commit_out(sides: Sides, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (sides.upper / "d").mkdir()
    (sides.upper / "d" / "a").write_text("x")
    (sides.lower / "d").symlink_to(outside)
    outcome = sides.run("create")
    assert outcome.refused
    assert os.listdir(outside) == []


def test_an_unreadable_private_file_is_still_reviewed(sides: Sides) -> None:
    (sides.upper / "a").write_text("x")
    (sides.upper / "a").chmod(0)
    assert sides.run("create").refused == ()
    assert (sides.lower / "a").read_text() == "x"


def test_pipes_and_links_of_the_worker_do_not_arrive(sides: Sides) -> None:
    os.mkfifo(sides.upper / "pipe")
    (sides.upper / "link").symlink_to("/etc/passwd")
    assert {r.path: r.code for r in sides.run("create").refused} == {
        "pipe": "special",
        "link": "symlink",
    }
    assert os.listdir(sides.lower) == []


def test_a_link_made_under_write_stays_a_link(sides: Sides) -> None:
    (sides.upper / "link").symlink_to("/etc/passwd")
    sides.run("write")
    assert os.readlink(sides.lower / "link") == "/etc/passwd"


def test_bytes_over_the_meter_do_not_arrive(sides: Sides) -> None:
    (sides.upper / "a").write_bytes(b"x" * 10)
    (sides.upper / "b").write_bytes(b"x" * 10)
    outcome = sides.run("create", max_bytes=15)
    assert [r.code for r in outcome.refused] == ["max_bytes"]
    assert os.listdir(sides.lower) == ["a"]
