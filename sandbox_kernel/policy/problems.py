"""What is wrong with a policy, and where."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Origin:
    """Where a line of a policy stands. `line` 0 means the whole file or no file at all."""

    file: str
    line: int = 0
    reason: str = ""

    @property
    def place(self) -> str:
        """`classroom.toml:12`, or the name alone when there is no line."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong or was left out, with a stable `code`."""

    code: str
    text: str
    origin: Origin = Origin("")

    def __str__(self) -> str:
        return f"{self.origin.place}: {self.text}" if self.origin.file else self.text


class PolicyError(ValueError):
    """A policy cannot be used; `problems` says everything that is wrong with it."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def nearest(word: str, words: Iterable[str]) -> str:
    """` (did you mean 'x'?)` for the known word nearest to `word`, or what there is."""
    known = sorted(words)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return "known here: " + ", ".join(known)
