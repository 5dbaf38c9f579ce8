"""The programs of the dialect's benchmark: pyperformance's where its source can be had, and ours.

Nothing of pyperformance is kept here: its source distribution is fetched for the run with pip, and
the programs are read out of it.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from benchmarks.sources import fetch

__all__ = ["Program", "programs"]

_TIMER = "import time\nclass pyperf:\n    perf_counter = staticmethod(time.perf_counter)\n"
_CALLS = {
    "deltablue": "delta_blue(60)",
    "richards": "Richards().run(1)",
    "nbody": "advance(0.01, 1500)",
    "fannkuch": "fannkuch(7)",
    "float": "benchmark(8000)",
    "nqueens": "bench_n_queens(6)",
    "chaos": "random.seed(1); chaos()",
    "raytrace": "bench_raytrace(1, 20, 20, None)",
    "go": "random.seed(1); play()",
    "hexiom": "main(1, 20)",
    "spectral_norm": "bench_spectral_norm(1)",
}
_EDITS = {
    "spectral_norm": [("DEFAULT_N = 130", "DEFAULT_N = 40")],
    "go": [("GAMES = 200", "GAMES = 12")],
}
_MORE = {
    "chaos": """
def chaos():
    splines = [Spline([GVector(1.6, 0.2, 0.0), GVector(1.7, 1.5, 0.0), GVector(1.0, 1.6, 0.0),
                       GVector(2.0, 1.9, 0.0)], 3, [0, 0, 0, 1, 1, 1])]
    Chaosgame(splines, 0.25).create_image_chaos(60, 60, 700, None, 1234)
""",
    "go": """
def play():
    board = Board()
    return computer_move(board)
""",
}

_PRIVATE = """
class Account:
    def __init__(self, owner, balance=0):
        self._owner = owner
        self._balance = balance
        self._history = []

    @property
    def balance(self):
        return self._balance

    def deposit(self, amount):
        if amount <= 0:
            raise ValueError(amount)
        self._balance += amount
        self._record("in", amount)

    def withdraw(self, amount):
        if amount > self._balance:
            return False
        self._balance -= amount
        self._record("out", amount)
        return True

    def _record(self, kind, amount):
        self._history.append((kind, amount))
        if len(self._history) > 50:
            self._history = self._history[25:]

    def paid_in(self):
        return sum(amount for kind, amount in self._history if kind == "in")


class Stack:
    def __init__(self):
        self._items = []
        self.__size = 0

    def push(self, item):
        self._items.append(item)
        self.__size += 1

    def pop(self):
        self.__size -= 1
        return self._items.pop()

    def __len__(self):
        return self.__size


class Saver(Account):
    def interest(self):
        gain = self._balance // 100
        self._balance += gain
        return gain


def work():
    accounts = [Saver("a", 1000), Account("b"), Account("c"), Account("d", 10)]
    stack = Stack()
    for i in range(4000):
        account = accounts[i & 3]
        account.deposit(i % 7 + 1)
        account.withdraw(i % 5)
        stack.push(account.balance)
        if len(stack) > 20:
            stack.pop()
        accounts[0].interest()
        if i % 16 == 0:
            account.paid_in()
    return accounts[0].balance
"""
_COUNTING = """
TEXT = ("the quick brown fox jumps over the lazy dog and runs away " * 60).split()


def work():
    counts, pairs, row = {}, {}, [0] * 30
    for index, word in enumerate(TEXT):
        counts[word] = counts.get(word, 0) + 1
        row[index % 30] += len(word)
        key = (word[0], word[-1])
        pairs.setdefault(key, []).append(index)
    lines = [f"{w:>8}: {n:4d}" for w, n in sorted(counts.items())]
    text = "{}|{:.2f}".format(len(lines), sum(row) / len(row))
    squares = {k: sum(x * x for x in v) for k, v in pairs.items()}
    first, *rest = sorted(squares.values())
    total = 0
    for a, b in zip(rest, rest[1:]):
        total += b - a
    return text, first, total
"""


@dataclass(frozen=True)
class Program:
    """One benchmark: its source defines ``work()``, which is timed."""

    name: str
    source: str


def programs() -> list[Program]:
    """All programs; says on stderr when pyperformance's could not be fetched."""
    found = [Program("private attributes", _PRIVATE), Program("counting and text", _COUNTING)]
    with tempfile.TemporaryDirectory(prefix="pyperformance-") as folder:
        archive = fetch("pyperformance", Path(folder))
        if archive is None:
            print("pyperformance could not be fetched: its programs are left out", file=sys.stderr)
            return found
        with tarfile.open(archive) as packed:
            for name, call in _CALLS.items():
                source = _read(packed, name)
                for old, new in _EDITS.get(name, ()):
                    source = source.replace(old, new)
                source += _MORE.get(name, "")
                found.insert(-2, Program(name, f"{source}\n\ndef work():\n    return {call}\n"))
    return [_one_call(p) for p in found]


def _one_call(program: Program) -> Program:
    """``a; b`` as the body of a function."""
    return Program(program.name, program.source.replace("    return random.seed(1); ", _SEED))


_SEED = "    random.seed(1)\n    return "


def _read(packed: tarfile.TarFile, name: str) -> str:
    member = next(
        m for m in packed.getmembers() if m.name.endswith(f"benchmarks/bm_{name}/run_benchmark.py")
    )
    file = packed.extractfile(member)
    assert file is not None
    source = file.read().decode("utf-8")
    source = source.partition("\nif __name__")[0]
    future = "from __future__"
    assert future not in source
    return source.replace("import pyperf\n", _TIMER, 1)
