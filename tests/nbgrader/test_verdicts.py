"""What the outputs of a test cell are taken for. nbgrader's own reading is the judge."""

from __future__ import annotations

from typing import Any

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_output

from sandbox_kernel.jupyter.grade_verdicts import settle, shows_a_result
from sandbox_kernel.jupyter.outcomes import CellRun, Outcome

ERROR = {"ename": "AssertionError", "evalue": "no"}


def result(text: str) -> NotebookNode:
    return new_output("execute_result", data={"text/plain": text})


def error() -> NotebookNode:
    return new_output("error", **ERROR, traceback=[])


def points(cell: NotebookNode, outputs: list[NotebookNode], most: float) -> float | None:
    utils = pytest.importorskip("nbgrader.utils")
    mark = {"grade": True, "solution": False, "grade_id": "t", "points": most}
    cell.metadata["nbgrader"] = NotebookNode(mark)
    cell.outputs = outputs
    given: float | None = utils.determine_grade(cell)[0]
    return given


@pytest.mark.parametrize(
    ("source", "outputs", "run", "outcome", "plain", "contained"),
    [
        ("assert f()", [], {}, Outcome.PASSED, 2, 2),
        ("f()", [result("1.5")], {}, Outcome.PASSED, 1.5, 1.5),
        ("f()", [result("'text'")], {}, Outcome.PASSED, 2, 2),
        ("assert f()", [error()], {"error": ERROR}, Outcome.FAILED, 0, 0),
        # A number that the submission put out before its test failed.
        ("assert f()", [result("2"), error()], {"error": ERROR}, Outcome.FAILED, 2, 0),
        # An error of which the cell shows nothing.
        ("assert f()", [], {"error": ERROR}, Outcome.FAILED, 2, 0),
        # More results than the source can have.
        ("f()", [result("2"), result("0.5")], {}, Outcome.DENIED, 2, 0),
        ("assert f()", [result("2")], {}, Outcome.DENIED, 2, 0),
        # Numbers that are no mark: nbgrader gives all points for the first two.
        ("f()", [result("nan")], {}, Outcome.DENIED, 2, 0),
        ("f()", [result("-1")], {}, Outcome.DENIED, 2, 0),
        # Breaches that the cell swallowed, as the supervisor told them.
        ("f()", [result("2")], {"events": [{"kind": "limit", "limit": "wall_time", "text": "t"}]},
         Outcome.TIMED_OUT, 2, 0),
        ("f()", [], {"events": [{"kind": "limit", "limit": "memory", "text": "m"}]},
         Outcome.OUT_OF_MEMORY, 2, 0),
        ("f()", [], {"events": [{"kind": "limit", "limit": "output", "text": "o"}]},
         Outcome.OUTPUT_FLOOD, 2, 0),
        ("f()", [], {"events": [{"kind": "killed", "reason": "r"}]}, Outcome.CRASHED, 2, 0),
    ],
)  # fmt: skip
def test_points(
    source: str,
    outputs: list[NotebookNode],
    run: dict[str, Any],
    outcome: Outcome,
    plain: float,
    contained: float,
) -> None:
    cell = new_code_cell(source, outputs=outputs)
    settled = settle(cell, CellRun(0, **run), 2.0)
    assert settled.verdict.outcome is outcome
    assert points(cell, outputs, 2.0) == plain
    assert points(cell, settled.outputs, 2.0) == contained


def test_a_test_that_did_not_run_is_not_passed() -> None:
    cell = new_code_cell("assert f()")
    settled = settle(cell, None, 1.0)
    assert settled.verdict.outcome is Outcome.NOT_RUN
    assert points(cell, [], 1.0) == 1
    assert points(cell, settled.outputs, 1.0) == 0


def test_a_session_in_which_assertions_do_not_fail_earns_nothing() -> None:
    cell = new_code_cell("assert f()")
    assert settle(cell, CellRun(0), 1.0).verdict.outcome is Outcome.PASSED
    settled = settle(cell, CellRun(0), 1.0, tampered=True)
    assert settled.verdict.code == "grading.tampered"
    assert points(cell, settled.outputs, 1.0) == 0


def test_a_test_tagged_as_expected_to_fail_fails() -> None:
    run = CellRun(0, expected=True, error=ERROR)
    assert settle(new_code_cell("assert f()"), run, 1.0).verdict.outcome is Outcome.FAILED


@pytest.mark.parametrize(
    ("source", "shows"),
    [("f()", True), ("x = 1\nx", True), ("x = 1", False), ("assert x", False), ("%magic", True)],
)
def test_which_cells_show_a_result(source: str, shows: bool) -> None:
    assert shows_a_result(source) is shows
