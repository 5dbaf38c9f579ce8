"""Open descriptors of the worker, at one time."""

from __future__ import annotations

from ...policy.units import Count
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """Descriptors that the worker holds; only looked up for `status`, the wall is exact."""
    return sample.meter("open_files")


def symptom(name: str, text: str) -> bool:
    """EMFILE."""
    return "[Errno 24]" in text


OPEN_FILES = LimitKind(
    name="open_files",
    unit=Count,
    total=False,
    reaction=Reaction.REFUSE,
    wall="RLIMIT_NOFILE: OSError, EMFILE",
    measured="entries of /proc/PID/fd",
    measure=measure,
    symptom=symptom,
)
