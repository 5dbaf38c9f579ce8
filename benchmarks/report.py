"""The table that every benchmark ends with: what was measured, the goal, the verdict."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of a table.

    `measured` is in `unit`; `at_most` is the goal in the same unit, None where a number is only
    shown; `detail` says what it was computed from.
    """

    what: str
    measured: float
    unit: str
    at_most: float | None = None
    detail: str = ""

    @property
    def met(self) -> bool:
        """Whether the goal is met; a number that is only shown always is."""
        return self.at_most is None or self.measured <= self.at_most

    @property
    def verdict(self) -> str:
        """What the table's last column says."""
        return "" if self.at_most is None else "ok" if self.met else "MISSED"


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line that has at least `--json`."""
    words = argparse.ArgumentParser(prog="python -m benchmarks", description=description)
    words.add_argument("--json", type=Path, help="add the rows to this file, under the name")
    return words


def render(title: str, rows: Sequence[Row]) -> str:
    """The table as text."""
    cells = [("", "measured", "goal", "verdict", "from")]
    for row in rows:
        goal = "" if row.at_most is None else f"≤ {row.at_most:g} {row.unit}".rstrip()
        number = f"{row.measured:.3g} {row.unit}".rstrip()
        cells.append((row.what, number, goal, row.verdict, row.detail))
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    lines = []
    for line in cells:
        padded = [text.ljust(width) for text, width in zip(line, widths, strict=False)]
        lines.append("  ".join([*padded, line[4]]))
    return "\n".join([title, *(f"  {line.rstrip()}" for line in lines)])


def finish(name: str, title: str, rows: Sequence[Row], json_file: Path | None) -> int:
    """Print the table, add it to the JSON file if one is wanted; 1 when a goal is missed."""
    print(render(title, rows), flush=True)
    if json_file is not None:
        document = json.loads(json_file.read_text()) if json_file.exists() else {}
        document[name] = {
            "python": platform.python_version(),
            "kernel": platform.release(),
            "rows": [{**asdict(row), "met": row.met} for row in rows],
        }
        json_file.write_text(json.dumps(document, indent=1) + "\n")
    return 0 if all(row.met for row in rows) else 1
