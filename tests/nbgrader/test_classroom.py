"""The assignment in notebooks/classroom, as its README says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.nbgrader.course import REPOSITORY, Course

pytestmark = pytest.mark.timeout(900)


def test_the_teachers_answers_earn_all_points_and_the_empty_ones_none(tmp_path: Path) -> None:
    course = Course(tmp_path / "classroom", tmp_path / "home")
    course.home.mkdir()
    shutil.copytree(REPOSITORY / "notebooks" / "classroom", course.root)
    course.nbgrader("generate_assignment weather")
    for student, folder in (("ada", "source"), ("eve", "release")):
        handed_in = course.root / "submitted" / student / "weather"
        shutil.copytree(course.root / folder / "weather", handed_in)
    course.nbgrader("autograde weather", "generate_feedback weather")
    assert course.points("weather") == {
        "ada": {"reads": 1, "reads_gaps": 2, "sums_up": 3, "words": 0},
        "eve": {"reads": 0, "reads_gaps": 0, "sums_up": 0, "words": 0},
    }
    graded = course.graded("ada", "weather/weather")
    assert graded["metadata"]["sandbox_grading"]["outcome"] == "passed"
    assert (course.root / "feedback" / "ada" / "weather" / "weather.html").is_file()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("c.ContainedExecute.sandbox_policy = 'nowhere'", "policy nowhere"),
        ("c.ExecutePreprocessor.timeout = 7200", "timeout of 7200 s is more than policy grading"),
    ],
    ids=["no policy", "more time than the policy has"],
)
def test_what_no_submission_is_to_blame_for_is_no_score(
    tmp_path: Path, line: str, said: str
) -> None:
    course = Course(tmp_path / "classroom", tmp_path / "home")
    course.home.mkdir()
    shutil.copytree(REPOSITORY / "notebooks" / "classroom", course.root)
    config = course.root / "nbgrader_config.py"
    config.write_text(f"{line}\n{config.read_text()}")
    course.nbgrader("generate_assignment weather")
    shutil.copytree(course.root / "source", course.root / "submitted" / "ada")
    done = course.nbgrader("autograde weather", check=False)
    assert done.returncode != 0
    assert said in done.stderr
    assert not (course.root / "autograded" / "ada" / "weather").exists()
    assert course.scores("weather") == {"ada": 0}
