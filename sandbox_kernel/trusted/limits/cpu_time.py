"""CPU time: seconds of processor time of the worker, all its threads and its children."""

from __future__ import annotations

from ...policy.units import Duration
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """User and system time of all processes, and of children that have been waited for.

    A child that ends without being waited for, in the time between two samples, takes its last
    milliseconds with it.
    """
    return sample.cpu


CPU_TIME = LimitKind(
    name="cpu_time",
    unit=Duration,
    total=True,
    reaction=Reaction.INTERRUPT,
    wall="none: RLIMIT_CPU counts a process's whole life, and its signal can be masked",
    measured="utime, stime, cutime and cstime of /proc/PID/stat (proc(5))",
    measure=measure,
)
