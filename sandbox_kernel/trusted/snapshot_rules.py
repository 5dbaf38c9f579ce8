"""When a dormant copy of the worker is made. Pure.

The rule (`Rule.wants`), for the policy's mode `adaptive`; `always` heeds the last line alone, `off`
makes no copy:

| the last copy                                            | the next one                      |
|----------------------------------------------------------|-----------------------------------|
| cost less than the budget                                | after the next request            |
| cost more: the fork, or the pages that had to be copied  | after `4`, then 8, 16 requests    |
| would not fit into the memory limit beside the worker    | not now                           |

Under `adaptive` the pace (`Pace`) is bounded, too: a program that sends cells as fast as they are
answered would have each of them wait for a copy that takes longer than the cell. Beyond a burst the
next copy waits for its time, and until then the one of before is kept; `Snapshots.lacks` says which
cells it knows nothing of, and whoever is told that it has taken over is told that, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["off", "adaptive", "always"]

#: Seconds that a page fault costs which has to copy a page, for each byte (measured: 1 s a GB).
SECONDS_A_BYTE = 1e-9
#: Requests that are left out after a copy that was too dear; doubled each time.
_FIRST_PAUSE, _LAST_PAUSE = 4, 16


#: Seconds between two copies beyond a burst: the least, the most, and for each second that the
#: worker stood still for the last one. All in all a copy takes some three times as long as that, in
#: pages that are copied and in the end of the copy of before: about a third of the time.
_LEAST, _MOST, _FOR_EACH_SECOND = 0.02, 0.25, 10.0


@dataclass
class Pace:
    """`burst` copies at once, then one each `every` seconds."""

    burst: int = 32
    every: float = _LEAST
    #: When all that was spent is there again.
    _full_at: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until the next copy may be made."""
        return max(self._full_at - (self.burst - 1) * self.every - now, 0.0)

    def spend(self, now: float) -> None:
        """A copy is made."""
        self._full_at = max(self._full_at, now) + self.every

    def took(self, seconds: float) -> None:
        """The worker stood still for so long."""
        self.every = min(max(seconds * _FOR_EACH_SECOND, _LEAST), _MOST)


@dataclass
class Rule:
    """When a copy is worth its price. Pure; `mode` and `budget` (seconds) are the policy's."""

    mode: Mode = "adaptive"
    budget: float = 0.25
    _pause: int = 0
    _left_out: int = 0

    def wants(self, memory: float, allowed: float) -> str:
        """Why no copy should be made now; empty when one should.

        `memory` is what the worker uses and `allowed` its limit, in bytes.
        """
        if self.mode == "off":
            return "the policy has snapshots off"
        if memory > 0.9 * allowed:
            return "there is no room for a copy within the memory limit"
        if self._left_out > 0 and self.mode == "adaptive":
            self._left_out -= 1
            return f"the last copy cost more than the budget of {self.budget * 1000:.0f} ms"
        return ""

    def paid(self, seconds: float, copied: float) -> bool:
        """What a copy cost: the fork, and bytes copied because of it. True when it was too dear."""
        if self.mode != "adaptive":
            return False
        if seconds + copied * SECONDS_A_BYTE <= self.budget:
            self._pause = 0
            return False
        self._pause = min(max(self._pause * 2, _FIRST_PAUSE), _LAST_PAUSE)
        self._left_out = self._pause
        return True
