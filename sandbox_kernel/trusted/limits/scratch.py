"""Scratch: bytes in the worker's private folder."""

from __future__ import annotations

from ...policy.units import Size
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """Bytes that the scratch holds now."""
    return sample.meter("scratch")


def symptom(name: str, text: str) -> bool:
    """ENOSPC, which the size-limited file system gives."""
    return "[Errno 28]" in text


SCRATCH = LimitKind(
    name="scratch",
    unit=Size,
    total=False,
    reaction=Reaction.INTERRUPT,
    wall="the size of the scratch's own file system: OSError, ENOSPC; none without namespaces",
    measured="statvfs of the scratch; without a file system of its own, the sizes of its files",
    measure=measure,
    symptom=symptom,
)
