"""Modules as a cell sees them: facades with the public names, and nothing to climb out by.

A facade is a module object of its own. It holds what the table of `withheld` leaves of a
module's public names, submodules as facades, and the cell's versions of what the deputies wrap.
It cannot be changed, so that one cell cannot patch what the next one, or a grader, reads.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .names import is_special
from .ownership import Ownership
from .refusal import RefusedAttribute
from .rules import DialectRules
from .withheld import ALIASES, BEYOND_ALL, PRIVATE_GIVEN, WITHHELD, Withheld

__all__ = ["SETTABLE", "Facade", "Facades"]

SETTABLE = {"sys": frozenset({"stdout", "stderr", "stdin"})}
"""Names of a module that a cell may set, in the real module."""

_LIVE = {
    "sys": frozenset({"stdout", "stderr", "stdin", "last_value", "last_type"}),
    "doctest": frozenset({"master"}),
}
"""Names whose value changes: read from the real module each time."""

_ABOUT = ("__version__", "__author__", "__license__", "__copyright__")
"""Text about a module; some modules make it when it is asked for."""

_OPEN = Withheld()
_SIMPLE = (str, bytes, int, float, complex, bool, tuple, list, dict, set, frozenset, type(None))
_SPAWNING = "it starts programs"


class Facade(types.ModuleType):
    """A read-only module."""

    __slots__ = ()

    def __setattr__(self, name: str, value: object) -> None:
        module = self.__name__
        if name in SETTABLE.get(module, ()):
            setattr(sys.modules[module], name, value)
            return
        self._closed(name)

    def __delattr__(self, name: str) -> None:
        self._closed(name)

    def _closed(self, name: str) -> NoReturn:
        raise RefusedAttribute(
            f"{self.__name__}.{name} is refused: modules are read-only in a cell; keep your own "
            "function or class under a name of your own (docs/dialect.md)"
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError("cannot pickle a module")

    def __repr__(self) -> str:
        return f"<module {self.__name__!r}>"


def _under(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


class Facades:
    """The facades of one session.

    ``replacements`` gives, per module, the names that a deputy stands in for; ``powers`` maps the
    id of a builtin to what the cell has in its place.
    """

    def __init__(
        self,
        ownership: Ownership,
        rules: DialectRules,
        replacements: Mapping[str, Mapping[str, Any]],
        powers: Mapping[int, Any],
    ) -> None:
        self._own = ownership
        self._rules = rules
        self._replacements = replacements
        self._powers = powers
        self._made: dict[str, Facade] = {}

    def withheld(self, module: str) -> Withheld:
        """The row of ``module``."""
        row = WITHHELD.get(module, _OPEN)
        if self._rules.processes and row.reason == _SPAWNING:
            return _OPEN
        return row

    def of(self, module: types.ModuleType, name: str | None = None) -> Facade:
        """The facade of ``module``, made at its first use."""
        name = name or module.__name__
        made = self._made.get(name)
        if made is None:
            made = self._make(module, name)
        return made

    def attach(self, parent: str, leaf: str, module: Facade) -> None:
        """Make an imported submodule visible in its parent's facade."""
        _names(self._made[parent])[leaf] = module

    def bare(self, name: str, below: Callable[[str, str], types.ModuleType | None]) -> Facade:
        """A facade of a package that is not given itself: ``below`` finds what of it is."""
        made = self._made.get(name)
        if made is None:
            made = Facade(name)
            space = _names(made)
            space.update(self._replacements.get(name, {}))

            def __getattr__(key: str) -> Any:
                found = None if key.startswith("_") else below(name, key)
                if found is None:
                    raise AttributeError(f"module {name!r} has no attribute {key!r}")
                return found

            space["__getattr__"] = __getattr__
            self._made[name] = made
            self._own.adopt_module(made, own=False)
        return made

    def forget(self, name: str) -> None:
        """Drop the facades of ``name`` and below, so that a new rule applies to them."""
        for known in [k for k in self._made if _under(k, name)]:
            del self._made[known]

    def public_names(self, module: types.ModuleType, name: str) -> list[str]:
        """The names that the facade of ``module`` offers, lazy ones among them."""
        listed = module.__dict__.get("__all__")
        if listed is not None and name not in BEYOND_ALL:
            found = [n for n in listed if isinstance(n, str)]
        else:
            found = [n for n in module.__dict__ if not n.startswith("_")]
        row = self.withheld(name)
        if row.only is not None:
            found = [n for n in set(found) | set(dir(module)) if n in row.only]
        found += [n for n in self._replacements.get(name, ()) if n not in found]
        return [n for n in dict.fromkeys(found) if n not in row.names]

    def _make(self, module: types.ModuleType, name: str) -> Facade:
        made = Facade(name, module.__doc__)
        self._made[name] = made
        self._own.adopt_module(made, own=False)
        space = _names(made)
        replaced = self._replacements.get(name, {})
        row = self.withheld(name)
        live = _LIVE.get(name, frozenset())
        for key in self.public_names(module, name):
            if key in live:
                continue
            if key in replaced:
                space[key] = replaced[key]
                continue
            if key not in module.__dict__:
                continue
            value = self._value(name, key, module.__dict__[key])
            if value is not _DROPPED:
                space[key] = value
        for key in PRIVATE_GIVEN.get(name, ()):
            space[key] = getattr(module, key)
        for key in ("__file__", *_ABOUT):
            if isinstance(module.__dict__.get(key), str):
                space[key] = module.__dict__[key]
        space["__getattr__"] = self._lazily(module, name, made, row, live)
        space["__dir__"] = lambda: sorted(
            {n for n in self.public_names(module, name) if not n.startswith("_")}
            | {n for n in space if not is_special(n)}
        )
        return made

    def _lazily(
        self,
        module: types.ModuleType,
        name: str,
        made: Facade,
        row: Withheld,
        live: frozenset[str],
    ) -> Callable[[str], Any]:
        """The facade's ``__getattr__``: lazy names, live values, and the words of a refusal."""

        def __getattr__(key: str) -> Any:
            missing = AttributeError(f"module {name!r} has no attribute {key!r}")
            if type(key) is not str:
                raise missing
            if key in _ABOUT:
                found = getattr(module, key, None)
                if isinstance(found, str):
                    return found
            if is_special(key):
                raise missing
            if key in row.names or (row.only is not None and key not in row.only):
                if hasattr(module, key):
                    raise RefusedAttribute(f"{name}.{key} is refused: {row.reason}")
                raise missing
            if key.startswith("_"):
                raise missing
            try:
                value = getattr(module, key)
            except AttributeError:
                raise missing from None
            value = self._value(name, key, value)
            if value is _DROPPED or not self._belongs(module, name, key, value):
                raise missing
            if key not in live:
                _names(made)[key] = value
            return value

        return __getattr__

    def _belongs(self, module: types.ModuleType, name: str, key: str, value: Any) -> bool:
        """A name outside ``__all__`` is public only when the package itself made the value."""
        if key in self.public_names(module, name) or isinstance(value, Facade):
            return True
        top = name.partition(".")[0].lstrip("_")
        made_in = getattr(value, "__module__", None)
        if isinstance(made_in, str):
            return made_in.partition(".")[0].lstrip("_") == top
        return isinstance(value, _SIMPLE) or hasattr(module, "__getattr__")

    def _value(self, module: str, key: str, value: Any) -> Any:
        if isinstance(value, types.ModuleType):
            return self._submodule(module, key, value)
        if value is type:
            return self._powers[id(type)]
        try:
            replaced = self._powers.get(id(value))
        except TypeError:
            return value
        return value if replaced is None else replaced

    def _submodule(self, parent: str, key: str, module: types.ModuleType) -> Any:
        dotted = f"{parent}.{key}"
        if ALIASES.get(dotted) == module.__name__:
            return self.of(module, dotted)
        top = parent.partition(".")[0]
        real = module.__name__
        if real not in sys.modules or not _under(real, top):
            return _DROPPED
        if any(p.startswith("_") for p in real.split(".")[1:]):
            return _DROPPED
        row = self.withheld(real)
        if row.only is not None and not row.only:
            return _DROPPED
        if self._rules.origin(real) is None:
            return _DROPPED
        return self.of(module)


_DROPPED: Any = object()


def _names(module: types.ModuleType) -> dict[str, Any]:
    return types.ModuleType.__getattribute__(module, "__dict__")  # type: ignore[no-any-return]
