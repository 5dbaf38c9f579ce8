"""Child processes, at one time, where the policy lets a cell start any."""

from __future__ import annotations

from ...policy.units import Count
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """Processes below the worker; neither itself nor its dormant copy."""
    return float(sample.children)


def symptom(name: str, text: str) -> bool:
    """EAGAIN of a fork; EPERM of one is the policy's `spawn`, not a limit."""
    return name == "BlockingIOError" and "[Errno 11]" in text


PROCESSES = LimitKind(
    name="processes",
    unit=Count,
    total=False,
    reaction=Reaction.INTERRUPT,
    wall="each fork asks the supervisor, which refuses with EAGAIN; where it cannot listen,"
    " RLIMIT_NPROC in the worker's own user namespace, together with the threads",
    measured="parents in /proc/PID/stat, from the worker's init downwards",
    measure=measure,
    symptom=symptom,
    sure=False,
)
