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

PRINTS = "print('x' * 5000)"
WHOLE = 5001  # characters
NARROW = {"sandbox": {"limits": {"output": "1 kB"}}}
NARROWED = [WHOLE, 1000, WHOLE]
EXECUTE = """
import sys, nbformat
from sandbox_kernel.jupyter.notebook_client import SandboxNotebookClient
notebook = nbformat.read(sys.argv[1], as_version=4)
SandboxNotebookClient(notebook, notebook_path=sys.argv[1], allow_errors=True).execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    """A notebook whose second cell allows itself less output than it prints."""
    cells = [
        new_code_cell(PRINTS),
        new_code_cell(PRINTS, metadata=NARROW),
        new_code_cell(PRINTS),
        new_code_cell("import mmap"),
    ]
    wishes = {"sandbox": {"modules": ["mmap"]}}
    path = tmp_path / "cells.ipynb"
    nbformat.write(new_notebook(cells=cells, metadata=wishes), path)
    return path


def printed(path: Path) -> list[int]:
    """How much each cell printed that prints, in characters; no cell may have failed."""
    cells: Any = nbformat.read(path, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", ())]
    assert not [output for output in outputs if output.output_type == "error"]
    return [
        sum(len(o.text) for o in cell.outputs if o.get("name") == "stdout")
        for cell in cells
        if cell.source == PRINTS
    ]


def run(*words: str | Path, cwd: Path) -> None:
    subprocess.run(list(map(str, words)), cwd=cwd, capture_output=True, check=False, text=True)


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
    assert printed(out) == [WHOLE, WHOLE, WHOLE]
