"""Memory of an idle kernel (proportional set size), beside plain ipykernel's."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import psutil

from benchmarks.kernels import PLAIN, SANDBOXED, Kernel, interleaved, running
from benchmarks.report import Row, finish, parser

GOAL = 1.6
WORKER_MODULE = "sandbox_kernel.sandboxed"
SUPERVISOR, WORKER, SMALL = "supervisor", "worker", "warden and init"


def proportional(process: psutil.Process) -> float:
    """Proportional set size in MB (proc(5), smaps_rollup): shared pages are divided by sharers."""
    return float(process.memory_full_info().pss) / 1e6


def by_role(kernel: Kernel) -> dict[str, float]:
    """MB of each role's processes; a plain kernel is all supervisor."""
    shares = {SUPERVISOR: 0.0, WORKER: 0.0, SMALL: 0.0}
    for process in kernel.processes():
        if process.pid == kernel.process.pid:
            role = SUPERVISOR
        elif WORKER_MODULE in process.cmdline():
            role = WORKER
        else:
            role = SMALL
        shares[role] += proportional(process)
    return shares


def main(argv: Sequence[str]) -> int:
    """Measure each kernel after its first cell, a few fresh ones of each, never two at a time."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=3)
    options = words.parse_args(argv)
    taken: dict[str, list[dict[str, float]]] = {PLAIN: [], SANDBOXED: []}
    for _, name in interleaved(options.rounds):
        with running(name) as kernel:
            taken[name].append(by_role(kernel))
    plain = median(sum(shares.values()) for shares in taken[PLAIN])
    ours = {role: median(s[role] for s in taken[SANDBOXED]) for role in (SUPERVISOR, WORKER, SMALL)}
    pair = ours[SUPERVISOR] + ours[WORKER]
    rows = [
        Row(
            "supervisor and worker",
            pair / plain,
            "×",
            GOAL,
            f"{ours[SUPERVISOR]:.1f} + {ours[WORKER]:.1f} MB beside {plain:.1f} MB",
        ),
        Row("warden and init beside them", ours[SMALL], "MB"),
        Row("all processes", (pair + ours[SMALL]) / plain, "×"),
    ]
    title = f"Memory (PSS) after the first cell, median of {options.rounds}"
    return finish("memory", title, rows, options.json)
