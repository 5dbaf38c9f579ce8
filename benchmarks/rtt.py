"""Round trip of a small cell, from request to reply, beside plain ipykernel's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import median, quantiles

from benchmarks.kernels import (
    PLAIN,
    SANDBOXED,
    WITHOUT_SNAPSHOTS,
    Kernel,
    interleaved,
    running,
)
from benchmarks.report import Row, finish, parser

#: With snapshots a copy of the worker is made after each cell; see docs/limits.md.
GOALS = {WITHOUT_SNAPSHOTS: 0.7, SANDBOXED: 1.0}


def round_trips(kernel: Kernel, count: int) -> list[float]:
    """Seconds of each of `count` round trips of `1+1`, after some that are not counted."""
    for _ in range(20):
        kernel.run("1+1")
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        kernel.run("1+1")
        taken.append(time.perf_counter() - started)
    return taken


def main(argv: Sequence[str]) -> int:
    """Measure the kernels in turn, in several fresh processes each."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=4)
    words.add_argument("--cells", type=int, default=150)
    options = words.parse_args(argv)
    names = (PLAIN, *GOALS)
    taken: dict[str, list[float]] = {name: [] for name in names}
    for _, name in interleaved(options.rounds, names):
        with running(name) as kernel:
            taken[name] += round_trips(kernel, options.cells)
    rows = []
    for name, goal in GOALS.items():
        for label, at_most, pick in (
            ("median", goal, median),
            ("90th percentile", None, lambda values: quantiles(values, n=10)[-1]),
        ):
            plain, ours = pick(taken[PLAIN]), pick(taken[name])
            detail = f"{1e3 * ours:.2f} ms beside {1e3 * plain:.2f} ms"
            what = "without snapshots" if name == WITHOUT_SNAPSHOTS else "with snapshots"
            rows.append(Row(f"1+1 {what}, {label}", ours / plain, "×", at_most, detail))
    title = f"Round trip, {options.rounds} × {options.cells} cells each"
    return finish("rtt", title, rows, options.json)
