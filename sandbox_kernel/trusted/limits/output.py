"""Output: bytes and messages that a cell sends, before anything is cut.

The output gate shows the first part, withholds the rest and says so. Here the same two numbers end
the cell, so that a flood does not go on unseen.
"""

from __future__ import annotations

from ...policy.units import Count, Size
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure_bytes(sample: Sample) -> float:
    """Bytes that arrived from the worker: channel and both pipes."""
    return sample.meter("output")


def measure_messages(sample: Sample) -> float:
    """Output messages that arrived from the worker."""
    return sample.meter("messages")


OUTPUT = LimitKind(
    name="output",
    unit=Size,
    total=True,
    reaction=Reaction.INTERRUPT,
    wall="the output gate: what is beyond it is not shown; an unread pipe makes the worker wait",
    measured="bytes read from the worker's channel and pipes",
    measure=measure_bytes,
)

MESSAGES = LimitKind(
    name="messages",
    unit=Count,
    total=True,
    reaction=Reaction.INTERRUPT,
    wall="the output gate: what is beyond it is not shown",
    measured="output messages read from the worker's channel",
    measure=measure_messages,
)
