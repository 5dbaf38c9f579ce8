"""Out and back through nbgrader's exchange: release, fetch, submit, collect, grade, give back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.nbgrader.course import REPOSITORY, Course

pytestmark = pytest.mark.timeout(900)


def test_an_assignment_goes_out_and_comes_back_with_its_feedback(tmp_path: Path) -> None:
    exchange = tmp_path / "exchange"
    exchange.mkdir()
    exchange.chmod(0o777)
    course = Course(tmp_path / "classroom", tmp_path / "teacher")
    course.home.mkdir()
    shutil.copytree(REPOSITORY / "notebooks" / "classroom", course.root)
    with open(course.root / "nbgrader_config.py") as config:
        lines = config.read().replace(
            "c.CourseDirectory", f"c.Exchange.root = {str(exchange)!r}\nc.CourseDirectory", 1
        )
    (course.root / "nbgrader_config.py").write_text(lines)
    course.nbgrader("generate_assignment weather", "release_assignment weather")

    student = Course(tmp_path / "student", tmp_path / "student-home")
    student.root.mkdir()
    student.home.mkdir()
    (student.root / "nbgrader_config.py").write_text(
        f"c = get_config()\nc.Exchange.root = {str(exchange)!r}\n"
        "c.CourseDirectory.course_id = 'classroom'\n"
    )
    student.nbgrader("fetch_assignment weather")
    handed_out = student.root / "weather" / "weather.ipynb"
    document = json.loads(handed_out.read_text())
    assert "HIDDEN TESTS" not in handed_out.read_text()
    answers = json.loads((course.root / "source" / "weather" / "weather.ipynb").read_text())
    solved = {
        cell["metadata"]["nbgrader"]["grade_id"]: cell["source"]
        for cell in answers["cells"]
        if cell["metadata"].get("nbgrader", {}).get("solution")
    }
    for cell in document["cells"]:
        mark = cell["metadata"].get("nbgrader", {})
        if mark.get("solution") and cell["cell_type"] == "code":
            cell["source"] = solved[mark["grade_id"]]
    handed_out.write_text(json.dumps(document))
    student.nbgrader("submit weather")

    course.nbgrader("collect weather", "autograde weather", "generate_feedback weather")
    (name,) = course.points("weather")
    assert course.points("weather")[name] == {
        "reads": 1, "reads_gaps": 2, "sums_up": 3, "words": 0
    }  # fmt: skip
    graded = json.loads(
        (course.root / "autograded" / name / "weather" / "weather.ipynb").read_text()
    )
    assert graded["metadata"]["sandbox_grading"]["outcome"] == "passed"
    course.nbgrader("release_feedback weather")
    student.nbgrader("fetch_feedback weather")
    assert list(student.root.rglob("feedback/**/weather.html"))
