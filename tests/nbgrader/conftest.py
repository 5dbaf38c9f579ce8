"""One course graded contained, and its twin graded by nbgrader alone: the control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.nbgrader import course as courses
from tests.nbgrader.course import REPOSITORY, Course

GRADING = (
    "autograde ps1",
    "autograde ps2",
    "generate_feedback ps1",
    "generate_feedback ps2",
)


@dataclass(frozen=True)
class Graded:
    """A graded course, what its commands said, and what the live listener heard meanwhile."""

    course: Course
    said: str
    heard: frozenset[bytes]


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Graded]]:
    """`contained` and `plain`, of the same hand-ins."""
    folder = tmp_path_factory.mktemp("grading")
    (folder / "contained").mkdir()
    with courses.listener() as (port, heard):
        contained = courses.make(folder / "contained", port)
        plain = courses.copy(contained, folder / "plain")
        enable(contained)
        said = grade(contained)
        first = Graded(contained, said, frozenset(heard))
        heard.clear()
        said = grade(plain)
        yield {"contained": first, "plain": Graded(plain, said, frozenset(heard))}


def enable(course: Course) -> None:
    """Make the course contained by the command that a teacher uses."""
    with open(course.root / "nbgrader_config.py", "a") as config:
        config.write("c.ContainedExecute.sandbox_policy = 'course-grading'\n")
    words = ("-m", "sandbox_kernel.cli.__main__", "nbgrader", "enable", str(course.root))
    course.run(*words, check=True, cwd=REPOSITORY)


def grade(course: Course) -> str:
    """Run the grading commands; autograde ends in an error where one submission cannot be run."""
    parts = [course.nbgrader(command, check=False) for command in GRADING]
    return "".join(part.stdout + part.stderr for part in parts)


@pytest.fixture(scope="session")
def contained(pair: dict[str, Graded]) -> Graded:
    return pair["contained"]


@pytest.fixture(scope="session")
def plain(pair: dict[str, Graded]) -> Graded:
    return pair["plain"]


@pytest.fixture
def planted() -> Path:
    """Where, in a home, IPython looks for what to run at its start."""
    return Path(".ipython/profile_default/startup/00-planted.py")
