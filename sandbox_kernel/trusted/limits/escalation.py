"""From an exception in the cell to its end by force. Pure: time comes in as an argument.

| state | what happens | next state |
|---|---|---|
| calm | a limit is reached | told: the exception is raised in the cell |
| calm | the person interrupts | calm, noted |
| calm | the person interrupts again, while the first is not answered for long | told |
| told | the grace is over and the cell still runs | killed |
| any | the cell ends | calm |

A second interrupt begins the grace only when it comes within `IMPATIENCE` graces of the one before:
a cell may well handle an interrupt now and another one much later.
"""

from __future__ import annotations

from dataclasses import dataclass

from .verdict import Reached

#: Two interrupts within so many graces of each other are two to the same deaf ear.
IMPATIENCE = 5.0


@dataclass
class Escalation:
    """The state of one cell. `reached` is None when it is the person who wants it to end."""

    reached: Reached | None = None
    told_at: float | None = None
    interrupted_at: float | None = None

    def reach(self, reached: Reached, now: float) -> bool:
        """A limit was reached; True when the cell is to be told, once."""
        if self.told_at is not None:
            return False
        self.reached, self.told_at = reached, now
        return True

    def interrupt(self, now: float, grace: float) -> bool:
        """The person interrupted; True when this begins the grace."""
        before, self.interrupted_at = self.interrupted_at, now
        if self.told_at is not None or before is None or now - before > IMPATIENCE * grace:
            return False
        self.told_at = now
        return True

    def ends_at(self, grace: float) -> float | None:
        """When the cell is to be killed, if nothing else happens."""
        return None if self.told_at is None else self.told_at + grace
