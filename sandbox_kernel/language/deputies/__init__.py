"""Deputies: trusted code that acts on a cell's behalf, held to what the cell itself may do.

A deputy evaluates text, follows names or calls back with powers of its own. Two means, in this
order: give the deputy the dialect's own compiler and attribute guard (it loses the power), or hand
the cell a version that refuses the dangerous use. Each module here is one family of deputies.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Container
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from typing import TYPE_CHECKING, Any

from . import evaluators, libraries, lookups, pickles, running, standard, templates

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Deputies"]


class Deputies:
    """The deputies of one session.

    ``replacements`` is read by the facades: module, name, and what the cell gets for it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._injections: dict[str, list[Callable[[Session, Any], None]]] = {}
        for family in (evaluators, lookups, libraries, templates):
            for name, inject in family.INJECTIONS.items():
                self._injections.setdefault(name, []).append(inject)
        self.replacements: dict[str, dict[str, Any]] = {}
        self._makers: dict[str, Callable[[Session, Any], dict[str, Any]]] = {
            **standard.REPLACEMENTS,
            **running.REPLACEMENTS,
            **pickles.REPLACEMENTS,
            **libraries.REPLACEMENTS,
            **lookups.REPLACEMENTS,
        }

    def settle(self) -> None:
        """Prepare the deputies of every module that came in since the last call."""
        for name in list(self._makers):
            module = sys.modules.get(name)
            if module is not None:
                maker = self._makers.pop(name)
                self.replacements[name] = maker(self._session, module)
        for name in list(self._injections):
            module = sys.modules.get(name)
            if module is not None and not _is_being_imported(module):
                self._inject(name, module)

    def _inject(self, name: str, module: types.ModuleType) -> None:
        for inject in self._injections.pop(name, ()):
            inject(self._session, module)

    def watch(self) -> None:
        """Prepare a module's deputies right after its import, whoever imports it.

        Some libraries import the module that evaluates a cell's text when it is first used.
        """
        sys.meta_path.insert(0, _Watch(self._injections, self._inject))


class _Watch(MetaPathFinder):
    """Finds nothing itself: has the loaders of some modules call back."""

    def __init__(
        self, names: Container[str], loaded: Callable[[str, types.ModuleType], None]
    ) -> None:
        self._names = names
        self._loaded = loaded

    def find_spec(
        self, fullname: str, path: Any = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec that another finder gives, for a module that is waited for."""
        if fullname not in self._names:
            return None
        others = (f.find_spec(fullname, path, target) for f in sys.meta_path if f is not self)
        spec = next((found for found in others if found is not None), None)
        loader: Any = spec.loader if spec is not None else None
        if loader is not None:
            execute = loader.exec_module

            def exec_module(module: types.ModuleType) -> None:
                execute(module)
                self._loaded(fullname, module)

            loader.exec_module = exec_module
        return spec


def _is_being_imported(module: types.ModuleType) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))
