"""The output gate's own time: DataFrames of 20 KB and 3 MB, its share of 10,000 printed lines."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from benchmarks.kernels import SANDBOXED, running
from benchmarks.output import CELL
from benchmarks.report import Row, finish, parser
from sandbox_kernel.trusted.output_gate import DisplayRules, OutputCaps, OutputGate

SMALL_GOAL, LARGE_GOAL, SHARE_GOAL = 1.5, 200.0, 2.0
"""Milliseconds, milliseconds, per cent."""


def table(rows: int) -> str:
    """The HTML of a DataFrame of eight columns, as pandas sends it."""
    import numpy
    import pandas

    frame = pandas.DataFrame(numpy.random.default_rng(0).random((rows, 8)))
    with pandas.option_context("display.max_rows", None):
        return str(frame.to_html(notebook=True, max_rows=None))


def styled(rows: int) -> str:
    """The same through a Styler: ids, classes and a sheet, which take the long way."""
    import numpy
    import pandas

    frame = pandas.DataFrame(numpy.random.default_rng(0).random((rows, 8)))
    return str(frame.style.background_gradient().to_html())


def seconds(work: Callable[[], object], rounds: int) -> float:
    """Median time of `work`."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return median(taken)


def shown(gate: OutputGate, html: str) -> Any:
    """One display_data through the gate."""
    gate.begin_cell("cell", OutputCaps(output=1 << 40))
    return gate.iopub("display_data", {"data": {"text/html": html}, "metadata": {}}, {}, [])


def streams() -> tuple[list[str], float]:
    """The stream messages of 10,000 printed lines under the real kernel, and their seconds."""
    with running(SANDBOXED) as kernel:
        for _ in range(2):
            started = time.perf_counter()
            messages = kernel.until_idle(kernel.client.execute(CELL))
            taken = time.perf_counter() - started
    return [m["content"]["text"] for m in messages if m["msg_type"] == "stream"], taken


def main(argv: Sequence[str]) -> int:
    """Measure in this process what the supervisor pays for each."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=15)
    options = words.parse_args(argv)
    gate = OutputGate(DisplayRules())
    rows = []
    for name, html, goal in (
        ("DataFrame", table(85), SMALL_GOAL),
        ("DataFrame", table(13_000), LARGE_GOAL),
        ("Styler", styled(15), None),
    ):
        taken = 1e3 * seconds(lambda html=html: shown(gate, html), options.rounds)  # type: ignore[misc]
        rows.append(Row(f"{name}, {len(html) / 1e3:,.0f} KB", taken, "ms", goal))
    texts, whole = streams()

    def again() -> None:
        gate.begin_cell("cell", OutputCaps())
        for text in texts:
            gate.iopub("stream", {"name": "stdout", "text": text}, {}, [])

    share = 100 * seconds(again, options.rounds) / whole
    detail = f"{len(texts)} messages in {1e3 * whole:.0f} ms"
    rows.append(Row("10,000 printed lines, the gate's share", share, "%", SHARE_GOAL, detail))
    return finish("gate", "Output gate", rows, options.json)
