"""Threads of the worker and its children, at one time."""

from __future__ import annotations

from ...policy.units import Count
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """Threads of all processes but the dormant copy, which has one that sleeps."""
    return float(sample.threads)


def symptom(name: str, text: str) -> bool:
    """What Python says when pthread_create fails."""
    return "can't start new thread" in text


THREADS = LimitKind(
    name="threads",
    unit=Count,
    total=False,
    reaction=Reaction.INTERRUPT,
    wall="RLIMIT_NPROC in the worker's own user namespace (Linux 5.14), which it ignores for root;"
    " the pids control group where there is one",
    measured="Threads of /proc/PID/status",
    measure=measure,
    symptom=symptom,
)
