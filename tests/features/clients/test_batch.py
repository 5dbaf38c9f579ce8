"""The tour, unchanged, through the programs that run notebooks without a person."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.features.clients.tour import TOUR, check

BIN = Path(sys.executable).parent
PREPROCESSOR = "sandbox_kernel.jupyter.nbconvert_preprocessor.SandboxPreprocessor"


def run(*words: str | Path, cwd: Path) -> None:
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "words",
    [
        [BIN / "jupyter-execute", TOUR, "--output", "out.ipynb"],
        [BIN / "jupyter-nbconvert", TOUR, "--execute", "--to", "notebook", "--output", "out.ipynb"],
        [BIN / "papermill", TOUR, "out.ipynb"],
        [BIN / "papermill", "--engine", "sandbox", TOUR, "out.ipynb"],
        [
            *(BIN / "jupyter-nbconvert", TOUR, "--to", "notebook", "--output", "out.ipynb"),
            f"--NotebookExporter.preprocessors={PREPROCESSOR}",
        ],
    ],
    ids=["jupyter-execute", "nbconvert", "papermill", "papermill-engine", "nbconvert-preprocessor"],
)
def test_the_tour_runs(words: list[str | Path], tmp_path: Path) -> None:
    where = ["--output-dir", tmp_path] if "nbconvert" in str(words[0]) else []
    run(*words, *where, cwd=tmp_path)
    check(nbformat.read(tmp_path / "out.ipynb", as_version=4))
