"""Cold start: from the process's start to the first replies, beside plain ipykernel's."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.kernels import PLAIN, SANDBOXED, interleaved, running
from benchmarks.report import Row, finish, parser

GOAL = 1.25


def main(argv: Sequence[str]) -> int:
    """Start each kernel a few times in turn; the ratio of the medians is what counts."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=7)
    options = words.parse_args(argv)
    taken: dict[str, dict[str, list[float]]] = {PLAIN: {}, SANDBOXED: {}}
    for number, name in interleaved(options.rounds + 1):
        with running(name) as kernel:
            if number == 0:
                continue  # fills the page cache and writes the byte code
            for mark, seconds in kernel.marks.items():
                taken[name].setdefault(mark, []).append(seconds)
    rows = []
    for mark, label in (("kernel_info", "kernel_info"), ("cell", "a cell")):
        plain, ours = median(taken[PLAIN][mark]), median(taken[SANDBOXED][mark])
        detail = f"{1e3 * ours:.0f} ms beside {1e3 * plain:.0f} ms"
        rows.append(Row(f"start to the first reply to {label}", ours / plain, "×", GOAL, detail))
    return finish("start", f"Cold start, median of {options.rounds}", rows, options.json)
