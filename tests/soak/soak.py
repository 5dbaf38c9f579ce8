"""The soak: cells that count, one in five of which is killed in a random way.

Each cell adds one to a counter; a cell that is to die adds a thousand first, which must be undone.
After a warm-up the processes, mounts, descriptors and scratch files of the kernel are counted, and
at the end again: they must be the same.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.features.kernel.conftest import FULL_LANGUAGE, Kernel, started

POLICY = (
    FULL_LANGUAGE
    + """[limits]
wall_time = "700 ms"
grace = "300 ms"
memory = "800 MB"
[snapshots]
mode = "always"
"""
)
WARM_UP = 20
SETTLE = 20.0  # seconds for what has ended to be gone


@dataclass(frozen=True)
class Death:
    """A way to die: the cell, and words that its end must be told in.

    `from_outside`: the cell waits, and its process is killed by somebody else.
    """

    code: str
    told: tuple[str, ...]
    from_outside: bool = False


DEATHS = {
    "segfault": Death("import ctypes; ctypes.string_at(0)", ("WorkerDied", "SIGSEGV", "are back")),
    "exit": Death("import os; os._exit(9)", ("WorkerDied", "exit code 9", "are back")),
    "killed": Death(
        "print('ready', flush=True)\nimport time; time.sleep(30)",
        ("WorkerDied", "SIGKILL", "are back"),
        from_outside=True,
    ),
    "memory": Death(
        "import mmap\nwhile True:\n  try:\n    held = mmap.mmap(-1, 1 << 30)\n"
        "    for at in range(0, 1 << 30, 4096): held[at] = 1\n  except BaseException: pass",
        ("LimitExceeded", "are back"),
    ),
    "hang": Death(
        "import time\nwhile True:\n  try: time.sleep(30)\n  except BaseException: pass",
        ("LimitExceeded", "wall_time", "are back"),
    ),
}


@dataclass(frozen=True)
class Counts:
    """What a kernel holds of the machine."""

    processes: int
    threads: int
    mounts: int
    supervisor_descriptors: int
    worker_descriptors: int
    scratch_files: int


@dataclass
class Report:
    """What the soak saw. `faults` is empty when all is well."""

    cells: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    before: Counts | None = None
    after: Counts | None = None
    seconds: float = 0.0
    faults: list[str] = field(default_factory=list)

    def text(self) -> str:
        """For people."""
        ways = ", ".join(f"{count} {name}" for name, count in sorted(self.deaths.items()))
        lines = [
            f"{self.cells} cells in {self.seconds:.0f} s; deaths: {ways}",
            f"before: {self.before}",
            f"after:  {self.after}",
            *(self.faults or ["every cell was answered, nothing was lost, nothing is left"]),
        ]
        return "\n".join(lines)


def worker_pid(kernel: Kernel) -> int:
    """The worker's process id on this machine."""
    return int(kernel.request("usage_request", {}, "control").reply["content"]["pid"])


def count(kernel: Kernel) -> Counts:
    """What the kernel holds now."""
    worker = worker_pid(kernel)
    supervisor = psutil.Process(kernel.manager.provisioner.pid)
    family = [supervisor, *supervisor.children(recursive=True)]
    scratch = kernel.run("import tempfile, os\nprint(len(os.listdir(tempfile.gettempdir())))")
    return Counts(
        processes=len(family),
        threads=psutil.Process(worker).num_threads(),
        mounts=len(Path(f"/proc/{worker}/mountinfo").read_text().splitlines()),
        supervisor_descriptors=supervisor.num_fds(),
        worker_descriptors=len(os.listdir(f"/proc/{worker}/fd")),
        scratch_files=int(scratch.text() or -1),
    )


def settled(kernel: Kernel, wanted: Counts | None) -> Counts:
    """The counts, as soon as they are the wanted ones, or when waiting is of no use any more.

    Without wanted ones: as soon as they are twice the same.
    """
    end = time.monotonic() + SETTLE
    found, before = count(kernel), wanted
    while found != before and time.monotonic() < end:
        before = before if wanted is not None else found
        found = count(kernel)
    return found


def soak(
    folder: Path,
    cells: int,
    seed: int,
    level: str | None = None,
    show: Callable[[str], object] = lambda line: None,
) -> Report:
    """Run `cells` cells in one kernel."""
    dice = random.Random(seed)
    report = Report(cells=cells)
    began = time.monotonic()
    kernel = started(folder, level=level, policy=POLICY)
    try:
        assert kernel.run("counter = 0").status == "ok"
        expected = 0
        for number in range(WARM_UP + cells):
            if number == WARM_UP:
                report.before = settled(kernel, None)
            dying = number < len(DEATHS) or dice.random() < 0.2
            if dying:
                name = list(DEATHS)[number] if number < len(DEATHS) else dice.choice([*DEATHS])
                report.deaths[name] += 1
                fault = _die(kernel, DEATHS[name])
            else:
                expected += 1
                ran = kernel.run("counter += 1\nprint(counter)")
                fault = "" if ran.text() == f"{expected}\n" else f"{ran.text()!r} {ran.error}"
            if fault:
                report.faults.append(f"cell {number}: {fault}")
                show(report.faults[-1])
                expected = int(kernel.run("counter = 0\nprint(counter)").text() or 0)
            if number and number % 200 == 0:
                show(f"{number} cells, {report.deaths.total()} deaths, {len(report.faults)} faults")
        report.after = settled(kernel, report.before)
        if report.after != report.before:
            report.faults.append("what the kernel holds is not the same before and after")
    finally:
        report.seconds = time.monotonic() - began
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel(now=not kernel.manager.is_alive())
    return report


def _die(kernel: Kernel, death: Death) -> str:
    """Run a cell to its death; empty when its end was told as it must be."""
    code = f"counter += 1000\n{death.code}"
    if death.from_outside:
        cell = kernel.client.execute(code)
        kernel.published(
            lambda m: m["msg_type"] == "stream" and "ready" in m["content"].get("text", "")
        )
        psutil.Process(worker_pid(kernel)).kill()
        content = kernel.reply_to(cell)["content"]
    else:
        content = kernel.run(code).reply["content"]
    told = f"{content.get('status')} {content.get('ename')}: {content.get('evalue')}"
    missing = [word for word in ("error", *death.told) if word not in told]
    return f"{missing} not in {told}" if missing else ""
