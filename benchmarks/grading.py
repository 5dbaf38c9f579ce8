"""Submissions graded and notebooks run in a batch, beside nbgrader and nbclient alone."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from benchmarks.report import Row, finish, parser
from sandbox_kernel.cli.nbgrader import CONFIG, without_line
from tests.nbgrader.course import REPOSITORY, Course


def main(argv: Sequence[str]) -> int:
    """Grade the same submissions both ways, and run the same notebooks in pools of one size."""
    words = parser(__doc__)
    words.add_argument("--submissions", type=int, default=20)
    words.add_argument("--jobs", type=int, default=2)
    options = words.parse_args(argv)
    number: int = options.submissions
    folder = Path(tempfile.mkdtemp(prefix="grading-"))
    try:
        contained, plain = _courses(folder, number)
        graded = {course.root.name: _graded(course, number) for course in (plain, contained)}
        notebooks = sorted((contained.root / "submitted").rglob("*.ipynb"))
        _ask_for_data(notebooks)
        alone = _nbclient(notebooks, options.jobs)
        ours = _batch(notebooks, options.jobs, folder / "out")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    rows = [
        _row("nbgrader autograde", graded["contained"], graded["plain"], number),
        _row(f"a pool of {options.jobs}, sandbox-kernel run beside nbclient", ours, alone, number),
    ]
    return finish("grading", f"{number} submissions", rows, options.json)


def _row(what: str, ours: float, plain: float, number: int) -> Row:
    detail = f"{60 * number / ours:.0f} a minute beside {60 * number / plain:.0f}"
    return Row(what, ours / plain, "×", None, detail)


def _courses(folder: Path, number: int) -> list[Course]:
    """The classroom's course with the teacher's answers handed in, contained and plain."""
    courses = []
    for name in ("contained", "plain"):
        course = Course(folder / name, folder / f"{name}-home")
        course.home.mkdir()
        shutil.copytree(REPOSITORY / "notebooks" / "classroom", course.root)
        if name == "plain":
            config = course.root / CONFIG
            config.write_text(without_line(config.read_text()))
        course.nbgrader("generate_assignment weather")
        for student in range(number):
            target = course.root / "submitted" / f"student{student}" / "weather"
            shutil.copytree(course.root / "source" / "weather", target)
        courses.append(course)
    return courses


def _graded(course: Course, number: int) -> float:
    began = time.monotonic()
    course.nbgrader("autograde weather")
    took = time.monotonic() - began
    assert set(course.scores("weather").values()) == {6.0}
    assert len(course.scores("weather")) == number
    return took


def _ask_for_data(notebooks: Sequence[Path]) -> None:
    """Let each notebook say what it reads, as one that is run unattended has to."""
    wanted = {"files": [{"path": "weather.csv", "mode": "read"}]}
    for path in notebooks:
        document = json.loads(path.read_text())
        document["metadata"]["sandbox"] = wanted
        path.write_text(json.dumps(document))


def _nbclient(notebooks: Sequence[Path], jobs: int) -> float:
    def run(path: Path) -> None:
        notebook = nbformat.read(path, as_version=4)
        resources = {"metadata": {"path": str(path.parent)}}
        client = NotebookClient(notebook, kernel_name="python3", resources=resources)
        client.execute()

    began = time.monotonic()
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run, notebooks))
    return time.monotonic() - began


def _batch(notebooks: Sequence[Path], jobs: int, out: Path) -> float:
    began = time.monotonic()
    words = [sys.executable, "-m", "sandbox_kernel.cli.__main__", "run", *map(str, notebooks)]
    words += ["--policy", "data-science", "--out", str(out), "--jobs", str(jobs), "--no-progress"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return time.monotonic() - began
