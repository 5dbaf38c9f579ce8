"""Which limit a sample exceeds. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ...policy.rights import Limit
from .kind import LimitKind, Reaction
from .sampling import Sample
from .slack import MEMORY_ENDS, beyond, margin, tolerated
from .table import LIMITS

#: Margins that a cell has which finds its memory full: its wall is one above what there is.
_MARGINS = 2
#: Share of a limit up to which what an earlier cell left behind is put up with.
_LEFT_BEHIND = 1.25
#: Bytes a second at which a machine fills fresh memory, about.
_FILL_RATE = 4e9
#: Scope of a limit that holds for all kernels of a person.
ALL_KERNELS = "all your kernels together"


@dataclass(frozen=True)
class Reached:
    """A limit that was reached: what it is, how much was used, the line that set it."""

    kind: LimitKind
    used: float
    limit: Limit
    scope: str = "a cell"
    #: What was gone beyond, where that is more than the limit.
    bar: float = 0.0

    @property
    def at_once(self) -> bool:
        """True when there is no time for a grace: memory that the machine may not have."""
        bar = max(self.limit.value, self.bar)
        return self.kind.name == "memory" and self.used > bar + tolerated(bar)


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
    person: Mapping[str, Limit] | None = None,
) -> Reached | None:
    """The first limit that the cell has gone beyond: its own, the session's, the person's.

    `spent` is what earlier cells of the session have used; of what all kernels of a person use
    together, the cell answers that has added to it. A limit whose wall refuses by itself is
    no reason to interrupt. What a cell finds above a limit when it begins (memory that an earlier
    cell left behind) may not grow, but it may be cleaned up, with the memory that this takes.
    """
    for kind in LIMITS:
        amount = used(kind, now, begin)
        limit = limits.get(kind.name)
        if limit is not None and kind.reaction is Reaction.INTERRUPT:
            bar = limit.value
            if not kind.total:
                found = kind.measure(begin)
                bar = max(bar, min(found, bar * _LEFT_BEHIND))
                if kind.name == "memory":
                    most = limit.value + beyond(limit.value)
                    bar = max(bar, min(found + _MARGINS * margin(limit.value), most))
            if amount > bar:
                return Reached(kind, amount, limit, bar=bar)
        total = session.get(kind.name)
        if total is not None:
            over_all = amount + (spent.get(kind.name, 0.0) if kind.total else 0.0)
            if over_all > total.value:
                return Reached(kind, over_all, total, "the session")
        whole = (person or {}).get(kind.name)
        if whole is not None and amount > kind.measure(begin):
            together = amount + now.others.get(kind.name, 0.0)
            if together > whole.value:
                return Reached(kind, together, whole, ALL_KERNELS)
    return None


def next_look(
    now: Sample,
    begin: Sample,
    limits: Mapping[str, Limit],
    period: float,
    last: Sample | None = None,
    person: Mapping[str, Limit] | None = None,
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
    own, whole = limits.get("memory"), (person or {}).get("memory")
    rooms = [] if own is None else [(own.value, own.value - now.memory)]
    if whole is not None:
        others = now.others.get("memory", 0.0)
        rooms.append((whole.value, whole.value - others - now.memory))
    for allowed, room in rooms:
        wait = min(wait, max(allowed * MEMORY_ENDS / _FILL_RATE, 0.003))
        if last is not None and now.clock > last.clock:
            growth = (now.memory - last.memory) / (now.clock - last.clock)
            if growth > 0:
                wait = min(wait, max(room / growth / 2, 0.0))
    return max(wait, 0.002)
