"""Which points the outputs of a test cell may stand for. Pure: nothing is run or written here.

nbgrader reads a test cell's points off its outputs: the first number that is a result, else an
error, else all points. A submission's functions run inside test cells and can put out what they
like before they fail, so the outputs are put in order here by what the supervisor saw:

| what was seen of the cell | its outputs afterwards |
|---|---|
| it ran, no error, no breach, at most the one result that its source can have | as they are |
| an error | the error first, no result |
| a breach of a limit, or the worker died, whatever the cell made of it | an error, no result |
| more results than its source can have, or a number that is no mark for it | an error, no result |
| it did not run | an error, no result |

So no output of a submission turns a failed test into points.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Sequence
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.v4 import new_output

from .outcomes import CellRun, Outcome, Verdict, judge

FORGED = Verdict(
    Outcome.DENIED,
    "grading.forged-result",
    "the cell put out a result that its own source cannot have; none counts",
)
TAMPERED = Verdict(
    Outcome.DENIED,
    "grading.tampered",
    "before this test an assertion that must fail did not fail: the session is not to be trusted",
)
UNTESTED = Verdict(Outcome.NOT_RUN, "grading.not-run", "this test was not run")

_NAMES = {
    Outcome.TIMED_OUT: "TimedOut",
    Outcome.OUT_OF_MEMORY: "OutOfMemory",
    Outcome.CRASHED: "Crashed",
    Outcome.DENIED: "Denied",
    Outcome.OUTPUT_FLOOD: "OutputFlood",
    Outcome.INVALID: "InvalidSubmission",
    Outcome.NOT_RUN: "NotRun",
}


@dataclass(frozen=True)
class Settled:
    """A test cell's verdict and the outputs that say the same to nbgrader."""

    verdict: Verdict
    outputs: list[NotebookNode]


def settle(
    cell: NotebookNode, run: CellRun | None, points: float, *, tampered: bool = False
) -> Settled:
    """Decide on one test cell. `run` is None when it was not executed."""
    outputs = list(cell.get("outputs", []))
    if run is None:
        verdict = UNTESTED if cell.source.strip() else Verdict(Outcome.PASSED)
    elif tampered:
        verdict = TAMPERED
    else:
        # A test is never expected to fail, whatever tags a submission has put on it.
        verdict = judge([CellRun(run.index, False, run.error, run.events)])
    if verdict.outcome is Outcome.PASSED and not _credible(cell.source, outputs, points):
        verdict = FORGED
    if verdict.outcome is Outcome.PASSED:
        return Settled(verdict, outputs)
    errors = [each for each in outputs if each.output_type == "error"]
    others = [each for each in outputs if each.output_type not in ("error", "execute_result")]
    return Settled(verdict, [*(errors or [authored_error(verdict)]), *others])


def authored_error(verdict: Verdict) -> NotebookNode:
    """An error output of our own, in the form in which nbgrader sees one."""
    name = _NAMES.get(verdict.outcome, "Failed")
    text = f"{verdict.outcome}: {verdict.detail}" if verdict.detail else str(verdict.outcome)
    return new_output("error", ename=name, evalue=text, traceback=[f"{name}: {text}"])


def shows_a_result(source: str) -> bool:
    """Whether the cell's last statement is an expression, whose value IPython shows.

    True as well for what is no plain Python (a magic): then it cannot be told.
    """
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return bool(body) and isinstance(body[-1], ast.Expr)


def _credible(source: str, outputs: Sequence[NotebookNode], points: float) -> bool:
    results = [each for each in outputs if each.output_type == "execute_result"]
    if not results:
        return True
    if len(results) > 1 or not shows_a_result(source):
        return False
    text = results[0].get("data", {}).get("text/plain", "")
    try:
        mark = float(text if isinstance(text, str) else "".join(text))
    except ValueError:
        return True  # No number: nbgrader gives all points, as it does without us.
    return math.isfinite(mark) and 0 <= mark <= points
