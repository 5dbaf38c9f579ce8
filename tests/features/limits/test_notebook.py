"""The notebook that teaches limits gives what it promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_the_limits_notebook_runs_and_says_what_it_promises() -> None:
    run = subprocess.run(
        [sys.executable, "notebooks/run_tour.py", "notebooks/limits.ipynb"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "tidied up" in run.stdout
    assert re.search(r"LimitExceeded: wall_time: \S+ s used, 5 s allowed", run.stdout)
    assert "All variables from before this cell are back" in run.stdout
    assert "{'hours of work': 42}" in run.stdout
    assert "blocks of 20 MB fitted" in run.stdout
    assert re.search(r"MemoryError: memory: .* 400 MB allowed", run.stdout)
    assert "output = 20 kB" in run.stdout
    assert "Every cell did what it should." in run.stdout
