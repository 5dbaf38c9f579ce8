"""The tour, unchanged, through the programs that run notebooks without a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.features.clients.tour import TOUR, check

BIN = Path(sys.executable).parent
PREPROCESSOR = "sandbox_kernel.jupyter.nbconvert_preprocessor.SandboxPreprocessor"


def run(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True)


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = nbformat.read(str(path), as_version=4)
    return notebook


@pytest.mark.parametrize(
    "words",
    [
        ["jupyter-execute", TOUR, "--output"],
        ["jupyter-nbconvert", TOUR, "--execute", "--to", "notebook", "--output"],
        [
            *("jupyter-nbconvert", TOUR, "--to", "notebook"),
            *(f"--NotebookExporter.preprocessors={PREPROCESSOR}", "--output"),
        ],
    ],
    ids=["jupyter-execute", "nbconvert", "nbconvert-preprocessor"],
)
def test_the_tour_runs(words: list[str | Path], tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    done = run(BIN / words[0], *words[1:], out, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    check(read(out))


@pytest.mark.parametrize("engine", [[], ["--engine", "sandbox"]], ids=["default", "sandbox"])
def test_the_tour_runs_in_papermill(engine: list[str], tmp_path: Path) -> None:
    """papermill calls a run failed when any cell has an error, also one that is tagged for it.

    The tour has one such cell, the crash; that and nothing else is what papermill complains of.
    """
    done = run(BIN / "papermill", *engine, TOUR, "out.ipynb", cwd=tmp_path)
    assert done.returncode == 1
    complaint = done.stderr.partition("PapermillExecutionError")[2]
    assert "WorkerDied" in complaint
    check(read(tmp_path / "out.ipynb"))
