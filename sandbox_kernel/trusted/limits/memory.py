"""Memory of the worker, its children and its dormant copy, together.

`RLIMIT_DATA` makes an allocation fail, which Python turns into a clean `MemoryError`; `RLIMIT_AS`
would break memory maps of large files, and a control group only kills. What `RLIMIT_DATA` does not
count (shared mappings, memfd, child processes, pages that only the copy still needs) is sampled.
"""

from __future__ import annotations

from ...policy.units import Size
from .kind import LimitKind, Reaction
from .sampling import Sample


def measure(sample: Sample) -> float:
    """Bytes of anonymous and shared memory, pages that processes share counted once."""
    return float(sample.memory)


def symptom(name: str, text: str) -> bool:
    """Python's own MemoryError, numpy's, malloc failing in a library, no room for a stack."""
    known = ("[Errno 12]", "can't start new thread")
    return name in ("MemoryError", "_ArrayMemoryError") or any(part in text for part in known)


MEMORY = LimitKind(
    name="memory",
    unit=Size,
    total=False,
    reaction=Reaction.INTERRUPT,
    wall="RLIMIT_DATA: MemoryError in the cell; a control group above it, where there is one",
    measured="RssAnon and RssShmem of /proc/PID/status; near the limit Pss_Anon and Pss_Shmem of"
    " smaps_rollup; the dormant copy counts with what it alone holds",
    measure=measure,
    symptom=symptom,
)
