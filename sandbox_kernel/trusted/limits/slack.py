"""How far beside the memory limit the wall stands on the worker. Pure.

The wall (`RLIMIT_DATA`) counts what the worker has reserved for itself alone, touched or not. The
limit means memory in use, whoever holds it. So the wall stands

- higher by what is reserved and stays untouched (stacks of threads, arenas of allocators). Memory
  that has just been asked for and is being filled looks the same for a moment, and would let the
  next request through, too. So the wall goes up when the worker has worked on for `SETTLED` and has
  not begun to fill what it had; it comes down at once, and goes up at once where nothing was asked
  for and pages were given back;
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
_MARGIN, _LEAST_MARGIN = 0.01, 6_000_000
#: Share of the limit beyond it at which a cell is killed without any grace, and bytes that this is
#: at least: what may be filled between two looks.
MEMORY_ENDS, _LEAST_ENDS = 0.03, 24_000_000
#: Margins beyond that by which the wall may stand above the limit for the next cells' sake.
_MARGINS_BEYOND = 2
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
        self._most = sample.own
        self._room = 0

    def _reserved(self, sample: Sample) -> int:
        """What counts of it: a part that nobody can misuse, or what was in use before."""
        self._most = max(self._most, sample.own)
        bounded = walls.slack(sample.reserved, sample.threads)
        return max(bounded, min(sample.reserved, self._most - sample.own))

    def leave_room(self, sample: Sample, allowed: float) -> bool:
        """A cell is over: the next one gets a margin, however full the worker is.

        True when that moves the wall.
        """
        before, self._room = self._room, 0
        if not math.isinf(allowed):
            wall = allowed + self.bytes(sample, allowed)
            missing = sample.own + self._reserved(sample) + margin(allowed) - wall
            self._room = int(min(max(missing, 0), beyond(allowed)))
        return self._room != before

    def bytes(self, sample: Sample, allowed: float) -> int:
        """By how much the wall is to differ from the limit of `allowed` bytes."""
        reserved = self._reserved(sample)
        before = self._since
        given_back = before.own - sample.own
        if reserved <= self._settled:
            self._settled, self._since = reserved, sample
        elif given_back > 0 and given_back >= sample.reserved - before.reserved:
            self._settled, self._since = min(reserved, self._settled + given_back), sample
        elif sample.own - self._since.own > _FILLED * (reserved - self._settled):
            self._since = sample
        elif sample.cpu - self._since.cpu >= SETTLED:
            self._settled, self._since = reserved, sample
        copy = sample.copy if sample.copy < allowed * COPY_MATTERS else 0
        if math.isinf(allowed):
            return self._settled  # There is no wall.
        elsewhere = sample.memory - sample.own - sample.copy
        beside = self._settled - elsewhere - copy - margin(allowed) + self._room
        return max(beside, -int(allowed))


def margin(allowed: float) -> int:
    """Bytes that a cell needs, however full the worker is: to clean up, or to handle an error."""
    return max(int(allowed * _MARGIN), _LEAST_MARGIN)


def beyond(allowed: float) -> float:
    """Bytes above a limit that cells may come to one after another, each of which had a margin."""
    return tolerated(allowed) + _MARGINS_BEYOND * margin(allowed)


def tolerated(allowed: float) -> float:
    """Bytes beyond a limit for which a cell is told, and not yet killed at once."""
    return max(allowed * MEMORY_ENDS, _LEAST_ENDS)
