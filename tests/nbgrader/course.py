"""nbgrader's quickstart course with a second assignment, driven by nbgrader's own commands."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.nbgrader.attacks import ATTACKS, HONEST, Attack

REPOSITORY = Path(__file__).resolve().parents[2]
CANARY = "62675"
SECONDS = 10
POLICY = """version = 1
extends = "grading"
[limits]
memory = "400 MB"
output = "1 MB"
"""
_REGEXP = r".*_(?P<student_id>\w+)_attempt_(?P<timestamp>[0-9\-]+)_(?P<file_id>\w+)"


class Course:
    """A course folder and the home of the teacher who works in it."""

    def __init__(self, root: Path, home: Path) -> None:
        self.root, self.home = root, home

    def nbgrader(self, *commands: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run nbgrader's commands, each written as in a shell."""
        words = json.dumps([command.split() for command in commands])
        return self.run("-m", "tests.nbgrader.commands", words, check=check, cwd=self.root)

    def run(self, *words: str, check: bool, cwd: Path) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            # nbgrader calls alembic by its name.
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(self.home),
            "JUPYTER_PATH": str(self.home / "share"),
            "JUPYTER_CONFIG_DIR": str(self.home / "config"),
            "IPYTHONDIR": str(self.home / ".ipython"),
        }
        done = subprocess.run(
            [sys.executable, *words], cwd=cwd, env=environment, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def scores(self, assignment: str) -> dict[str, float]:
        """Points by student, as the gradebook has them."""
        return {
            student: sum(points.values()) for student, points in self.points(assignment).items()
        }

    def points(self, assignment: str) -> dict[str, dict[str, float]]:
        """The automatic points by student and test; none is 0."""
        return self._grades("auto_score", assignment)

    def extra_credit(self, assignment: str) -> float:
        """What everybody was given beside the automatic points."""
        given = self._grades("extra_credit", assignment)
        return sum(sum(points.values()) for points in given.values())

    def _grades(self, column: str, assignment: str) -> dict[str, dict[str, float]]:
        query = f"""
            select student.id, base_cell.name, coalesce(grade.{column}, 0)
            from grade
            join base_cell on base_cell.id = grade.cell_id
            join submitted_notebook on submitted_notebook.id = grade.notebook_id
            join submitted_assignment
              on submitted_assignment.id = submitted_notebook.assignment_id
            join assignment on assignment.id = submitted_assignment.assignment_id
            join student on student.id = submitted_assignment.student_id
            where assignment.name = ?"""
        found: dict[str, dict[str, float]] = {}
        with closing(sqlite3.connect(self.root / "gradebook.db")) as database:
            for student, cell, points in database.execute(query, (assignment,)):
                found.setdefault(student, {})[cell] = points
        return found

    def graded(self, student: str, notebook: str = "ps2/task") -> dict[str, Any]:
        path = self.root / "autograded" / student / f"{notebook}.ipynb"
        document: dict[str, Any] = json.loads(path.read_text())
        return document

    def outputs(self, student: str) -> str:
        """All outputs of the graded notebook, as text."""
        return json.dumps([cell.get("outputs") for cell in self.graded(student)["cells"]])

    def feedback(self, student: str) -> str:
        return (self.root / "feedback" / student / "ps2" / "task.html").read_text()


def make(folder: Path, port: int) -> Course:
    """A course with both assignments generated, ps1 released, and everybody's hand-ins there."""
    home = folder / "home"
    policies = home / "share" / "sandbox-kernel" / "policies"
    policies.mkdir(parents=True)
    (policies / "course-grading.toml").write_text(POLICY)
    course = Course(folder / "course", home)
    course.run("-m", "nbgrader", "quickstart", "course", check=True, cwd=folder)
    with open(course.root / "nbgrader_config.py", "a") as config:
        config.write(
            f"\nc.Exchange.root = {str(folder / 'exchange')!r}\n"
            f"c.ExecutePreprocessor.timeout = {SECONDS}\n"
            f"c.FileNameCollectorPlugin.named_regexp = {_REGEXP!r}\n"
        )
    (folder / "exchange").mkdir(mode=0o777)
    (folder / "exchange").chmod(0o777)
    _second_assignment(course.root / "source" / "ps2")
    course.nbgrader("generate_assignment ps1", "generate_assignment ps2", "release_assignment ps1")
    _hand_in_first(course)
    course.nbgrader("zip_collect ps1")
    for student, attack in ATTACKS.items():
        _hand_in(course, student, attack, port)
    _hand_in_bad(course)
    return course


def copy(course: Course, folder: Path) -> Course:
    """The same course elsewhere, for the control, with what names its places changed."""
    twin = Course(folder / "course", folder / "home")
    shutil.copytree(course.root, twin.root, symlinks=True)
    shutil.copytree(course.home, twin.home)
    for path in (twin.root / "submitted").rglob("*.ipynb"):
        text = path.read_text(errors="surrogateescape")
        text = text.replace(str(course.root), str(twin.root))
        text = text.replace(str(course.home), str(twin.home))
        path.write_text(text, errors="surrogateescape")
    for student, attack in ATTACKS.items():
        if not attack.control:
            shutil.rmtree(twin.root / "submitted" / student)
        _make_links(twin, student, attack)
    for student in BAD:
        shutil.rmtree(twin.root / "submitted" / student)
    return twin


def _cell(kind: str, source: str, **mark: Any) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": source}
    if kind == "code":
        cell |= {"outputs": [], "execution_count": None}
    if mark:
        base = {"grade": False, "solution": False, "locked": False, "task": False}
        cell["metadata"]["nbgrader"] = {**base, "schema_version": 3, **mark}
    return cell


def _solution(name: str) -> dict[str, Any]:
    head, _, body = HONEST[name].partition("\n")
    source = f"{head}\n    ### BEGIN SOLUTION\n{body}\n    ### END SOLUTION"
    return _cell("code", source, solution=True, grade_id=name)


def _test(name: str, points: float, source: str) -> dict[str, Any]:
    return _cell("code", source, grade=True, locked=True, points=points, grade_id=name)


def _second_assignment(folder: Path) -> None:
    folder.mkdir()
    cells = [
        _solution("total"),
        _solution("double"),
        _solution("guess"),
        _test("visible", 1, "assert all(double(n) == 2 * n for n in range(5))"),
        _test(
            "hidden",
            2,
            "assert all(double(n) == 2 * n for n in (10, -3))\n### BEGIN HIDDEN TESTS\n"
            f"assert double({CANARY}) == 2 * {CANARY}\n### END HIDDEN TESTS",
        ),
        _test(
            "partial",
            2,
            "def mark(value):\n    assert isinstance(value, float)\n    return 2 * value\n\n"
            "mark(guess())",
        ),
        _test("data", 1, "import course_helper\ncourse_helper.check_total(total())"),
    ]
    (folder / "numbers.csv").write_text("1\n2\n3\n")
    (folder / "course_helper.py").write_text(
        "def check_total(value):\n    assert value == 6, value\n"
    )
    document = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
        },
        "nbformat": 4,
        "nbformat_minor": 4,
    }
    (folder / "task.ipynb").write_text(json.dumps(document))


def _hand_in_first(course: Course) -> None:
    """ps1 through the archive that a learning platform gives: right, half right, untouched."""
    archive = course.root / "downloaded" / "ps1" / "archive"
    archive.mkdir(parents=True)
    for number in ("problem1", "problem2"):
        source = json.loads((course.root / "source" / "ps1" / f"{number}.ipynb").read_text())
        release = (course.root / "release" / "ps1" / f"{number}.ipynb").read_text()
        for student in ("ada", "bob", "eve"):
            handed = json.loads(release)
            for cell in handed["cells"]:
                name = cell["metadata"].get("nbgrader", {}).get("grade_id")
                if student == "eve" or (student == "bob" and name != "squares"):
                    continue
                for original in source["cells"]:
                    if (
                        name
                        and cell["metadata"]["nbgrader"]["solution"]
                        and original["metadata"].get("nbgrader", {}).get("grade_id") == name
                    ):
                        cell["source"] = original["source"]
            name = f"ps1_{student}_attempt_2026-01-30-15-00-00_{number}.ipynb"
            (archive / name).write_text(json.dumps(handed))


def _released(course: Course) -> dict[str, Any]:
    path = course.root / "release" / "ps2" / "task.ipynb"
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def _fill(document: dict[str, Any], cells: dict[str, str]) -> None:
    for cell in document["cells"]:
        name = cell["metadata"].get("nbgrader", {}).get("grade_id")
        if name in HONEST:
            cell["source"] = cells.get(name, HONEST[name])


def _hand_in(course: Course, student: str, attack: Attack, port: int) -> None:
    places = {
        "COURSE": str(course.root),
        "HOME": str(course.home),
        "PORT": str(port),
        "STUDENT": student,
    }

    def placed(text: str) -> str:
        for name, value in places.items():
            text = text.replace(name, value)
        return text

    document = _released(course)
    _fill(document, {name: placed(code) for name, code in attack.cells.items()})
    document["metadata"].update(attack.metadata)
    if attack.tags:
        for cell in document["cells"]:
            if cell["metadata"].get("nbgrader", {}).get("grade"):
                cell["metadata"]["tags"] = list(attack.tags)
    if attack.markdown:
        document["cells"].append(_cell("markdown", attack.markdown))
    folder = course.root / "submitted" / student / "ps2"
    folder.mkdir(parents=True)
    (folder / "task.ipynb").write_text(json.dumps(document))
    (folder / "numbers.csv").write_text("1\n2\n3\n")
    _make_links(course, student, attack)


def _make_links(course: Course, student: str, attack: Attack) -> None:
    for name, target in attack.links.items():
        link = course.root / "submitted" / student / "ps2" / name
        link.unlink(missing_ok=True)
        link.symlink_to(target.replace("COURSE", str(course.root)))


#: Hand-ins that are hardly notebooks: student, points, outcome.
BAD = {
    "not_json": (0.0, "invalid"),
    "not_a_notebook": (0.0, "invalid"),
    "duplicate_ids": (6.0, "passed"),
    "missing_tests": (3.0, "failed"),
    "huge_outputs": (6.0, "passed"),
}


def _hand_in_bad(course: Course) -> None:
    for student in BAD:
        document = _released(course)
        _fill(document, {})
        cells = document["cells"]
        if student == "duplicate_ids":
            document["nbformat_minor"] = 5
            for cell in cells:
                cell["id"] = "same"
        elif student == "missing_tests":
            document["cells"] = [
                cell
                for cell in cells
                if cell["metadata"].get("nbgrader", {}).get("grade_id") not in ("visible", "hidden")
            ]
        elif student == "huge_outputs":
            output = {"output_type": "stream", "name": "stdout", "text": "x" * 50_000_000}
            next(c for c in cells if c["cell_type"] == "code")["outputs"] = [output]
        text = json.dumps(document)
        if student == "not_json":
            text = text[: len(text) // 2]
        elif student == "not_a_notebook":
            text = '{"cells": 3, "nbformat": 4, "nbformat_minor": 4, "metadata": {}}'
        folder = course.root / "submitted" / student / "ps2"
        folder.mkdir(parents=True)
        (folder / "task.ipynb").write_text(text)


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    """A live server on loopback: its port, and what was said to it."""
    heard: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return  # Closed: the test is over.
            with line:
                heard.append(line.recv(100))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1], heard
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join(10)
