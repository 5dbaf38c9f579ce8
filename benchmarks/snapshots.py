"""What dormant copies cost: a fork after each cell, and pages copied in the next one.

Both kernels of a row run at the same time and take turns; ratios are of medians. The cost of a copy
is the time for which the worker stands still, as it says itself.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.kernels import PLAIN, running
from benchmarks.report import Row, finish, parser
from tests.features.kernel.conftest import FULL_LANGUAGE, Kernel, started

LIMITS = '[limits]\nmemory = "8 GB"\n[snapshots]\nmode = "{mode}"\n'
#: Seconds for which nobody asks for anything.
PAUSE = 0.05
REWRITES = "big += 1"


@contextmanager
def kernel(mode: str) -> Iterator[Kernel]:
    """A sandboxed kernel with the snapshot mode `mode`."""
    with tempfile.TemporaryDirectory() as folder:
        found = started(Path(folder), policy=FULL_LANGUAGE + LIMITS.format(mode=mode))
        try:
            yield found
        finally:
            found.client.stop_channels()
            found.manager.shutdown_kernel(now=True)


def status(of: Kernel) -> dict:
    """The answer to the control command `status`."""
    content = {"command": "status", "arguments": {}}
    return of.request("sandbox_request", content, "control").reply["content"]


def taken(of: Kernel, code: str) -> float:
    """Seconds of one cell, from request to reply."""
    started_at = time.perf_counter()
    of.reply_to(of.client.execute(code))
    return time.perf_counter() - started_at


def cost_of_a_copy(megabytes: int, rounds: int) -> tuple[float, float]:
    """Seconds that a copy takes a worker of that size, and megabytes that it really has."""
    with kernel("always") as found:
        found.run("import numpy as np")
        if megabytes > 60:
            found.run(f"big = np.ones({megabytes - 50} * 125_000)")
        seconds = []
        for _ in range(rounds):
            found.run("1+1")
            seconds.append(float(status(found)["copy_seconds"]))
        return median(seconds), float(status(found)["memory"]) / 1e6


def round_trips(rounds: int) -> list[Row]:
    """The round trip of `1+1` as fast as answers come, and a moment after the last one.

    The copy is made in the pause where there is one, which for a person is always.
    """
    rows = []
    with running(PLAIN) as plain, kernel("adaptive") as ours:
        for name, pause in (("", 0.0), (f", after {1e3 * PAUSE:.0f} ms", PAUSE)):
            theirs_taken: list[float] = []
            ours_taken: list[float] = []
            for _ in range(rounds):
                time.sleep(pause)
                at = time.perf_counter()
                plain.run("1+1")
                theirs_taken.append(time.perf_counter() - at)
                ours_taken.append(taken(ours, "1+1"))
            mine, other = median(ours_taken), median(theirs_taken)
            detail = f"{1e3 * mine:.2f} ms beside {1e3 * other:.2f} ms of plain ipykernel"
            rows.append(
                Row(f"round trip of 1+1 with snapshots{name}", mine / other, "×", 1.0, detail)
            )
    return rows


def main(argv: Sequence[str]) -> int:
    """Measure cost by size, the round trip, and a cell that rewrites a gigabyte."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=15)
    options = words.parse_args(argv)
    rows = []
    for megabytes in (50, 200, 1000):
        seconds, real = cost_of_a_copy(megabytes, options.rounds)
        detail = f"a worker of {real:.0f} MB"
        rows.append(Row(f"a copy at {megabytes} MB", 1e3 * seconds, "ms", None, detail))
    rows += round_trips(options.rounds * 10)
    with kernel("off") as without, kernel("adaptive") as ours, kernel("always") as always:
        found: dict[str, list[float]] = {"off": [], "adaptive": [], "always": []}
        every = {"off": without, "adaptive": ours, "always": always}
        for each in every.values():
            each.run("import numpy as np\nbig = np.ones(125_000_000)")
        for _ in range(options.rounds):
            for mode, each in every.items():
                found[mode].append(taken(each, REWRITES))
        off = median(found["off"])
        for mode, goal in (("adaptive", 1.3), ("always", None)):
            value = median(found[mode])
            detail = f"{1e3 * value:.0f} ms beside {1e3 * off:.0f} ms without copies"
            rows.append(Row(f"a cell that rewrites 1 GB, {mode}", value / off, "×", goal, detail))
    return finish("snapshots", f"Snapshots, {options.rounds} rounds", rows, options.json)
