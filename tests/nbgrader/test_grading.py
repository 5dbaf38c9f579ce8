"""Real submissions through nbgrader's own commands, contained and (as the control) plain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.nbgrader.attacks import ALL, ATTACKS, DOUBLE, REST
from tests.nbgrader.conftest import Graded
from tests.nbgrader.course import BAD, CANARY

pytestmark = pytest.mark.timeout(1800)


def test_the_quickstart_course_scores_as_under_plain_nbgrader(
    contained: Graded, plain: Graded
) -> None:
    assert contained.course.points("ps1") == plain.course.points("ps1")
    scores = contained.course.scores("ps1")
    assert set(scores) == {"ada", "bob", "eve"}
    assert scores["ada"] > scores["bob"] > scores["eve"] == 0


@pytest.mark.parametrize("student", sorted(ATTACKS))
def test_contained_score(student: str, contained: Graded) -> None:
    assert contained.course.scores("ps2")[student] == pytest.approx(ATTACKS[student].score)


@pytest.mark.parametrize("student", sorted(ATTACKS))
def test_contained_outcome(student: str, contained: Graded) -> None:
    graded = contained.course.graded(student)
    assert graded["metadata"]["sandbox_grading"]["outcome"] == ATTACKS[student].outcome


@pytest.mark.parametrize(
    "student", sorted(name for name, each in ATTACKS.items() if each.plain_score is not None)
)
def test_plain_score(student: str, plain: Graded) -> None:
    assert plain.course.scores("ps2")[student] == pytest.approx(ATTACKS[student].plain_score)


@pytest.mark.parametrize(
    ("student", "loot"),
    [
        ("reads_gradebook", "SQLite format"),
        ("links_to_gradebook", "SQLite format"),
        ("finds_tests_in_source", CANARY),
        ("finds_tests_in_itself", CANARY),
        ("reads_others", "return 2 * x"),
        ("watches_from_a_thread", CANARY),
        ("reads_history", CANARY),
    ],
)
def test_what_is_out_of_reach_is_not_read(
    student: str, loot: str, contained: Graded, plain: Graded
) -> None:
    def printed(graded: Graded) -> str:
        cells = graded.course.graded(student)["cells"]
        texts = [each for cell in cells for each in cell.get("outputs", ())]
        return "".join(str(each.get("text", "")) for each in texts)

    assert loot in printed(plain)
    assert loot not in printed(contained)


def test_nobody_gives_themselves_extra_credit(contained: Graded, plain: Graded) -> None:
    assert plain.course.extra_credit("ps2") >= 50
    assert contained.course.extra_credit("ps2") == 0


def test_the_listener_hears_nothing(contained: Graded, plain: Graded) -> None:
    assert b"uses_network" in plain.heard
    assert not contained.heard


def test_nothing_is_planted_in_the_home(contained: Graded, plain: Graded, planted: Path) -> None:
    assert (plain.course.home / planted).exists()
    assert not (contained.course.home / planted).exists()


@pytest.mark.parametrize(
    ("student", "script"),
    [("script_in_output", "window.fromOutput"), ("script_in_text", "window.fromText")],
)
def test_no_script_lands_in_the_feedback(
    student: str, script: str, contained: Graded, plain: Graded
) -> None:
    assert f"<script>{script}" in plain.course.feedback(student)
    assert f"<script>{script}" not in contained.course.feedback(student)


def test_patching_the_run_method_runs_no_test_at_all_on_plain_nbgrader(plain: Graded) -> None:
    points = plain.course.points("ps2")["patches_run"]
    assert points["visible"] + points["hidden"] == DOUBLE


def test_a_killed_kernel_costs_a_plain_submission_everything(
    contained: Graded, plain: Graded
) -> None:
    assert not (plain.course.root / "autograded" / "exits" / "ps2").exists()
    assert contained.course.scores("ps2")["exits"] == REST


def test_a_link_to_the_gradebook_is_not_copied(contained: Graded, plain: Graded) -> None:
    copied = Path("autograded/links_to_gradebook/ps2/more.csv")
    assert (plain.course.root / copied).read_bytes().startswith(b"SQLite")
    assert not (contained.course.root / copied).exists()


@pytest.mark.parametrize("student", sorted(BAD))
def test_a_bad_file_has_an_outcome_and_its_feedback(student: str, contained: Graded) -> None:
    points, outcome = BAD[student]
    assert contained.course.scores("ps2").get(student, 0) == pytest.approx(points)
    graded = contained.course.graded(student)
    assert graded["metadata"]["sandbox_grading"]["outcome"] == outcome
    assert "Score" in contained.course.feedback(student)


def test_missing_tests_are_named(contained: Graded) -> None:
    note = "".join(contained.course.graded("missing_tests")["cells"][0]["source"])
    assert "`visible`: missing" in note
    assert "`data`" not in note


@pytest.mark.parametrize("student", ["exits", "swallows_interrupts", "fills_memory", "floods"])
def test_the_feedback_tells_the_outcome_without_the_tests(student: str, contained: Graded) -> None:
    note = "".join(contained.course.graded(student)["cells"][0]["source"])
    assert ATTACKS[student].outcome in note
    assert CANARY not in note
    assert "Sandboxed grading" in contained.course.feedback(student)


def test_everybody_is_graded(contained: Graded) -> None:
    assert set(contained.course.scores("ps2")) == {*ATTACKS, *BAD}
    assert contained.course.scores("ps2")["honest"] == ALL
