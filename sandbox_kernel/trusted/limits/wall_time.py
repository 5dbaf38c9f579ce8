"""Wall time: how long a cell may take.

The clock stands still while a person owes an answer (`input()`, a permission question), which has
a time limit of its own.
"""

from __future__ import annotations

from ...policy.units import Duration
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """Seconds since the worker came up, without those spent waiting for a person."""
    return sample.clock - sample.waited


WALL_TIME = LimitKind(
    name="wall_time",
    unit=Duration,
    total=True,
    reaction=Reaction.INTERRUPT,
    wall="none: the supervisor's timer",
    measured="the monotonic clock, without the time that a person takes to answer",
    measure=measure,
)
