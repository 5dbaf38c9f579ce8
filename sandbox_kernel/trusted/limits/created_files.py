"""Created files: new entries in the scratch and in grants together."""

from __future__ import annotations

from ...policy.units import Count
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """Entries of the scratch now, and new files that grants have met in this kernel's life."""
    return sample.meter("scratch_files") + sample.meter("created_files")


CREATED_FILES = LimitKind(
    name="created_files",
    unit=Count,
    total=True,
    reaction=Reaction.INTERRUPT,
    wall="none beyond the number of entries that the scratch's file system can hold",
    measured="statvfs of the scratch, and what the file doors count",
    measure=measure,
)
