"""The levels of confinement; what each needs stands in `plan`."""

from __future__ import annotations

from enum import Enum


class Level(Enum):
    """How strong the walls are; ordered, the strongest is the greatest."""

    FULL = "full"
    NO_NAMESPACES = "no-namespaces"
    LANDLOCK_ONLY = "landlock-only"
    LANGUAGE_ONLY = "language-only"

    @property
    def rank(self) -> int:
        """0 for the weakest."""
        return len(Level) - 1 - list(Level).index(self)

    def __lt__(self, other: Level) -> bool:
        return self.rank < other.rank

    def __le__(self, other: Level) -> bool:
        return self.rank <= other.rank

    def __gt__(self, other: Level) -> bool:
        return self.rank > other.rank

    def __ge__(self, other: Level) -> bool:
        return self.rank >= other.rank
