"""What taking places away came to, for those who ordered it."""

from __future__ import annotations

from dataclasses import dataclass

from .holders import Holders


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking places away came to.

    killed: the worker, or a process of it, held a place open in a way that only its end closes;
        the reasons.
    still_open: regular files that stay readable through descriptors that were open before.
    """

    killed: tuple[str, ...] = ()
    still_open: tuple[str, ...] = ()

    @classmethod
    def after(cls, held: Holders) -> Taken:
        """What the end of these holders came to."""
        return cls(tuple(sorted(set(held.dangerous.values()))), tuple(sorted(held.still_open)))

    def with_more(self, other: Taken) -> Taken:
        """Both together."""
        return Taken(
            tuple(sorted({*self.killed, *other.killed})),
            tuple(sorted({*self.still_open, *other.still_open})),
        )
