"""From a breach to the signal, the exception, the kill, and the next usable cell.

Each runaway runs in a kernel with low limits. The moment of a breach is exact for wall time; for
what is sampled it is taken as the last look that did not show it, so that the times are upper
bounds. The time to the exception ends with the reply, so it contains the traceback.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.report import Row, finish, parser
from tests.features.kernel.conftest import FULL_LANGUAGE, Kernel, started

GRACE, MEMORY = 1.0, 600e6
POLICY = (
    FULL_LANGUAGE
    + """[[given.processes]]
spawn = true
reason = "the fork bomb"
[limits]
wall_time = "1 s"
grace = "1 s"
memory = "600 MB"
output = "5 MB"
threads = 40
processes = 10
scratch = "50 MB"
created_files = 2000
[snapshots]
mode = "always"
"""
)


@dataclass(frozen=True)
class Runaway:
    """A cell that does not stop by itself."""

    name: str
    code: str


RUNAWAYS = (
    Runaway("while True", "while True: pass"),
    Runaway("catastrophic regex", "import re\nre.match(r'(a+)+$', 'a' * 60 + 'b')"),
    Runaway("10**10**8", "10**10**8"),
    Runaway("sum(range(10**12))", "sum(range(10**12))"),
    Runaway("big sort", "import random\nsorted([random.random() for _ in range(10**7)] * 9)"),
    Runaway("gradual leak", "held = []\nwhile True: held.append(bytearray(b'x') * 100_000)"),
    Runaway("bytearray(10**10)", "bytearray(10**10)"),
    Runaway(
        "thread bomb",
        "import threading\nstop = threading.Event()\ntry:\n"
        "    while True: threading.Thread(target=stop.wait, daemon=True).start()\n"
        "finally: stop.set()",
    ),
    Runaway(
        "fork bomb",
        "import os, time\nwhile True:\n    if os.fork() == 0:\n        while True: time.sleep(1)",
    ),
    Runaway("1 GB print flood", "for _ in range(10**6): print('x' * 1000)"),
    Runaway(
        "disk filler",
        "import tempfile\nwith tempfile.TemporaryFile() as f:\n"
        "    while True: f.write(b'x' * 1_000_000); f.flush()",
    ),
    Runaway(
        "100,000 small files",
        "import tempfile\nat = tempfile.mkdtemp()\n"
        "for i in range(100_000): open(f'{at}/{i}', 'w').close()",
    ),
)


@dataclass
class Measured:
    """One run: seconds from the breach to each of these, None where it did not come to that."""

    signal: float | None
    exception: float | None
    kill: float | None
    next_cell: float | None
    peak_memory: float
    kept: bool


def measure(kernel: Kernel, runaway: Runaway) -> Measured:
    """One run of one runaway. The supervisor's events carry its monotonic clock, which is ours."""
    kernel.run("kept = 'yes'")
    reply = kernel.reply_to(kernel.client.execute(runaway.code))
    ended = time.monotonic()  # What this client has yet to read of a flood is not the kernel's.
    following = kernel.client.execute("print(kept)")
    kernel.reply_to(following)
    answered = time.monotonic()
    events, text = published_until(kernel, following)
    breach = next((e for e in events if e["kind"] == "limit"), None)
    killed = next((e for e in events if e["kind"] == "killed"), None)
    request = {"command": "status", "arguments": {}}
    status = kernel.request("sandbox_request", request, "control").reply["content"]
    told = breach is not None and reply["content"]["status"] == "error"
    late = breach.get("late") if breach is not None else None
    since = breach["at"] - (late or 0.0) if breach is not None else ended
    return Measured(
        signal=late,
        exception=None if killed else ended - since,
        kill=killed["at"] - since if killed else None,
        next_cell=answered - killed["at"] if killed else None,
        peak_memory=float(status["peak_memory"]),
        kept=text == "yes\n" and told,
    )


def published_until(kernel: Kernel, cell: str) -> tuple[list[dict[str, Any]], str]:
    """The supervisor's events until a cell is over, and the text of that cell."""
    events: list[dict[str, Any]] = []
    text = ""

    def idle(message: dict[str, Any]) -> bool:
        nonlocal text
        content = message["content"]
        if message["msg_type"] == "sandbox_event":
            events.append(content)
        if message["parent_header"].get("msg_id") != cell:
            return False
        if message["msg_type"] == "stream":
            text += content["text"]
        return content.get("execution_state") == "idle"

    kernel.published(idle)
    return events, text


def main(argv: Sequence[str]) -> int:
    """Measure every runaway a few times."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=3)
    options = words.parse_args(argv)
    rows: list[Row] = []
    found: list[Measured] = []
    lost: list[str] = []
    for runaway in RUNAWAYS:
        with tempfile.TemporaryDirectory() as folder:
            kernel = started(Path(folder), policy=POLICY)
            try:
                kernel.run("1/0")  # The first traceback of a process imports what formats it.
                these = [measure(kernel, runaway) for _ in range(options.rounds)]
            finally:
                kernel.client.stop_channels()
                kernel.manager.shutdown_kernel(now=True)
        found += these
        lost += [runaway.name for each in these if not each.kept]
        rows += _rows(runaway, these)
    signals = [each.signal for each in found if each.signal is not None]
    exceptions = [each.exception for each in found if each.exception is not None]
    nexts = [each.next_cell for each in found if each.next_cell is not None]
    rows.append(Row("breach to signal, median of all", 1e3 * median(signals), "ms", 100))
    rows.append(Row("breach to exception, median of all", 1e3 * median(exceptions), "ms", 100))
    if nexts:
        rows.append(Row("kill to the next cell's reply, median", 1e3 * median(nexts), "ms", 50))
    most = max(each.peak_memory for each in found) / MEMORY
    rows.append(Row("worker and copy together, at most", most, "× the limit", 1.05))
    rows.append(Row("variables lost", len(lost), "times", 0, ", ".join(sorted(set(lost)))))
    return finish("limits", f"Limits, {options.rounds} rounds each", rows, options.json)


def _rows(runaway: Runaway, found: Sequence[Measured]) -> list[Row]:
    rows = []
    kills = [each.kill - GRACE for each in found if each.kill is not None]
    exceptions = [each.exception for each in found if each.exception is not None]
    if kills:
        detail = f"{len(kills)} of {len(found)} runs; beyond the grace of {GRACE:g} s"
        rows.append(Row(f"{runaway.name}: killed late by", 1e3 * max(kills), "ms", 50, detail))
    if exceptions:
        name = f"{runaway.name}: breach to the reply with the exception"
        rows.append(Row(name, 1e3 * median(exceptions), "ms", 100))
    return rows
