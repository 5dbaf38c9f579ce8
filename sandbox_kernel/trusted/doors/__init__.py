"""The doors: they turn a decision into access, and take the access away again.

One `Doors` a kernel. A generation of the worker is launched with `doors.door_factory` behind its
listener, then `open_for` it; rights are followed as they change, cells are begun and ended.
Everything runs on the supervisor's event loop; what may take long (resolving a name, connecting)
runs beside it. No answer of a door waits for a person.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .doors import CommitReport, Doors, Problem, Taken
    from .proxy import environment_proxy
    from .resolver import system_resolver

#: Where each name comes from: a kernel needs a part of this package before the rest is imported.
_HOMES = {"environment_proxy": "proxy", "system_resolver": "resolver"}

__all__ = [
    "CommitReport",
    "Doors",
    "Problem",
    "Taken",
    "environment_proxy",
    "system_resolver",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(name)
    return getattr(importlib.import_module(f".{_HOMES.get(name, 'doors')}", __name__), name)
