"""The frozen world: classes of trusted code cannot be changed once a cell can reach them.

With modules read-only and classes frozen, a plain store ``x.y = z`` in a cell needs no guard:
what is left to store into is the cell's own. Classes that come in with an import are frozen when
it is done. What a library must still change on its own classes is in the table of `thaw`.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from . import _sys_freeze
from .ownership import Ownership
from .thaw import LAZY_CLASSES, LEFT_OPEN, MACHINERY, PATCHED_AT_IMPORT, WARM_UP

__all__ = ["World"]


def _keep_methods(self: Any, name: str, value: Any) -> None:
    if callable(getattr(type(self), name, None)):
        raise AttributeError(f"{name!r} of {type(self).__name__} is a method and stays one")
    object.__setattr__(self, name, value)


_HEAP_TYPE = 1 << 9


class World:
    """Freezes the classes of trusted modules; ``enabled=False`` leaves them (for comparison)."""

    def __init__(self, ownership: Ownership, *, enabled: bool = True) -> None:
        self._own = ownership
        self._enabled = enabled
        self._known: set[int] = set()
        self._warmed: set[str] = set()
        self._wrapped: set[tuple[str, str, str]] = set()

    def settle(self) -> None:
        """Freeze what came in since the last call."""
        if not self._enabled:
            return
        for module, warm in WARM_UP.items():
            if module in sys.modules and module not in self._warmed:
                self._warmed.add(module)
                warm(sys.modules[module])
        self._prepare_lazy()
        for cls in self._classes():
            if cls.__flags__ & _sys_freeze.IMMUTABLE or self._own.owns_class(cls):
                continue
            home = str(cls.__module__)
            if (
                home.partition(".")[0] not in MACHINERY
                and (home, cls.__qualname__) not in LEFT_OPEN
            ):
                _sys_freeze.set_immutable(cls)

    def protect(self, module: types.ModuleType) -> None:
        """Give the plain classes of ``module`` a ``__setattr__`` that keeps their methods."""
        for cls in list(vars(module).values()):
            if not (isinstance(cls, type) and cls.__module__ == module.__name__):
                continue
            if not any("__setattr__" in vars(base) for base in cls.__mro__[:-1]):
                with self.thawed(cls):
                    cls.__setattr__ = _keep_methods  # type: ignore[method-assign,assignment]
        self.settle()

    def _classes(self) -> Iterator[type]:
        """Every class of the process but the cell's own, from `object` down."""
        subclasses = type.__dict__["__subclasses__"]
        seen: set[int] = {id(object)}
        waiting: list[type] = [object]
        while waiting:
            cls = waiting.pop()
            for sub in subclasses(cls):
                if id(sub) not in seen:
                    seen.add(id(sub))
                    waiting.append(sub)
                    if sub.__flags__ & _HEAP_TYPE:
                        yield sub

    @contextmanager
    def thawed(self, *classes: type) -> Iterator[None]:
        """Let trusted code change ``classes`` for a moment."""
        frozen = [
            c for c in classes if c.__flags__ & _HEAP_TYPE and c.__flags__ & _sys_freeze.IMMUTABLE
        ]
        for cls in frozen:
            _sys_freeze.clear_immutable(cls)
        try:
            yield
        finally:
            for cls in frozen:
                _sys_freeze.set_immutable(cls)

    def importing(self, module: str) -> AbstractContextManager[None]:
        """Let ``module`` store on the classes that it is known to patch when it is imported."""
        top = module.partition(".")[0]
        return self.thawed(
            *(
                getattr(sys.modules[home], name)
                for (home, name), packages in PATCHED_AT_IMPORT.items()
                if top in packages and home in sys.modules
            )
        )

    def _prepare_lazy(self) -> None:
        """Wrap the functions of `thaw.LAZY_CLASSES`, which store on their classes when first
        used, so that just their classes are thawed while they run."""
        for row in LAZY_CLASSES:
            module = sys.modules.get(row.module)
            key = (row.module, row.owner, row.function)
            if module is None or key in self._wrapped:
                continue
            self._wrapped.add(key)
            owner: Any = getattr(module, row.owner) if row.owner else module
            self._wrap(owner, row.function, row.thaws)

    def _wrap(
        self, owner: Any, name: str, thaws: Callable[[tuple[Any, ...]], Iterable[type]]
    ) -> None:
        found = vars(owner).get(name)
        if found is None:
            return
        method = type(found) if isinstance(found, classmethod | staticmethod) else None
        plain = found.__func__ if method else found
        world = self

        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            with world.thawed(*thaws(arguments)):
                return plain(*arguments, **keywords)

        wrapper.__name__ = getattr(plain, "__name__", name)
        wrapper.__qualname__ = getattr(plain, "__qualname__", name)
        wrapper.__doc__ = plain.__doc__
        wrapper.__module__ = getattr(plain, "__module__", None) or wrapper.__module__
        wrapper.__wrapped__ = plain  # type: ignore[attr-defined]
        if isinstance(owner, type):
            with self.thawed(owner):
                setattr(owner, name, method(wrapper) if method else wrapper)
        else:
            setattr(owner, name, wrapper)
