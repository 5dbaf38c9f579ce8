"""A cell's own metadata reaches the kernel through the hooks, and narrows what that cell may do.

Plain clients send a cell's source alone: through them the same notebook runs unnarrowed, which is
the control. What the notebook as a whole asks for reaches the kernel either way.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests.features.clients.test_batch import BIN, PREPROCESSOR

TRIES = """
try:
    import mmap
    print("had")
except ImportError:
    print("refused")
"""
NARROW = {"sandbox": {"modules": []}}
NARROWED = ["had", "refused", "had"]
EXECUTE = """
import sys, nbformat
from sandbox_kernel.jupyter.notebook_client import SandboxNotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
SandboxNotebookClient(notebook, notebook_path=sys.argv[1], allow_errors=True).execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook that asks for a module, whose second cell does without it."""
    cells = [new_code_cell(TRIES), new_code_cell(TRIES, metadata=NARROW), new_code_cell(TRIES)]
    wishes = {"sandbox": {"modules": ["mmap"]}}
    path = tmp_path / "cells.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=wishes), path)
    return path


def printed(path: Path) -> list[str]:
    """What each cell printed."""
    cells: Any = nbformat.read(path, as_version=4).cells
    return [
        "".join(output.text for output in cell.outputs).strip() for cell in cells if cell.source
    ]


def run(*words: str | Path, cwd: Path) -> None:
    done = subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nbclients_hook_sends_it(notebook: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    run(sys.executable, "-c", EXECUTE, notebook, out, cwd=tmp_path)
    assert printed(out) == NARROWED


def test_nbconverts_hook_sends_it(notebook: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    words = ["--to", "notebook", f"--NotebookExporter.preprocessors={PREPROCESSOR}", "--output"]
    run(BIN / "jupyter-nbconvert", notebook, *words, out, cwd=tmp_path)
    assert printed(out) == NARROWED


def test_papermills_hook_sends_it(notebook: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ipynb"
    run(BIN / "papermill", "--engine", "sandbox", notebook, out, cwd=tmp_path)
    assert printed(out) == NARROWED


def test_control_plain_clients_send_the_notebooks_wishes_alone(
    notebook: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ipynb"
    words = ["--kernel_name", "sandbox-python", "--output", out]
    run(BIN / "jupyter-execute", notebook, *words, cwd=tmp_path)
    assert printed(out) == ["had", "had", "had"]
