"""What a kernel wants of its worker: the one argument of the launcher."""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from .places import ENTRY, HOST_NAME
from .plan import Level

MEBIBYTE = 1 << 20

#: Name as in RLIMIT_*, (soft, hard). No core dumps, which would hold the person's data: 1 and not
#: 0, because a handler that the host has at the end of a pipe is spared by 1 alone (core(5)). No
#: message queues, no raised priority. Policies add theirs.
DEFAULT_RLIMITS: Mapping[str, tuple[int, int]] = {
    "CORE": (1, 1),
    "NOFILE": (1024, 4096),
    "MEMLOCK": (8 * MEBIBYTE, 8 * MEBIBYTE),
    "MSGQUEUE": (0, 0),
    "NICE": (0, 0),
    "RTPRIO": (0, 0),
    "FSIZE": (resource.RLIM_INFINITY, resource.RLIM_INFINITY),
}


@dataclass(frozen=True)
class WorkerSpec:
    """How to start workers.

    `environment` has passed the allowlist (`environment.scrub`). `read_roots` are trees that the
    policy adds to the installed environment's. `writable_points` are absolute paths at which a
    tier of the policy may ever ask for writing. `forced_level` and `entry` are for tests: no
    file, variable or message sets them.
    """

    working_directory: str
    python: str = sys.executable
    environment: Mapping[str, str] = field(default_factory=dict)
    read_roots: tuple[str, ...] = ()
    scratch_bytes: int = 256 * MEBIBYTE
    shared_memory_bytes: int = 64 * MEBIBYTE
    rlimits: Mapping[str, tuple[int, int]] = field(default_factory=lambda: DEFAULT_RLIMITS)
    least_level: Level = Level.NO_NAMESPACES
    forced_level: Level | None = None
    spawn: bool = False
    writable_points: tuple[str, ...] = ()
    entry: tuple[str, ...] = ENTRY
    host_name: str = HOST_NAME
