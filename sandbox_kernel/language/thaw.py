"""Per library: what it stores on its own classes after import, and how that goes on working.

``LEFT_OPEN`` lists classes that are never frozen, since their library keeps state in them.
``WARM_UP`` runs a library's lazy initialisation once, before its classes are frozen.
``LAZY_CLASSES`` lists functions that store on classes at any time: those classes are thawed while
that function runs, and only then. Each row says what is stored; the galleries test the table.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["LAZY_CLASSES", "LEFT_OPEN", "MACHINERY", "WARM_UP", "LazyClass"]


@dataclass(frozen=True)
class LazyClass:
    """``function`` of ``owner`` (a class, or "" for the module itself) stores on the classes
    that ``thaws`` gives for its arguments."""

    module: str
    owner: str
    function: str
    thaws: Callable[[tuple[Any, ...]], Iterable[type]]
    stores: str


def _the_class(arguments: tuple[Any, ...]) -> Iterable[type]:
    first = arguments[0]
    return (first,) if isinstance(first, type) else (type(first),)


def _family(arguments: tuple[Any, ...]) -> Iterable[type]:
    first = arguments[0]
    cls = first if isinstance(first, type) else type(first)
    return [c for c in cls.__mro__ if c is not object]


def _warm_path(module: types.ModuleType) -> None:
    path = module.Path
    path.unit_rectangle()
    path.unit_circle()
    path.unit_circle_righthalf()


LEFT_OPEN: dict[tuple[str, str], str] = {
    ("weakref", "finalize"): "registry and flags of pending finalizers",
}

MACHINERY = frozenset(
    "executing stack_data asttokens pure_eval pygments parso jedi prompt_toolkit".split()
)
"""Packages of the kernel's own that no cell is handed anything of; their classes stay open."""

WARM_UP: dict[str, Callable[[types.ModuleType], None]] = {
    "matplotlib.path": _warm_path,
}

LAZY_CLASSES: list[LazyClass] = []
