"""Fixtures, placeholders, the overlay of policies, needs, questions."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.cases import needs
from tests.cases.model import Step
from tests.cases.overlay import dump_toml, merge, overlay
from tests.cases.placeholders import fill, kernel_names
from tests.cases.play import event_kinds
from tests.cases.questions import Questions
from tests.cases.world import (
    Snapshot,
    check_paths,
    lay_down,
    notebook_document,
    notebook_path,
)

# ---- placeholders ----------------------------------------------------------------------------


def test_placeholders_are_replaced_in_every_string() -> None:
    names = {"WORLD": "/w", "web.port": "81"} | kernel_names([1, 2], "/run/k.json")
    value = {"${WORLD}/x": ["port ${web.port}", {"deep": "${KERNEL.ports}"}], "n": 3}
    assert fill(value, names) == {"/w/x": ["port 81", {"deep": "[1, 2]"}], "n": 3}
    assert fill("${KERNEL.connection_file}", names) == "/run/k.json"


def test_what_is_no_placeholder_of_the_format_stays() -> None:
    assert fill("$x ${x} ${later.port}", {"WORLD": "/w"}) == "$x ${x} ${later.port}"


# ---- the overlay -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("below", "above", "result"),
    [
        ({"a": 1}, {"a": 2}, {"a": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": [1]}, {"a": [2]}, {"a": [1, 2]}),
        ({}, {"a": [1]}, {"a": [1]}),
        ({"a": [1]}, {}, {"a": [1]}),
        ({"a": "x"}, {"a": ["y"]}, {"a": ["y"]}),
    ],
)
def test_overlay_rules(below: Any, above: Any, result: Any) -> None:
    assert merge(below, above) == result


def test_a_case_lies_over_default_or_over_what_it_extends(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text('language = "restricted"\n[limits]\ncpu_time = "60 s"\n')
    (tmp_path / "grading.toml").write_text('extends = "locked-down"\nlanguage = "restricted"\n')
    policy = {"language": "full", "limits": {"memory": "1 GB"}}
    assert overlay(policy, tmp_path) == {
        "language": "full",
        "limits": {"cpu_time": "60 s", "memory": "1 GB"},
    }
    above_grading = overlay({"extends": "grading", "language": "full"}, tmp_path)
    assert above_grading == {"extends": "locked-down", "language": "full"}


def test_a_policy_survives_being_written_as_toml() -> None:
    policy = {
        "version": 1,
        "language": "full",
        "given": {
            "modules": [{"names": ["json"], "reason": 'a "quoted"\n\\ reason'}, "pandas"],
            "files": [{"path": "däta", "mode": "read", "deny": []}],
            "environment": [],
        },
        "processes": {"spawn": True},
        "limits": {"memory": "1 GB", "max": {"odd key": 1.5}, "none": {}},
        "text": "\x00\x1b\x7f",
    }
    assert tomllib.loads(dump_toml(policy)) == policy


# ---- fixtures --------------------------------------------------------------------------------

FIXTURES = [
    {"path": "nb/deep/text.txt", "text": "größe"},
    {"path": "outside/bytes.bin", "hex": "00ff"},
    {"path": "outside/big.bin", "size": 10**12},
    {"path": "outside/folder", "dir": True},
    {"path": "nb/link", "symlink": "../outside/nowhere"},
    {"path": "nb/same.bin", "hardlink": "outside/bytes.bin"},
]


@pytest.fixture
def world(tmp_path: Path) -> Path:
    lay_down(tmp_path, FIXTURES)
    return tmp_path


def test_fixtures_of_every_kind(world: Path) -> None:
    assert (world / "home").is_dir()
    assert (world / "nb/deep/text.txt").read_text(encoding="utf-8") == "größe"
    assert (world / "outside/bytes.bin").read_bytes() == b"\x00\xff"
    assert (world / "outside/big.bin").stat().st_size == 10**12
    assert (world / "outside/big.bin").stat().st_blocks == 0
    assert (world / "outside/folder").is_dir()
    assert os.readlink(world / "nb/link") == "../outside/nowhere"
    assert (world / "nb/same.bin").samefile(world / "outside/bytes.bin")


def test_a_fixture_stays_in_the_world(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not inside"):
        lay_down(tmp_path / "world", [{"path": "../escaped.txt", "text": ""}])


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ("nb/deep/text.txt", lambda path: path.write_text("other")),
        ("outside/bytes.bin", lambda path: path.unlink()),
        ("outside/big.bin", lambda path: os.truncate(path, 5)),
        ("outside/folder", lambda path: (path / "new").touch()),
        ("nb/link", lambda path: (path.unlink(), path.symlink_to("elsewhere"))),
        ("not/there", lambda path: (path.parent.mkdir(), path.touch())),
    ],
)
def test_unchanged_sees_a_change(world: Path, path: str, change: Any) -> None:
    after = {"unchanged": [path]}
    snapshot = Snapshot.take(world, [path])
    assert check_paths(world, after, snapshot) == []
    change(world / path)
    assert check_paths(world, after, snapshot) != []


def test_unchanged_shows_nothing_when_no_kernel_ran(world: Path) -> None:
    assert check_paths(world, {"unchanged": ["nb"]}, None) != []


def test_absent_counts_a_dangling_link_as_there(world: Path) -> None:
    assert check_paths(world, {"absent": ["nb/link"]}, None) != []
    assert check_paths(world, {"absent": ["nb/nothing"]}, None) == []


def test_present(world: Path) -> None:
    assert check_paths(world, {"present": ["outside/folder"]}, None) == []
    assert check_paths(world, {"present": ["nb/nothing"]}, None) != []


def test_another_kernel_has_its_own_notebook_in_the_same_folder() -> None:
    assert notebook_path("nb/sub/case.ipynb", "a") == "nb/sub/case.ipynb"
    other = notebook_path("nb/sub/case.ipynb", "b")
    assert other != "nb/sub/case.ipynb"
    assert Path(other).parent == Path("nb/sub")


def test_the_notebook_holds_what_the_case_asks_for() -> None:
    cell = Step("cell", "x = 1", {"tags": ["parameters"], "metadata": {"files": []}})
    document = notebook_document([Step("host", "pass", {}), cell], {"modules": ["os"]})
    assert document["metadata"]["sandbox"] == {"modules": ["os"]}
    (written,) = document["cells"]
    assert written["metadata"] == {"tags": ["parameters"], "sandbox": {"files": []}}
    assert "sandbox" not in notebook_document([cell], None)["metadata"]
    assert notebook_document([cell], {"sockets": None})["metadata"]["sandbox"]["sockets"] is None


# ---- needs -----------------------------------------------------------------------------------


def test_a_library_is_needed_or_must_be_away() -> None:
    assert needs.unmet("json") is None
    assert needs.unmet("no_json") is not None
    assert needs.unmet("there_is_no_such_library") is not None
    assert needs.unmet("no_there_is_no_such_library") is None


def test_a_machine_may_be_lost_only_when_it_is_said() -> None:
    assert needs.unmet("throwaway") is not None
    assert needs.unmet("throwaway", throwaway=True) is None
    assert needs.unmet("manual", throwaway=True) is not None


def test_unprivileged_is_told_by_the_user_who_runs_the_cases() -> None:
    assert (needs.unmet("unprivileged") is None) == (os.geteuid() != 0)


def test_every_probe_gives_an_answer() -> None:
    for name in needs.PROBES:
        why = needs.unmet(name)
        assert why is None or why


# ---- questions and events --------------------------------------------------------------------

PERMISSION = "read data/x.csv? once / session / always / no / no to all: "


def test_an_armed_answer_goes_to_its_kind_of_question() -> None:
    questions = Questions()
    questions.answers.append("session")
    questions.inputs.append("Ann")
    assert questions.answer("name? ", False) == "Ann"
    assert questions.answer(PERMISSION, False) == "session"
    assert questions.take_unexpected() == []


def test_a_question_for_which_nothing_is_armed_is_told_once() -> None:
    questions = Questions()
    questions.inputs.append("Ann")
    questions.answer(PERMISSION, False)
    assert len(questions.take_unexpected()) == 1
    assert questions.take_unexpected() == []
    assert list(questions.inputs) == ["Ann"]


@pytest.mark.parametrize(
    "shown",
    [
        {"kind": "denied"},
        [{"event": "denied", "path": "x"}],
        {"records": [{"decision": "denied"}]},
    ],
)
def test_kinds_of_events_are_found_where_they_stand(shown: Mapping[str, Any]) -> None:
    assert event_kinds(shown) == {"denied"}


def test_a_word_in_a_text_is_no_event() -> None:
    assert event_kinds({"text": "denied", "path": "denied"}) == set()


def test_modules_of_the_runner_need_nothing_of_the_product() -> None:
    """The cases judge the product: they may not rest on its code. Only the launcher starts it."""
    folder = Path(needs.__file__).parent
    users = {
        path.name
        for path in folder.glob("*.py")
        if "from sandbox_kernel" in path.read_text(encoding="utf-8")
    }
    assert users == {"launch.py"}
