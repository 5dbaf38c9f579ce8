"""Rights to modules and environment variables: dotted names, and names with a prefix."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*|\*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?", re.ASCII)


@dataclass(frozen=True)
class ModuleEntry:
    """A module and all below it; `*` is every module."""

    name: str

    def covers(self, name: str) -> bool:
        """Whether the dotted name is this module or one below it."""
        return self.name in ("*", name) or name.startswith(self.name + ".")


@dataclass(frozen=True)
class EnvironmentEntry:
    """A variable, or with `*` at the end all that start so."""

    name: str

    def covers(self, name: str) -> bool:
        """Whether the variable `name` is covered."""
        if self.name.endswith("*"):
            return name.startswith(self.name[:-1])
        return name == self.name


def is_module_name(text: str) -> bool:
    """Whether `text` may stand in a list of modules."""
    return _MODULE.fullmatch(text) is not None


def is_variable_name(text: str) -> bool:
    """Whether `text` may stand in a list of variables; a bare `*` may not.

    It would hand over every token of the server's environment.
    """
    return _VARIABLE.fullmatch(text) is not None


def meet_modules(a: ModuleEntry, b: ModuleEntry) -> ModuleEntry | None:
    """What both allow."""
    if a.covers(b.name):
        return b
    return a if b.covers(a.name) else None


def meet_variables(a: EnvironmentEntry, b: EnvironmentEntry) -> EnvironmentEntry | None:
    """What both allow."""
    for wide, narrow in ((a, b), (b, a)):
        if wide.name == narrow.name or wide.covers(narrow.name):
            return narrow
    return None
