"""What is kept of a submitted file, and of its folder."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.jupyter.notebook_files import BadNotebook
from sandbox_kernel.jupyter.submission import linked_files, private_copy, read_submission


def written(path: Path, **changes: Any) -> Path:
    cell = {
        "cell_type": "code",
        "source": "1",
        "metadata": {
            "nbgrader": {"grade_id": "t"},
            "sandbox": {"modules": ["ctypes"]},
            "tags": ["skip-execution", "week-3"],
        },
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "old"}],
        "execution_count": 3,
    }
    document = {"cells": [cell, dict(cell)], "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    path.write_text(json.dumps({**document, **changes}))
    return path


def test_only_cells_and_nbgraders_marks_are_kept(tmp_path: Path) -> None:
    asks = {"sandbox": {"policy": "default"}, "kernelspec": {"name": "ir", "language": "R"}}
    notebook = read_submission(written(tmp_path / "a.ipynb", metadata=asks))
    assert notebook.metadata == {}
    assert notebook.cells[0].metadata == {"nbgrader": {"grade_id": "t"}, "tags": ["week-3"]}
    assert notebook.cells[0].outputs == []


def test_ids_that_stand_twice_are_given_anew(tmp_path: Path) -> None:
    path = written(tmp_path / "a.ipynb", nbformat_minor=5)
    document = json.loads(path.read_text())
    for cell in document["cells"]:
        cell["id"] = "same"
    path.write_text(json.dumps(document))
    assert [cell.id for cell in read_submission(path).cells] == ["same", "same-2"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("{", "notebook.not-json"),
        ("[]", "notebook.not-a-notebook"),
        ('{"cells": 3, "nbformat": 4}', "notebook.not-a-notebook"),
        ('{"cells": [3], "nbformat": 4, "metadata": {}}', "notebook.not-a-notebook"),
        ("[" * 100_000, "notebook.not-json"),
    ],
)
def test_what_is_no_notebook_has_a_code(content: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "a.ipynb"
    path.write_text(content)
    with pytest.raises(BadNotebook) as refused:
        read_submission(path)
    assert refused.value.code == code


def test_a_link_to_the_answers_and_a_pipe_are_no_submissions(tmp_path: Path) -> None:
    written(tmp_path / "answers.ipynb")
    link, pipe = tmp_path / "link.ipynb", tmp_path / "pipe.ipynb"
    link.symlink_to(tmp_path / "answers.ipynb")
    os.mkfifo(pipe)
    assert read_submission(tmp_path / "answers.ipynb").cells
    for path in (link, pipe):
        with pytest.raises(BadNotebook) as refused:
            read_submission(path)
        assert refused.value.code == "notebook.unreadable"


def test_the_private_copy_has_no_notebook_and_no_link(tmp_path: Path) -> None:
    folder = tmp_path / "handed-in"
    (folder / "deep").mkdir(parents=True)
    for name in ("data.csv", "task.ipynb", "deep/old.IPYNB", "deep/more.csv"):
        (folder / name).write_text(name)
    (folder / "link.csv").symlink_to("/etc/passwd")
    (folder / "linked").symlink_to("/etc")
    copied = private_copy(folder, tmp_path / "copy")
    there = sorted(str(each.relative_to(copied)) for each in copied.rglob("*"))
    assert there == ["data.csv", "deep", "deep/more.csv"]


def test_copies_of_what_links_lead_to_are_found(tmp_path: Path) -> None:
    submitted, source, copied = (tmp_path / name for name in ("submitted", "source", "copied"))
    for folder in (submitted, source, copied):
        folder.mkdir()
    for name in ("stolen.csv", "data.csv"):
        (submitted / name).symlink_to("/etc/passwd")
        (copied / name).write_text("")
    (source / "data.csv").write_text("")
    assert linked_files(submitted, source, copied) == [copied / "stolen.csv"]
