"""Documents in plain IPython and in the dialect, turn by turn, and what comes out of each cell.

A document is run plainly first. Cells that then raise, or are not reached within the time limit,
ask nothing of the dialect. The others are run in the dialect; a cell that differs counts only
when a second plain run shows what the first one did.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.corpus_cells import Document

__all__ = ["Outcome", "Players", "compare", "normal"]

_ROOT = Path(__file__).resolve().parents[1]
_LONGER = 2.0  # times the limit of the plain run that the same cells get in the dialect
_NOT_GRANTED = re.compile(
    r"(module|processes) not granted|packages are installed by the administrator"
)
_NORMAL = (
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0xADDRESS"),
    (re.compile(r"\b\d+(\.\d+)?(e-?\d+)? ?(s|ms|us|µs|ns|sec|seconds|minutes)\b"), "TIME"),
    (re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?"), "CLOCK"),
    (re.compile(r"/tmp/[\w./-]+"), "PATH"),
    (re.compile(r"(Time|Date|elapsed|took)[^\n]*", re.IGNORECASE), "TIMED LINE"),
    (re.compile(r"<ipython-input-[^>]*>|In\[\d+\]|Cell In ?\[\d+\]"), "CELL"),
)


def normal(text: str) -> str:
    """The documented normaliser: addresses, times, clock times, temporary paths, cell numbers,
    and the order of the words within braces (sets)."""
    for pattern, name in _NORMAL:
        text = pattern.sub(name, text)
    return re.sub(r"\{([^{}]*)\}", _sorted_words, text)


def _sorted_words(braces: re.Match[str]) -> str:
    return "{" + ", ".join(sorted(word.strip() for word in braces[1].split(","))) + "}"


@dataclass
class Outcome:
    """What became of one document: cells asked, and whether they came out alike; how many of them
    show something; differences; why the other cells were not asked."""

    cells: list[tuple[str, bool]] = field(default_factory=list)
    shown: int = 0
    told: list[str] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)

    def skip(self, reason: str, cells: int = 1) -> None:
        """Note that cells were not asked."""
        self.skipped[reason] = self.skipped.get(reason, 0) + cells

    @property
    def asked(self) -> int:
        """Cells that ran plainly, the same twice where that was looked at."""
        return len(self.cells)

    @property
    def alike(self) -> int:
        """Those of them that came out the same in the dialect."""
        return sum(alike for _, alike in self.cells)


class Players:
    """The two interpreters, each a process that plays one document at a time."""

    def __init__(self, python: str, seconds: float, modules: Sequence[str] = ()) -> None:
        """A document may take ``seconds`` of processor time. ``modules`` are what the dialect's
        rules give; none means the corpus's own list."""
        self._seconds = seconds
        environment = {
            **os.environ,
            "PYTHONHASHSEED": "0",
            "MPLBACKEND": "agg",
            "PYTHONPATH": str(_ROOT),
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            # what a cell wants to fetch fails at once, in either interpreter
            **dict.fromkeys(("http_proxy", "https_proxy", "ftp_proxy"), "http://127.0.0.1:9"),
        }
        self._running = {
            variant: subprocess.Popen(
                [python, "-m", "benchmarks.corpus_play", variant, *modules],
                cwd=_ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for variant in ("plain", "restricted")
        }

    def play(
        self, variant: str, root: Path, document: Document, cells: Sequence[str], longer: float = 1
    ) -> dict[str, Any]:
        """Run the ``cells`` of a document, within ``longer`` times the limit."""
        job = {
            "root": str(root),
            "path": document.path,
            "cells": list(cells),
            "each_statement": document.each_statement,
            "seconds": self._seconds * longer,
        }
        process = self._running[variant]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        return dict(json.loads(process.stdout.readline()))

    def end(self) -> None:
        """End both processes."""
        for process in self._running.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def compare(players: Players, root: Path, document: Document) -> Outcome:
    """Play ``document`` in both interpreters."""
    outcome = Outcome()
    plain = players.play("plain", root, document, document.cells)["cells"]
    unreached = len(document.cells) - len(plain)
    if unreached:
        outcome.skip("not reached within the time limit", unreached)
    if all(cell["error"] is not None for cell in plain):
        for cell in plain:
            outcome.skip(_reason(cell))
        return outcome
    cells = document.cells[: len(plain)]
    ours = players.play("restricted", root, document, cells, _LONGER)["cells"]
    again: list[dict[str, Any]] | None = None
    held = False
    for number, cell in enumerate(plain):
        if cell["error"] is not None:
            outcome.skip(_reason(cell))
            continue
        mine = ours[number] if number < len(ours) else None
        why = _difference(cell, mine)
        if why is not None and again is None:
            again = players.play("plain", root, document, cells, _LONGER)["cells"]
        if why is not None and again is not None:
            second = again[number] if number < len(again) else None
            if _difference(cell, second) is not None:
                outcome.skip("not the same twice in plain CPython")
                continue
            if mine is not None and (policy := _NOT_GRANTED.search(mine["why"])):
                held = True
                outcome.skip(f"the run's policy does not grant it: {policy[0]}")
                continue
            if held and mine is not None and mine["error"] == "NameError":
                outcome.skip("needs a name of a cell that the policy held up")
                continue
        outcome.cells.append((document.cells[number], why is None))
        outcome.shown += bool(cell["text"])
        if why is not None:
            outcome.told.append(f"{document.package}/{document.path} cell {number + 1}: {why}")
    return outcome


def _reason(cell: dict[str, Any]) -> str:
    """Why a cell that raises in plain CPython does not run here."""
    kind, why = cell["error"], cell["why"]
    if kind == "ModuleNotFoundError":
        return "needs a module that is not installed"
    if kind in ("URLError", "ConnectionError", "ProxyError", "gaierror") or "proxy" in why.lower():
        return "needs the network"
    if kind == "FileNotFoundError":
        return "needs a file that is not there"
    if kind == "NameError":
        return "needs a name of an earlier cell that did not run"
    return "raises another exception"


def _difference(plain: dict[str, Any], other: dict[str, Any] | None) -> str | None:
    """How ``other`` differs from a cell that ran plainly, or None."""
    if other is None:
        return "no end within the time limit"
    if other["error"] is not None:
        return f"{other['error']}: {other['why']}"
    here, there = normal(plain["text"]).splitlines(), normal(other["text"]).splitlines()
    if here == there:
        return None
    lines = [line[:120] for line in difflib.unified_diff(here, there, n=0, lineterm="")]
    return "output differs: " + " | ".join(lines[3:7])
