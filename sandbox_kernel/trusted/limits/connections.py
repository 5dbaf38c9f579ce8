"""Connections that are open at one time."""

from __future__ import annotations

from ...policy.units import Count
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """Connections that the socket door has opened and that still live."""
    return sample.meter("connections")


CONNECTIONS = LimitKind(
    name="connections",
    unit=Count,
    total=False,
    reaction=Reaction.INTERRUPT,
    wall="the socket door opens every connection itself",
    measured="what the socket door counts",
    measure=measure,
)
