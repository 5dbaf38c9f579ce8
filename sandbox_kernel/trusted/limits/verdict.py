"""Which limit a sample exceeds. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...policy.rights import Limit
from .kind import LimitKind, Reaction
from .sampling import Sample
from .table import LIMITS

#: Share of the memory limit beyond which the cell is killed without any grace.
MEMORY_ENDS = 1.03
#: Share of a limit up to which what an earlier cell left behind is put up with.
_LEFT_BEHIND = 1.25
#: Bytes a second at which a machine fills fresh memory, about.
_FILL_RATE = 4e9


@dataclass(frozen=True)
class Reached:
    """A limit that was reached: what it is, how much was used, the line that set it."""

    kind: LimitKind
    used: float
    limit: Limit
    scope: str = "a cell"

    @property
    def at_once(self) -> bool:
        """True when there is no time for a grace: memory that the machine may not have."""
        return self.kind.name == "memory" and self.used > self.limit.value * MEMORY_ENDS


def used(kind: LimitKind, now: Sample, begin: Sample) -> float:
    """How much of it the cell has used that began at `begin`."""
    value = kind.measure(now)
    return value - kind.measure(begin) if kind.total else value


def exceeded(
    now: Sample,
    begin: Sample,
    limits: Mapping[str, Limit],
    spent: Mapping[str, float],
    session: Mapping[str, Limit],
) -> Reached | None:
    """The first limit that the cell has gone beyond, of the cell's own and of the session's.

    `spent` is what earlier cells of the session have used. A limit whose wall refuses by itself is
    no reason to interrupt. What a cell finds above a limit when it begins (memory that an earlier
    cell left behind) may not grow, but it may be cleaned up.
    """
    for kind in LIMITS:
        amount = used(kind, now, begin)
        limit = limits.get(kind.name)
        if limit is not None and kind.reaction is Reaction.INTERRUPT:
            bar = limit.value
            if not kind.total:
                bar = max(bar, min(kind.measure(begin), bar * _LEFT_BEHIND))
            if amount > bar:
                return Reached(kind, amount, limit)
        total = session.get(kind.name)
        if total is not None:
            over_all = amount + (spent.get(kind.name, 0.0) if kind.total else 0.0)
            if over_all > total.value:
                return Reached(kind, over_all, total, "the session")
    return None


def next_look(
    now: Sample,
    begin: Sample,
    limits: Mapping[str, Limit],
    period: float,
    last: Sample | None = None,
) -> float:
    """Seconds until the next sample: `period`, or less where a limit may be met before.

    Times are met exactly; memory is looked at more often the faster it grows towards its limit.
    """
    wait = period
    for name in ("wall_time", "cpu_time"):
        limit = limits.get(name)
        if limit is not None and not math.isinf(limit.value):
            spent = (now.clock - now.waited) - (begin.clock - begin.waited)
            if name == "cpu_time":
                # No faster than one processor for each thread.
                left = (limit.value - (now.cpu - begin.cpu)) / max(now.threads, 1)
            else:
                left = limit.value - spent
            wait = min(wait, max(left, 0.0) + 0.0005)
    memory = limits.get("memory")
    if memory is not None:
        wait = min(wait, max(memory.value * (MEMORY_ENDS - 1) / _FILL_RATE, 0.003))
    if memory is not None and last is not None and now.clock > last.clock:
        growth = (now.memory - last.memory) / (now.clock - last.clock)
        if growth > 0:
            wait = min(wait, max((memory.value - now.memory) / growth / 2, 0.0))
    return max(wait, 0.002)
