"""Rights to display and to processes: how far a setting may be loosened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LEVELS: Mapping[str, Sequence[str]] = {
    "html": ("sanitise", "frame", "raw"),
    "javascript": ("drop", "frame", "raw"),
    "widgets": ("off", "core", "any"),
}
"""The levels of each display setting, from the strictest to the loosest."""


@dataclass(frozen=True)
class DisplayEntry:
    """One display setting up to `level`."""

    what: str
    level: str

    def covers(self, other: DisplayEntry) -> bool:
        """Whether `other` is no looser."""
        return self.what == other.what and rank(self) >= rank(other)


@dataclass(frozen=True)
class ProcessEntry:
    """Whether child processes may be made."""

    spawn: bool


def rank(entry: DisplayEntry) -> int:
    """Position of the level; a higher one is looser."""
    return LEVELS[entry.what].index(entry.level)


def meet_display(a: DisplayEntry, b: DisplayEntry) -> DisplayEntry | None:
    """What both allow."""
    if a.what != b.what:
        return None
    return a if rank(a) <= rank(b) else b


def meet_processes(a: ProcessEntry, b: ProcessEntry) -> ProcessEntry | None:
    """What both allow; no entry stands for no processes."""
    return a if a.spawn and b.spawn else None
