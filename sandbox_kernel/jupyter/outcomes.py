"""What became of a notebook that was run unattended, in one word that programs can act on.

Rules, the first that applies decides:

1. A breach of a limit, and a worker that died, count wherever they happened, also in a cell that
   swallowed the exception or was expected to fail: no breach ever reads as a pass.
2. The first cell that failed without being expected to decides by the kind of its error.
3. A run that did not come to its end is no pass, whatever its cells said.
4. What is left has passed. Denials that the notebook caught itself are counted and change nothing.

Breaches and denials are taken from the supervisor's `sandbox_event` messages, which no cell can
send. The names of exceptions are the second source: a cell may raise what it likes, but all that it
wins by a forged name is another word for "not passed".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """The typed outcomes. The values are what the results file holds."""

    PASSED = "passed"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    OUT_OF_MEMORY = "out of memory"
    CRASHED = "crashed"
    DENIED = "denied"
    OUTPUT_FLOOD = "output flood"
    INVALID = "invalid"
    """The file is no notebook that this kernel could run; nothing of it was run."""
    NOT_RUN = "not run"
    """No sandboxed kernel could be started: the machine's or the policy's fault, to be repeated."""


@dataclass(frozen=True)
class Verdict:
    """An outcome and why.

    `code` is stable and made for programs; `detail` is for people. `cell` is the index of the cell
    that decided, among all cells of the notebook, or None.
    """

    outcome: Outcome
    code: str = ""
    detail: str = ""
    cell: int | None = None


@dataclass
class CellRun:
    """What was seen of one executed cell.

    `error` is the reply's content when it ended in an error. `expected` says that the notebook or
    the caller wants to go on after it.
    """

    index: int
    expected: bool = False
    error: Mapping[str, Any] | None = None
    events: list[Mapping[str, Any]] = field(default_factory=list)


BREACHES: Mapping[str, Outcome] = {
    "wall_time": Outcome.TIMED_OUT,
    "cpu_time": Outcome.TIMED_OUT,
    "memory": Outcome.OUT_OF_MEMORY,
    "output": Outcome.OUTPUT_FLOOD,
}
# How the text of `LimitExceeded` begins to tell which limit it was, where no event came.
_LIMIT_WORDS = (
    ("wall_time", re.compile(r"\bwall", re.IGNORECASE)),
    ("cpu_time", re.compile(r"\bcpu", re.IGNORECASE)),
    ("memory", re.compile(r"\bmemory\b", re.IGNORECASE)),
    ("output", re.compile(r"\boutput\b", re.IGNORECASE)),
)
_REFUSED_WHOLE = "RefusedSyntax"
_DENIABLE = frozenset(
    {"PermissionError", "URLError", "ImportError", "ModuleNotFoundError", "AttributeError"}
    | {"TypeError"}
)
# The walls' and the dialect's wording of a refusal, for what the supervisor hears nothing of.
_REFUSAL = re.compile(r"\bnot granted \(|\bis refused: ")
_KERNEL_FAULTS = frozenset(
    {"KernelFault", "BadConnection", "ConfinementFailed", "WorkerUnavailable", "BadPolicy"}
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST_DETAIL = 600


def judge(cells: Sequence[CellRun], stopped: Verdict | None = None) -> Verdict:
    """Decide on a run.

    `cells` in the order in which they ran; `stopped` is why the run did not come to its end, None
    when it did or when the error of the last cell says so.
    """
    for cell in cells:
        verdict = _breach(cell)
        if verdict is not None:
            return verdict
    for cell in cells:
        if cell.error is not None and not cell.expected:
            return _error(cell, cell.error)
    return stopped or Verdict(Outcome.PASSED)


def denials(cells: Sequence[CellRun]) -> int:
    """How many requests the supervisor refused during the run, caught by the notebook or not."""
    return sum(event.get("kind") == "denied" for cell in cells for event in cell.events)


def _breach(cell: CellRun) -> Verdict | None:
    events = {str(event.get("kind")): event for event in reversed(cell.events)}
    error = cell.error or {}
    name, text = str(error.get("ename", "")), str(error.get("evalue", ""))
    if "limit" in events:
        told = events["limit"]
        return _limit(str(told.get("limit", "")), str(told.get("text") or text), cell.index)
    if name == "LimitExceeded":
        limit = next((limit for limit, words in _LIMIT_WORDS if words.search(text)), "")
        return _limit(limit, text, cell.index)
    if "killed" in events or name == "WorkerDied":
        why = str(events.get("killed", {}).get("reason", ""))
        return _verdict(Outcome.CRASHED, "worker.died", text or why, cell.index)
    if name == "MemoryError":
        return _verdict(Outcome.OUT_OF_MEMORY, "limit.memory", text or name, cell.index)
    return None


def _limit(limit: str, text: str, cell: int) -> Verdict:
    return _verdict(BREACHES.get(limit, Outcome.FAILED), f"limit.{limit or 'other'}", text, cell)


def _error(cell: CellRun, error: Mapping[str, Any]) -> Verdict:
    name, text = str(error.get("ename", "")), str(error.get("evalue", ""))
    detail = f"{name}: {text}"
    if name in _KERNEL_FAULTS:
        return _verdict(Outcome.NOT_RUN, f"kernel.{name}", detail, cell.index)
    denied = any(event.get("kind") == "denied" for event in cell.events)
    if name == _REFUSED_WHOLE or (name in _DENIABLE and (denied or _REFUSAL.search(text))):
        return _verdict(Outcome.DENIED, f"denied.{name}", detail, cell.index)
    return _verdict(Outcome.FAILED, f"error.{name}", detail, cell.index)


def _verdict(outcome: Outcome, code: str, detail: str, cell: int | None) -> Verdict:
    plain = " ".join(_COLOUR.sub("", detail).split())
    if len(plain) > _LONGEST_DETAIL:
        plain = f"{plain[:_LONGEST_DETAIL]}…"
    return Verdict(outcome, code, plain, cell)
