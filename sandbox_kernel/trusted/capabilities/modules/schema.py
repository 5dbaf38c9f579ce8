"""What can be asked of modules."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModuleRequest:
    """Importing a module by its dotted name."""

    name: str
