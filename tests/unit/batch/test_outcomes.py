"""How a run is judged: by table, and by the rule that no breach reads as a pass."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox_kernel.jupyter.outcomes import CellRun, Outcome, Verdict, denials, judge


def error(name: str, text: str = "why") -> dict[str, Any]:
    return {"status": "error", "ename": name, "evalue": text, "traceback": []}


def limit(name: str) -> dict[str, Any]:
    return {"kind": "limit", "limit": name, "text": f"{name}: 5 s used, 5 s allowed"}


DENIED = {"kind": "denied", "text": "read not granted"}
KILLED = {"kind": "killed", "reason": "signal 11"}


@pytest.mark.parametrize(
    ("cell", "outcome", "code"),
    [
        (CellRun(0), Outcome.PASSED, ""),
        (CellRun(0, error=error("ValueError")), Outcome.FAILED, "error.ValueError"),
        (
            CellRun(0, error=error("LimitExceeded", "wall time")),
            Outcome.TIMED_OUT,
            "limit.wall_time",
        ),
        (CellRun(0, error=error("LimitExceeded", "CPU time")), Outcome.TIMED_OUT, "limit.cpu_time"),
        (CellRun(0, error=error("LimitExceeded", "memory")), Outcome.OUT_OF_MEMORY, "limit.memory"),
        (CellRun(0, error=error("MemoryError", "")), Outcome.OUT_OF_MEMORY, "limit.memory"),
        (CellRun(0, error=error("LimitExceeded", "output")), Outcome.OUTPUT_FLOOD, "limit.output"),
        (CellRun(0, error=error("LimitExceeded", "threads")), Outcome.FAILED, "limit.other"),
        (CellRun(0, error=error("WorkerDied")), Outcome.CRASHED, "worker.died"),
        (CellRun(0, error=error("RefusedSyntax")), Outcome.DENIED, "denied.RefusedSyntax"),
        (
            CellRun(0, error=error("ImportError", "ctypes: module not granted (x.toml: …)")),
            Outcome.DENIED,
            "denied.ImportError",
        ),
        (
            CellRun(0, error=error("AttributeError", "'__base__' of int is refused: relatives")),
            Outcome.DENIED,
            "denied.AttributeError",
        ),
        (CellRun(0, error=error("AttributeError")), Outcome.FAILED, "error.AttributeError"),
        (
            CellRun(0, error=error("PermissionError"), events=[DENIED]),
            Outcome.DENIED,
            "denied.PermissionError",
        ),
        (CellRun(0, error=error("PermissionError")), Outcome.FAILED, "error.PermissionError"),
        (
            CellRun(0, error=error("ValueError"), events=[DENIED]),
            Outcome.FAILED,
            "error.ValueError",
        ),
        (CellRun(0, events=[DENIED]), Outcome.PASSED, ""),
        (CellRun(0, events=[limit("wall_time")]), Outcome.TIMED_OUT, "limit.wall_time"),
        (CellRun(0, events=[limit("output")]), Outcome.OUTPUT_FLOOD, "limit.output"),
        (CellRun(0, events=[limit("threads")]), Outcome.FAILED, "limit.threads"),
        (CellRun(0, events=[KILLED]), Outcome.CRASHED, "worker.died"),
        (CellRun(0, events=[KILLED, limit("memory")]), Outcome.OUT_OF_MEMORY, "limit.memory"),
        (CellRun(0, expected=True, error=error("ValueError")), Outcome.PASSED, ""),
        (CellRun(0, expected=True, error=error("WorkerDied")), Outcome.CRASHED, "worker.died"),
        (
            CellRun(0, error=error("ConfinementFailed")),
            Outcome.NOT_RUN,
            "kernel.ConfinementFailed",
        ),
    ],
)
def test_one_cell(cell: CellRun, outcome: Outcome, code: str) -> None:
    verdict = judge([cell])
    assert (verdict.outcome, verdict.code) == (outcome, code)
    assert verdict.cell == (None if outcome is Outcome.PASSED else 0)


def test_the_first_unexpected_error_decides() -> None:
    cells = [
        CellRun(0, expected=True, error=error("KeyError")),
        CellRun(1, error=error("ValueError")),
        CellRun(2, error=error("TypeError")),
    ]
    assert judge(cells).code == "error.ValueError"
    assert judge(cells).cell == 1


def test_a_breach_anywhere_is_no_pass_and_goes_before_an_error() -> None:
    swallowed = CellRun(1, expected=True, events=[limit("wall_time")])
    assert judge([CellRun(0, error=error("ValueError")), swallowed]).outcome is Outcome.TIMED_OUT


def test_a_run_without_an_end_is_no_pass() -> None:
    stopped = Verdict(Outcome.TIMED_OUT, "notebook.timeout")
    assert judge([CellRun(0)], stopped) is stopped
    assert judge([], stopped) is stopped
    assert judge([CellRun(0, error=error("ValueError"))], stopped).outcome is Outcome.FAILED


def test_details_are_one_plain_line_of_bounded_length() -> None:
    verdict = judge(
        [CellRun(0, error=error("ValueError", "\x1b[31mone\n  two\x1b[0m" + "x" * 5000))]
    )
    assert verdict.detail.startswith("ValueError: one two")
    assert len(verdict.detail) < 700


def test_denials_are_counted_where_they_were_caught_too() -> None:
    assert denials([CellRun(0, events=[DENIED, KILLED]), CellRun(1, events=[DENIED])]) == 2
