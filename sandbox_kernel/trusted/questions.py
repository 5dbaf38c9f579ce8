"""Questions for a person: what exactly is asked, in which words, and what an answer grants.

Refusals of one cell that differ only in the file within one folder are one question that lists
them.  An answer covers exactly what the question showed.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from ..policy import model
from ..policy.kinds import paths
from ..policy.request import Scope
from .capabilities import wording
from .capabilities.verdict import Denied

Choice = Literal["once", "session", "always", "no", "no_to_all"]

CHOICES: tuple[Choice, ...] = ("once", "session", "always", "no", "no_to_all")

SCOPE_OF: dict[Choice, Scope] = {"once": "cell", "session": "session", "always": "notebook"}
"""How long each yes holds; the other choices grant nothing."""

MOST_SHOWN = 25
"""More entries are a question of their own: nobody reads a longer list before saying yes."""

_LONGEST_SPELLING = 200
"""Characters of a cell's own spelling of a path that a question shows."""

_WORDS: dict[Choice, str] = {
    "once": "allow once",
    "session": "allow for this session",
    "always": "always for this notebook",
    "no": "no",
    "no_to_all": "no to all",
}


@dataclass(frozen=True)
class Question:
    """One question. `request` is what a yes grants, entry for entry what `text` lists."""

    text: str
    request: model.RequestTable
    choices: tuple[Choice, ...]
    denied: tuple[Denied, ...]

    @property
    def options(self) -> dict[str, str]:
        """The choices with their words, in the order to show them."""
        return {choice: _WORDS[choice] for choice in self.choices}


def questions(denied: Sequence[Denied], *, remember: float) -> list[Question]:
    """The questions for some refusals; those that no yes would change give none.

    `remember` is how long a lasting yes is kept (seconds); 0 does not offer one.
    """
    groups: dict[tuple[str, str, str], list[Denied]] = {}
    for refusal in denied:
        if refusal.ask is not None:
            folder = posixpath.dirname(refusal.resource) if refusal.kind == "files" else ""
            group = groups.setdefault((refusal.kind, refusal.action, folder), [])
            if refusal not in group:
                group.append(refusal)
    choices = CHOICES if remember > 0 else tuple(c for c in CHOICES if c != "always")
    return [
        _question(group[start : start + MOST_SHOWN], choices)
        for group in groups.values()
        for start in range(0, len(group), MOST_SHOWN)
    ]


def parse_answer(text: str, question: Question) -> Choice:
    """The choice that a person typed: its number, its name or its words; anything else is no."""
    typed = text.strip().casefold()
    for number, choice in enumerate(question.choices, start=1):
        if typed in (str(number), choice, _WORDS[choice]):
            return choice
    return "no"


def prompt(question: Question) -> str:
    """The question for a front end that knows only `input()`."""
    rows = [f"  {n}  {words}" for n, words in enumerate(question.options.values(), start=1)]
    return "\n".join([question.text, *rows, f"1-{len(rows)}, anything else means no: "])


def _question(group: Sequence[Denied], choices: tuple[Choice, ...]) -> Question:
    request = _joined([refusal.ask for refusal in group if refusal.ask is not None])
    first = group[0]
    if len(group) == 1:
        listed = f" {_shown(first, alone=True)}"
    else:
        listed = "".join(f"\n  {_shown(refusal, alone=False)}" for refusal in group)
    text = (
        f"A cell of this notebook asks: {first.kind}, {first.action}{listed}\n"
        f"({first.origin.place}" + (f": {first.origin.reason})" if first.origin.reason else ")")
    )
    return Question(text, request, choices, tuple(group))


def _shown(refusal: Denied, *, alone: bool) -> str:
    """What a yes would cover: a file as it is found on the host, whatever the cell calls it."""
    resource = wording.visible(refusal.resource)
    asked = refusal.ask.files[0].path if refusal.ask is not None and refusal.ask.files else ""
    if resource == refusal.real or asked == paths.escaped(resource) or not refusal.real:
        return resource
    real = wording.visible(refusal.real)
    if not alone:
        return real
    spelled = resource if len(resource) <= _LONGEST_SPELLING else resource[:_LONGEST_SPELLING] + "…"
    return f"{real} (the cell writes {spelled})"


def _joined(tables: Sequence[model.RequestTable]) -> model.RequestTable:
    joined = model.RequestTable()
    for table in tables:
        for kind in model.KINDS:
            more = getattr(table, kind)
            if more:
                have = getattr(joined, kind) or ()
                joined = msgspec.structs.replace(joined, **{kind: (*have, *more)})
    return joined
