"""How far beside the memory limit the wall stands on the worker. Pure.

The wall (`RLIMIT_DATA`) counts what the worker has reserved for itself alone, touched or not. The
limit means memory in use, whoever holds it. So the wall stands

- higher by what is reserved and stays untouched (stacks of threads, arenas of allocators). Memory
  that has just been asked for and is being filled looks the same for a moment, and would let the
  next request through, too. So the wall goes up when the worker has worked on for `SETTLED` and has
  not begun to fill what it had; it comes down at once;
- lower by what is in use and the wall does not count: shared memory, files in memory, children, and
  a dormant copy that is too small to be given up for;
- lower by a margin, so that a cell that was refused an allocation can handle that;
- higher, after a cell that has filled what there was, by what the next one needs to clean up: with
  nothing left at all, libraries crash that do not look whether an allocation has failed.
"""

from __future__ import annotations

import math

from . import walls
from .sampling import Sample

#: Share of the memory limit that a copy must hold alone to be given up for the limit's sake.
COPY_MATTERS = 0.02
#: Share of the limit that is left for handling a `MemoryError`, and bytes that it is at least.
_MARGIN, _LEAST_MARGIN = 0.01, 4_000_000
#: Share of the limit by which the wall may stand beyond it for the next cell's sake.
_BEYOND = 0.02
#: Seconds of CPU time in which memory that is being filled would grow.
SETTLED = 0.02
#: Of what is reserved, the part that may be filled meanwhile and the rest still counts as settled.
_FILLED = 0.25


class Slack:
    """The difference for one worker, from one look to the next."""

    def __init__(self, sample: Sample) -> None:
        """Before its first cell all that a worker has reserved has settled."""
        self._settled = walls.slack(sample.reserved, sample.threads)
        self._since = sample
        self._room = 0

    def leave_room(self, sample: Sample, allowed: float) -> bool:
        """A cell is over: the next one gets a margin, however full the worker is.

        True when that moves the wall.
        """
        before, self._room = self._room, 0
        if not math.isinf(allowed):
            wall = allowed + self.bytes(sample, allowed)
            missing = sample.own + sample.reserved + _margin(allowed) - wall
            self._room = int(min(max(missing, 0), _margin(allowed) + allowed * _BEYOND))
        return self._room != before

    def bytes(self, sample: Sample, allowed: float) -> int:
        """By how much the wall is to differ from the limit of `allowed` bytes."""
        reserved = walls.slack(sample.reserved, sample.threads)
        if reserved <= self._settled:
            self._settled, self._since = reserved, sample
        elif sample.own - self._since.own > _FILLED * (reserved - self._settled):
            self._since = sample
        elif sample.cpu - self._since.cpu >= SETTLED:
            self._settled, self._since = reserved, sample
        copy = sample.copy if sample.copy < allowed * COPY_MATTERS else 0
        if math.isinf(allowed):
            return self._settled  # There is no wall.
        elsewhere = sample.memory - sample.own - sample.copy
        beside = self._settled - elsewhere - copy - _margin(allowed) + self._room
        return max(beside, -int(allowed))


def _margin(allowed: float) -> int:
    return max(int(allowed * _MARGIN), _LEAST_MARGIN)
