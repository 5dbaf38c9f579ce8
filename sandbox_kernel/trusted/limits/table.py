"""All limits, in the order in which they are checked and shown."""

from __future__ import annotations

from .connections import CONNECTIONS
from .cpu_time import CPU_TIME
from .created_files import CREATED_FILES
from .grant_bytes import READ, WRITTEN
from .kind import LimitKind
from .memory import MEMORY
from .open_files import OPEN_FILES
from .output import MESSAGES, OUTPUT
from .processes import PROCESSES
from .scratch import SCRATCH
from .threads import THREADS
from .wall_time import WALL_TIME

LIMITS: tuple[LimitKind, ...] = (
    WALL_TIME,
    CPU_TIME,
    MEMORY,
    OUTPUT,
    MESSAGES,
    THREADS,
    PROCESSES,
    OPEN_FILES,
    SCRATCH,
    CREATED_FILES,
    WRITTEN,
    READ,
    CONNECTIONS,
)

BY_NAME: dict[str, LimitKind] = {kind.name: kind for kind in LIMITS}

#: Keys of `[limits]` that are no limits of use: they say how the others are held.
SETTINGS = ("grace", "cpus", "displays")
