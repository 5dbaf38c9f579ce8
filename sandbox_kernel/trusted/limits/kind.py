"""What a limit's own file has to say about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from ...policy.units import Amount

if TYPE_CHECKING:
    from .sampling import Sample


class Reaction(Enum):
    """What happens to the cell when the limit is reached; the state is kept in all of them.

    Only a cell that does not end within the grace is killed, and then the dormant copy decides
    what is kept.
    """

    #: `sandbox.LimitExceeded` is raised in the cell.
    INTERRUPT = "interrupt"
    #: The operation that would go beyond it fails; the cell goes on and may handle that.
    REFUSE = "refuse"


def _never(name: str, text: str) -> bool:
    return False


@dataclass(frozen=True)
class LimitKind:
    """One limit.

    `name` is the key in `[limits]`, `unit` gives its written form. `total` is true for what adds
    up over a cell (seconds, bytes written), false for what is held at one time (memory, threads).
    `measure` reads it from a sample, in the unit's base (seconds, bytes, pieces). `wall` says what
    of the operating system enforces it without any sampling, `measured` how it is sampled: both are
    for the documents. `symptom` tells whether an error of a cell (name, text) is what its wall
    looks like from inside, so that the error can be explained; where other things look the same,
    `sure` is false, and only a limit that is nearly used up explains it.
    """

    name: str
    unit: type[Amount]
    total: bool
    reaction: Reaction
    wall: str
    measured: str
    measure: Callable[[Sample], float]
    symptom: Callable[[str, str], bool] = _never
    sure: bool = True
