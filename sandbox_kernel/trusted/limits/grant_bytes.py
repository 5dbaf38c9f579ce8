"""Bytes written to and read from what was granted: files and connections.

The doors count. Writing is held exactly where a grant is staged; reading goes through native file
descriptors and is a sample, never a hard wall.
"""

from __future__ import annotations

from ...policy.units import Size
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure_written(sample: Sample) -> float:
    """Bytes written through grants in this kernel's life."""
    return sample.meter("written")


def measure_read(sample: Sample) -> float:
    """Bytes read through grants in this kernel's life, as far as they are seen."""
    return sample.meter("read")


WRITTEN = LimitKind(
    name="written",
    unit=Size,
    total=True,
    reaction=Reaction.INTERRUPT,
    wall="the size of the staging area of grants that are staged",
    measured="what the file and socket doors count",
    measure=measure_written,
)

READ = LimitKind(
    name="read",
    unit=Size,
    total=True,
    reaction=Reaction.INTERRUPT,
    wall="none",
    measured="what the file and socket doors count",
    measure=measure_read,
)
