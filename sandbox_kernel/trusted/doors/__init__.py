"""The doors: they turn a decision into access, and take the access away again.

One `Doors` a kernel. A generation of the worker is launched with `doors.door_factory` behind its
listener, then `open_for` it; rights are followed as they change, cells are begun and ended.
Everything runs on the supervisor's event loop; what may take long (resolving a name, connecting)
runs beside it. No answer of a door waits for a person.
"""

from __future__ import annotations

from .doors import CommitReport, Doors, Problem, Taken
from .proxy import environment_proxy
from .resolver import system_resolver

__all__ = [
    "CommitReport",
    "Doors",
    "Problem",
    "Taken",
    "environment_proxy",
    "system_resolver",
]
