"""Speed of the restricted dialect, beside plain CPython and stock RestrictedPython.

The three variants of a program take turns within one process, so that the machine's mood falls on
all alike; each ratio is the median of the ratios of a round. Processor time is measured: what else
runs on the machine counts less then.
"""

from __future__ import annotations

import contextlib
import gc
import io
import time
from collections.abc import Callable, Sequence
from statistics import geometric_mean, median
from typing import Any

from benchmarks import dialect_stock
from benchmarks.dialect_programs import Program, programs
from benchmarks.report import Row, finish, parser
from sandbox_kernel.language import DialectRules, Session

GEOMEAN, WORST = 1.05, 1.25
_MODULES = ("math", "random", "array", "io", "time", "operator", "functools", "itertools")


def _plain(program: Program) -> Callable[[], Any]:
    space: dict[str, Any] = {"__name__": "program"}
    exec(compile(program.source, f"<{program.name}>", "exec"), space)
    return space["work"]  # type: ignore[no-any-return]


def _ours(session: Session, program: Program) -> Callable[[], Any]:
    space = session.namespace()
    space["__name__"] = "program"
    session.run(program.source, space)
    return space["work"]  # type: ignore[no-any-return]


def _stock(program: Program) -> Callable[[], Any] | None:
    try:
        work = dialect_stock.run(program.source)["work"]
        _time(work)
    except Exception as error:
        print(f"stock RestrictedPython cannot run {program.name}: {type(error).__name__}: {error}")
        return None
    return work  # type: ignore[no-any-return]


def _time(work: Callable[[], Any]) -> float:
    with contextlib.redirect_stdout(io.StringIO()):
        began = time.process_time()
        work()
        return time.process_time() - began


def measure(session: Session, program: Program, rounds: int) -> dict[str, float | None]:
    """Seconds in plain CPython, and the ratios to it: ours, stock (None where it cannot run)."""
    plain, ours, stock = _plain(program), _ours(session, program), _stock(program)
    _time(plain), _time(ours)
    taken: dict[str, list[float]] = {"plain": [], "ours": [], "stock": []}
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            pair = (plain, ours) if number % 2 else (ours, plain)
            first, second = _time(pair[0]), _time(pair[1])
            base, mine = (first, second) if number % 2 else (second, first)
            taken["plain"].append(base)
            taken["ours"].append(mine / base)
            if stock is not None and number < max(3, rounds // 6):
                taken["stock"].append(_time(stock) / base)
    finally:
        gc.enable()
    return {name: median(numbers) if numbers else None for name, numbers in taken.items()}


def rows(rounds: int = 25, only: Sequence[str] = ()) -> list[Row]:
    """Measure all programs."""
    session = Session(DialectRules(modules=dict.fromkeys(_MODULES, "the benchmark")))
    found, ours, stock = [], [], []
    for program in programs():
        if only and program.name not in only:
            continue
        ratios = measure(session, program, rounds)
        mine, plain = ratios["ours"], ratios["plain"]
        assert mine is not None
        assert plain is not None
        ours.append(mine)
        theirs = ratios["stock"]
        told = "does not run" if theirs is None else f"{theirs:.2f} ×"
        if theirs is not None:
            stock.append(theirs)
        refused = dialect_stock.refusals(program.source)
        detail = (
            f"plain CPython {plain * 1000:.1f} ms; stock RestrictedPython {told}, and as it comes "
            f"it refuses {refused} places"
        )
        found.append(Row(program.name, mine, "×", WORST, detail))
    found.append(Row(f"geometric mean of {len(ours)}", geometric_mean(ours), "×", GEOMEAN))
    if stock:
        found.append(Row("the same, stock RestrictedPython", geometric_mean(stock), "×"))
    return found


def main(argv: Sequence[str]) -> int:
    """Measure and print; 1 when a goal is missed."""
    words = parser(__doc__)
    words.add_argument("--rounds", type=int, default=25)
    words.add_argument("--only", action="append", default=[], help="a program; repeatable")
    options = words.parse_args(argv)
    title = f"Dialect against plain CPython, median of {options.rounds} interleaved rounds"
    return finish("dialect", title, rows(options.rounds, options.only), options.json)
