"""A document's cells, played by both interpreters."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.corpus_cells import Document
from benchmarks.corpus_compare import Players, compare


def test_both_interpreters_play_a_document(tmp_path: Path) -> None:
    cells = (
        "print('shown')",
        "1 / 0",
        "import math\nmath.floor(2.5)",
        "import math\nmath.floor = 3",
        "import uuid\nuuid.uuid4()",
        "import ctypes",
    )
    players = Players(sys.executable, 30.0)
    try:
        outcome = compare(players, tmp_path, Document("package", "page.rst", cells))
    finally:
        players.end()
    assert [alike for _, alike in outcome.cells] == [True, True, False]
    assert outcome.shown == 2
    assert "modules are read-only" in outcome.told[0]
    assert outcome.skipped == {
        "raises another exception": 1,
        "not the same twice in plain CPython": 1,
        "the run's policy does not grant it: module not granted": 1,
    }
