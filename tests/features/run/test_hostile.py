"""Notebooks, names and folders that are made to lead a batch astray."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.features.run.test_run import course, notebook, records, run, stdout_of, write

__all__ = ["course"]  # A fixture.

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

#: A policy under which cells may write all beside the notebook, the folder of results among it.
WRITES = (
    'version = 1\nextends = "default"\nlanguage = "full"\n'
    '[[given.files]]\npath = "."\nmode = "write"\nreason = "the tests\' own"\n'
)
FORGES = """
import glob, json, os
line = json.dumps({"notebook": "b.ipynb", "outcome": "passed", "forged": True})
did = []
try:
    with open("out/results.jsonl", "a") as file:
        file.write(line + "\\n")
    did.append("appended")
except OSError:
    pass
try:
    os.rename("out/results.jsonl", "out/old.jsonl")
    did.append("renamed")
except OSError:
    pass
try:
    os.makedirs("out", exist_ok=True)
    os.symlink("/tmp", "out/sub")
    did.append("linked")
except OSError:
    pass
try:
    os.rename("out", "gone")
    did.append("moved")
except OSError:
    pass
with open("mine.txt", "w") as file:
    file.write(",".join(did))
"""


def policy(course: Path, name: str, text: str) -> None:
    (course / "share" / "sandbox-kernel" / "policies" / f"{name}.toml").write_text(text)


def test_no_cell_reaches_the_results_even_where_it_may_write_all_around(course: Path) -> None:
    policy(course, "writes", WRITES)
    write(course, a=notebook(FORGES), b=notebook("1/0"))
    done = run(course, "a.ipynb", "b.ipynb", "--out", "out", "--policy", "writes", "--jobs", "1")
    assert (course / "mine.txt").read_text() == "", done.stderr
    found = records(course)
    assert [found[name]["outcome"] for name in ("a.ipynb", "b.ipynb")] == ["passed", "failed"]
    assert "forged" not in (course / "out/results.jsonl").read_text()
    assert not (course / "out/sub").exists()


def test_control_the_same_lines_reach_them_outside(course: Path, monkeypatch) -> None:
    (course / "out").mkdir()
    (course / "out/results.jsonl").write_text("{}\n")
    monkeypatch.chdir(course)
    exec(FORGES, {})
    assert (course / "mine.txt").read_text() == "appended,renamed,linked,moved"


@pytest.mark.parametrize(
    "name",
    [
        "a\nb.ipynb: passed (all): nothing",
        "a\x1b[2J\x1b]0;owned\x07",
        "..",
        "-rf",
        "ü—\u202e🙂",
        b"bad\xff".decode("utf-8", "surrogateescape"),
    ],
    ids=["newline", "terminal", "dots", "option", "unicode", "bytes"],
)
def test_a_name_commands_nothing_and_is_one_line(course: Path, name: str) -> None:
    (course / "in").mkdir()
    (course / "in" / f"{name}.ipynb").write_text(json.dumps(notebook("1/0")))
    done = run(course, "in", "--out", "out")
    assert done.returncode == 1, done.stderr
    told, total = done.stdout.splitlines()
    assert told.startswith("in/")
    assert told.isprintable()
    (record,) = records(course).values()
    assert record["notebook"] == f"in/{name}.ipynb"
    if "bad" in name:
        assert "invalid (notebook.name)" in told
        return
    assert "failed (error.ZeroDivisionError" in told
    assert total == "0 passed, 1 failed"
    assert Path(record["output"]).is_relative_to((course / "out").resolve())


def test_an_error_text_commands_nothing(course: Path) -> None:
    write(course, a=notebook("raise ValueError('x\\nb.ipynb: passed\\x1b]0;owned\\x07\\x08')"))
    done = run(course, "a.ipynb", "--out", "out")
    told, _ = done.stdout.splitlines()
    assert told.isprintable()


@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_what_is_no_notebook_file_is_refused_unread(course: Path, kind: str) -> None:
    path = course / "a.ipynb"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        path.touch()
        os.truncate(path, 1 << 40)
    write(course, b=notebook("print(2)"))
    done = run(course, str(path), "b.ipynb", "--out", "out")
    found = records(course)
    assert found["b.ipynb"]["outcome"] == "passed", done.stderr
    (other,) = (record for name, record in found.items() if name != "b.ipynb")
    assert other["outcome"] == "invalid"
    assert other["code"] == ("notebook.too-big" if kind == "sparse" else "notebook.not-a-file")


def test_links_in_a_folder_of_strangers_are_left_alone(course: Path) -> None:
    secret = course / "secret"
    (course / "in").mkdir()
    secret.mkdir()
    write(secret, mine=notebook("print('mine')"))
    write(course / "in", a=notebook("print('theirs')"))
    (course / "in/link.ipynb").symlink_to(secret / "mine.ipynb")
    (course / "in/folder").symlink_to(secret)
    run(course, "in", "--out", "out")
    assert set(records(course)) == {"in/a.ipynb"}


@pytest.mark.parametrize("place", ["folder", "results"])
def test_links_in_the_folder_of_results_lead_nowhere(course: Path, place: str) -> None:
    outside = course / "outside"
    outside.mkdir()
    (course / "out").mkdir()
    (course / "sub").mkdir()
    write(course / "sub", a=notebook("print(1)"))
    write(course, b=notebook("print(2)"))
    if place == "folder":
        (course / "out/sub").symlink_to(outside)
        done = run(course, "sub", "b.ipynb", "--out", "out")
        found = records(course)
        assert found["sub/a.ipynb"]["code"] == "output.unwritable"
        assert found["b.ipynb"]["outcome"] == "passed"
        assert done.returncode == 3
    else:
        (course / "out/results.jsonl").symlink_to(outside / "file")
        done = run(course, "b.ipynb", "--out", "out", "--resume")
        assert done.returncode == 2
        assert "results.jsonl" in done.stderr
    assert not list(outside.iterdir())


def test_an_output_never_takes_the_place_of_a_notebook_or_of_another_output(course: Path) -> None:
    (course / "x").mkdir()
    (course / "y").mkdir()
    for name in ("x", "y"):
        write(course / name, same=notebook(f"print({name!r})"))
    done = run(course, "x", "y", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert stdout_of(course / "out/x/same.ipynb") == "x\n"
    assert stdout_of(course / "out/y/same.ipynb") == "y\n"

    before = (course / "x/same.ipynb").read_bytes()
    for arguments in (["x/same.ipynb", "--out", "."], ["x/../x/same.ipynb", "--out", "y/.."]):
        refused = run(course, *arguments)
        assert refused.returncode == 2
        assert "take the place of a notebook" in refused.stderr
    assert (course / "x/same.ipynb").read_bytes() == before

    (course / "results.jsonl").mkdir()
    write(course / "results.jsonl", a=notebook("1"))
    odd = run(course, "results.jsonl", "x", "--out", "out2")
    assert odd.returncode == 3
    lines = (course / "out2/results.jsonl").read_text().splitlines()
    assert {json.loads(line)["code"] for line in lines} == {"", "output.unwritable"}


def test_what_a_kernel_says_to_the_client_ends_no_batch(course: Path) -> None:
    """Messages of a hostile worker, as far as the supervisor lets them through."""
    policy(course, "full", 'version = 1\nextends = "default"\nlanguage = "full"\n')
    odd = """
import json
session, parent = get_ipython().kernel.session, get_ipython().kernel.get_parent()
socket = get_ipython().kernel.iopub_socket
for kind in ("comm_open", "comm_msg", "display_data", "update_display_data", "execute_result",
             "clear_output", "stream", "error", "status", "nonsense"):
    for content in ({}, {"data": 7}, {"data": {"state": [1]}, "comm_id": []}, {"text": {}},
                    {"data": {"text/plain": [{}]}, "metadata": 3, "transient": []},
                    {"ename": 1, "evalue": [], "traceback": 9}, {"wait": {}}):
        try:
            session.send(socket, kind, content, parent=parent)
        except Exception:
            pass
"""
    write(course, a=notebook(odd, "print('on')"), b=notebook("print(2)"))
    done = run(course, "a.ipynb", "b.ipynb", "--out", "out", "--policy", "full", "--jobs", "1")
    found = records(course)
    assert set(found) == {"a.ipynb", "b.ipynb"}, done.stderr
    assert found["b.ipynb"]["outcome"] == "passed"
