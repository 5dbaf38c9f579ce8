"""Real notebooks and examples in the restricted dialect: what is refused, what comes out alike.

The corpus is fetched for the run from the source distributions of packages that carry notebooks
or examples; nothing of it is kept. Refusals are counted on every cell. A part of the documents is
run in plain IPython and in the dialect, and the outputs of each cell are compared.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from benchmarks.corpus_cells import Document, documents
from benchmarks.report import Row, finish, parser
from benchmarks.sources import fetch, unpack
from sandbox_kernel.language import DialectRules, RefusedSyntax, Session

PACKAGES = (
    "matplotlib scikit-learn seaborn networkx statsmodels sympy ipywidgets nbgrader scipy"
).split()
CELLS, REFUSED, ALIKE = 5000, 0.02, 99.5  # cells at least; percent at most; percent at least
_ROOT = Path(__file__).resolve().parents[1]
_AWAIT = 0x2000  # ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_NORMAL = (
    (re.compile(r"0x[0-9a-fA-F]{6,}"), "0xADDRESS"),
    (re.compile(r"\b\d+(\.\d+)?(e-?\d+)? ?(s|ms|us|µs|ns|sec|seconds|minutes)\b"), "TIME"),
    (re.compile(r"\d\d:\d\d(:\d\d)?"), "CLOCK"),
    (re.compile(r"/tmp/[\w./-]+"), "PATH"),
    (re.compile(r"(Time|Date|elapsed|took)[^\n]*", re.IGNORECASE), "TIMED LINE"),
    (re.compile(r"<ipython-input-[^>]*>|In\[\d+\]|Cell In ?\[\d+\]"), "CELL"),
)


def normal(text: str) -> str:
    """The documented normaliser: addresses, times, clock times, temporary paths, cell numbers,
    and the order of the words within braces (sets)."""
    for pattern, name in _NORMAL:
        text = pattern.sub(name, text)
    return re.sub(r"\{([^{}]*)\}", lambda m: "{" + ",".join(sorted(m[1].split(","))) + "}", text)


def corpus(packages: Sequence[str], folder: Path, kept: Path | None) -> list[tuple[Path, Document]]:
    """Fetch and read the packages; each document with the folder that it lies in."""
    found = []
    for package in packages:
        archive = _kept(package, kept) or fetch(package, kept or folder)
        if archive is not None:
            root = unpack(archive, folder)
            found += [(root, document) for document in documents(package, root)]
    return found


def _kept(package: str, folder: Path | None) -> Path | None:
    if folder is None:
        return None
    name = package.replace("-", "_")
    return next(iter(sorted(folder.glob(f"{name}-*.tar.gz"))), None)


def refusals(found: Sequence[tuple[Path, Document]]) -> tuple[int, list[str]]:
    """How many cells there are, and a line for each that the dialect refuses."""
    session = Session(DialectRules(), freeze=False)
    count, refused = 0, []
    manager = TransformerManager()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, document in found:
            for cell in document.cells:
                count += 1
                try:
                    session.check(manager.transform_cell(cell), "<cell>", flags=_AWAIT)
                except RefusedSyntax as error:
                    refused.append(f"{document.package}/{document.path}: {error.msg}")
                except SyntaxError:
                    continue  # no Python of this version: plain IPython refuses it too
    return count, refused


def play(
    found: Sequence[tuple[Path, Document]], seconds: float, folder: Path
) -> dict[str, list[Any]]:
    """Run the documents plainly twice (to know what is never the same) and in the dialect."""
    jobs = folder / "jobs.json"
    jobs.write_text(
        json.dumps(
            [
                {
                    "package": document.package,
                    "path": document.path,
                    "root": str(root),
                    "cells": document.cells,
                    "seconds": seconds,
                }
                for root, document in found
            ]
        ),
        encoding="utf-8",
    )
    results = {}
    for name, variant in (("first", "plain"), ("ours", "restricted"), ("again", "plain")):
        out = folder / f"{name}.jsonl"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.corpus_play", variant, str(jobs), str(out)],
            cwd=_ROOT,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            stdout=subprocess.DEVNULL,
            check=True,
        )
        results[name] = [
            {"limit": seconds} | json.loads(line) for line in out.read_text("utf-8").splitlines()
        ]
    return results


def compare(results: dict[str, list[Any]]) -> tuple[int, int, list[str]]:
    """Cells that run plainly and come out the same twice; how many are alike; the others."""
    asked, alike, told = 0, 0, []
    for first, ours, again in zip(results["first"], results["ours"], results["again"], strict=True):
        for number, cell in enumerate(first["cells"]):
            if cell["error"] is not None or number >= len(again["cells"]):
                continue
            if normal(again["cells"][number]["text"]) != normal(cell["text"]):
                continue
            mine = ours["cells"][number] if number < len(ours["cells"]) else None
            if _beyond_limits(first, mine):
                continue
            asked += 1
            if mine and mine["error"] is None and normal(mine["text"]) == normal(cell["text"]):
                alike += 1
                continue
            why = "no end" if mine is None else f"{mine['error']}: {mine['why']}"
            if mine is not None and mine["error"] is None:
                why = _difference(cell["text"], mine["text"])
            told.append(f"{first['package']}/{first['path']} cell {number + 1}: {why}"[:300])
    return asked, alike, told


def _beyond_limits(first: dict[str, Any], mine: dict[str, Any] | None) -> bool:
    """Cells that the comparison does not ask for: of documents that need most of the time limit,
    and those that start programs, which the policy of the run does not grant."""
    if mine is None:
        return sum(c["seconds"] for c in first["cells"]) > first["limit"] / 4
    return mine["error"] == "PermissionError" and "processes not granted" in mine["why"]


def _difference(plain: str, ours: str) -> str:
    lines = difflib.unified_diff(normal(plain).splitlines(), normal(ours).splitlines(), n=0)
    return "output differs: " + " | ".join(list(lines)[3:7])


def main(argv: Sequence[str]) -> int:
    """Fetch, count, run, compare, and print; 1 when a goal is missed."""
    words = parser(__doc__)
    words.add_argument("--only", action="append", help="a package; repeatable")
    words.add_argument("--documents", type=int, default=40, help="documents run, per package")
    words.add_argument("--seconds", type=float, default=30.0, help="for one document")
    words.add_argument("--every", type=int, default=1, help="run every n-th document only")
    words.add_argument("--sources", type=Path, help="keep source distributions in this folder")
    options = words.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="corpus-") as name:
        folder = Path(name)
        found = corpus(options.only or PACKAGES, folder, options.sources)
        count, refused = refusals(found)
        taken: Counter[str] = Counter()
        chosen = []
        for root, document in found[:: options.every]:
            taken[document.package] += 1
            if taken[document.package] <= options.documents:
                chosen.append((root, document))
        asked, alike, told = compare(play(chosen, options.seconds, folder))
    for line in [*refused, *told]:
        print(f"  {line}")
    rows = [
        Row("cells read", count, "", None, ", ".join(options.only or PACKAGES)),
        Row("refused", 100 * len(refused) / max(count, 1), "%", REFUSED, f"{len(refused)} cells"),
        Row(
            "not alike, of those that run plainly",
            100 - 100 * alike / max(asked, 1),
            "%",
            100 - ALIKE,
            f"{asked - alike} of {asked} cells of {len(chosen)} documents",
        ),
    ]
    status = finish("corpus", "Real cells in the dialect", rows, options.json)
    enough = count >= CELLS or options.only is not None
    if not enough:
        print(f"  fewer than {CELLS} cells: MISSED")
    return status if enough else 1
