"""`sandbox-kernel policy …` and `sandbox-kernel ticket …`."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from sandbox_kernel.cli import policy as policy_command
from sandbox_kernel.cli import ticket as ticket_command
from sandbox_kernel.policy.schema import schema_text
from sandbox_kernel.trusted import policy_files
from tests.unit.policy.samples import POLICIES

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def own_jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Jupyter data folder of the test's own, and no other but the shipped policies."""
    folder = tmp_path / "share" / "sandbox-kernel" / "policies"
    folder.mkdir(parents=True)
    monkeypatch.setattr(policy_files, "jupyter_path", lambda: [str(tmp_path / "share")])
    return folder


def notebook(folder: Path, metadata: object) -> str:
    path = folder / "case.ipynb"
    path.write_text(
        json.dumps({"cells": [], "metadata": {"sandbox": metadata}, "nbformat": 4}),
        encoding="utf-8",
    )
    return str(path)


def test_explain_prints_each_right_with_its_line(tmp_path: Path, capsys: Captured) -> None:
    path = notebook(tmp_path, {"modules": ["torch"], "files": ["data"]})

    assert policy_command.main(["explain", path]) == 0

    told = capsys.readouterr().out
    assert "asked for in the notebook's metadata" in told
    assert "files read data: needs a person's yes" not in told
    assert "path data, mode read: needs a person's yes (default.toml:" in told
    assert "memory 4 GB (at most 64 GB on request)  [default.toml:" in told


def test_explain_speaks_json_too(tmp_path: Path, capsys: Captured) -> None:
    assert policy_command.main(["explain", notebook(tmp_path, None), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["policy"] == "default"
    assert all(right["line"].startswith("default.toml") for right in told["rights"])


def test_explain_of_malformed_metadata_says_so(tmp_path: Path, capsys: Captured) -> None:
    assert policy_command.main(["explain", notebook(tmp_path, {"filess": []})]) == 1

    assert "did you mean 'files'?" in capsys.readouterr().out


def test_a_notebook_chooses_only_a_policy_that_the_chosen_one_names(
    tmp_path: Path, capsys: Captured
) -> None:
    assert policy_command.main(["explain", notebook(tmp_path, {"policy": "locked-down"})]) == 0
    assert "Policy locked-down" in capsys.readouterr().out

    assert policy_command.main(["explain", notebook(tmp_path, {"policy": "data-science"})]) == 1
    captured = capsys.readouterr()
    assert "Policy default" in captured.out
    assert "lets notebooks choose locked-down, grading" in captured.err


def test_the_persons_own_default_stands_over_the_shipped_one(
    tmp_path: Path, own_jupyter: Path, capsys: Captured
) -> None:
    (own_jupyter / "default.toml").write_text(
        'version = 1\nextends = "default"\n[given]\nfiles = ["data"]\n'
    )

    assert policy_command.main(["explain", notebook(tmp_path, None)]) == 0

    told = capsys.readouterr().out
    assert "files read data  [default.toml:4]" in told
    assert "[shipped/default.toml:" in told


def test_a_file_that_is_no_notebook_is_told(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "x.ipynb").write_text("[" * 100_000)

    assert policy_command.main(["explain", str(tmp_path / "x.ipynb")]) == 1
    assert "not a notebook" in capsys.readouterr().err


def test_check_tells_every_mistake_with_its_line(tmp_path: Path, capsys: Captured) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("version = 1\n[gven]\n[limits]\nmemory = 4\n")

    assert policy_command.main(["check", str(bad)]) == 1
    assert "bad.toml:2: gven: unknown key; did you mean 'given'?" in capsys.readouterr().err

    assert policy_command.main(["check", *map(str, POLICIES.glob("*.toml"))]) == 0
    assert "default.toml: good" in capsys.readouterr().out


def test_check_of_what_is_not_there_or_no_text(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "latin.toml").write_bytes(b"version = 1 # \xff\n")

    assert policy_command.main(["check", str(tmp_path / "none.toml")]) == 1
    assert policy_command.main(["check", str(tmp_path / "latin.toml")]) == 1
    assert policy_command.main(["check", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert "there is no such file" in told
    assert "it is not UTF-8" in told


def test_schema_prints_the_shipped_one(capsys: Captured) -> None:
    assert policy_command.main(["schema"]) == 0
    assert capsys.readouterr().out == schema_text()
    assert policy_command.main(["schema", "--metadata"]) == 0
    assert "RequestTable" in capsys.readouterr().out


def test_a_ticket_is_made_narrowed_shown_and_taken(
    tmp_path: Path, own_jupyter: Path, capsys: Captured
) -> None:
    key = str(tmp_path / "key")
    assert ticket_command.main(["keys", key]) == 0
    public = capsys.readouterr().out.strip()
    assert stat.S_IMODE(os.stat(key).st_mode) == 0o600
    (own_jupyter / "course.toml").write_text(
        f'version = 1\nextends = "default"\n[[tickets.issuers]]\nkey = "{public}"\n'
        'reason = "the teacher"\nname = "Teacher"\n'
    )
    request = '{"files": [{"path": "data"}]}'

    assert ticket_command.main(["new", request, "--key", key, "--expires", "2 h"]) == 0
    token = capsys.readouterr().out.strip()
    assert ticket_command.main(["narrow", token, '{"files": [{"path": "data/a"}]}']) == 0
    narrower = capsys.readouterr().out.strip()
    assert ticket_command.main(["show", narrower, "--policy", "course"]) == 0
    told = capsys.readouterr().out
    assert 'narrowed to {"files": [{"path": "data/a", "mode": "read"}]}' in told
    assert "policy course takes it, signed by Teacher" in told

    assert ticket_command.main(["show", token]) == 1
    assert "ticket.not_trusted" in capsys.readouterr().out
    assert ticket_command.main(["narrow", token, '{"files": [{"path": "/"}]}']) == 1
    assert "names more than the ticket has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["new", "{", "--key", "KEY", "--expires", "2 h"], "the request is no JSON"),
        (["new", "[]", "--key", "KEY", "--expires", "2 h"], "the request is no object"),
        (["new", "{}", "--key", "KEY", "--expires", "unlimited"], "a ticket has an end"),
        (["new", "{}", "--key", "KEY", "--expires", "soon"], "expires = 'soon'"),
        (["new", "{}", "--key", "/none/such", "--expires", "2 h"], "No such file"),
        (["narrow", "abc"], "say what is to be less"),
        (["narrow", "abc", "{}"], "this is no ticket"),
        (["show", "abc"], "ticket.malformed"),
        (["keys", "KEY"], "File exists"),
    ],
)
def test_what_cannot_be_done_is_told(
    tmp_path: Path, capsys: Captured, words: list[str], told: str
) -> None:
    key = str(tmp_path / "key")
    ticket_command.main(["keys", key])
    capsys.readouterr()

    assert ticket_command.main([key if word == "KEY" else word for word in words]) == 1
    assert told in capsys.readouterr().err


def test_a_system_policy_that_is_not_roots_stops_the_start(tmp_path: Path) -> None:
    system = tmp_path / "system.toml"
    system.write_text("version = 1\n")
    os.chmod(system, 0o666)

    with pytest.raises(policy_files.PolicyError, match="must belong to root"):
        policy_files.choose(system_files=[str(system)])


def test_a_system_policy_that_is_missing_bounds_nothing(tmp_path: Path) -> None:
    found = policy_files.choose(system_files=[str(tmp_path / "none.toml")])

    assert found.system is None
    assert found.chosen.name == "default"


def test_an_unreadable_policy_is_not_a_missing_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.toml")
    os.symlink("loop.toml", tmp_path / "loop.toml")

    with pytest.raises(policy_files.PolicyError, match="cannot be read"):
        policy_files.read(str(tmp_path / "loop.toml"))
    with pytest.raises(policy_files.PolicyError, match="no regular file"):
        policy_files.read(str(tmp_path))
    with pytest.raises(policy_files.PolicyError, match="no regular file"):
        policy_files.read(str(tmp_path / "fifo.toml"))


def test_the_files_that_no_cell_may_change_are_named(own_jupyter: Path) -> None:
    found = policy_files.choose("classroom")

    assert {str(POLICIES / "classroom.toml"), str(POLICIES / "default.toml")} <= set(found.paths)
    assert {str(own_jupyter), str(POLICIES), "/etc/sandbox-kernel/system.toml"} <= set(found.paths)
