"""Whose is it: the cell's own classes, functions and modules, and what the cell was handed.

Everything here is by identity: a class may lie in ``__hash__`` and ``__eq__``, an object in
``__class__``; ``type(x)`` and ``id(x)`` do not lie. Ids are kept only while the object lives.
"""

from __future__ import annotations

import abc
import enum
import types
import typing
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Ownership", "Seen", "mro_of"]

_MRO: Callable[[type], tuple[type, ...]] = type.__dict__["__mro__"].__get__
_METACLASSES = (type, abc.ABCMeta, enum.EnumMeta)
_VETTED = (
    object,
    abc.ABC,
    enum.Enum,
    enum.IntEnum,
    enum.Flag,
    enum.IntFlag,
    typing.Generic,
    typing.Protocol,
)
_HEAP_TYPE = 1 << 9
_Thing = TypeVar("_Thing")


def mro_of(cls: type) -> tuple[type, ...]:
    """The method resolution order, past any ``mro`` or ``__mro__`` that the class defines."""
    return _MRO(cls)


class Seen:
    """The clean classes that the tests of one function met; a constant of its code."""

    __slots__ = ("first", "second")

    def __init__(self) -> None:
        self.first: type | None = None
        self.second: type | None = None


class Ownership:
    """Registers of one dialect session."""

    def __init__(self) -> None:
        self.clean: set[int] = set()
        """Ids of classes whose instances a cell may open at its private attributes, raw."""
        self._classes: dict[int, weakref.ref[type]] = {}
        self._globals: dict[int, dict[str, Any]] = {}
        self._modules: dict[int, types.ModuleType] = {}
        self._lent: dict[int, object] = {}

    # classes -------------------------------------------------------------------------------

    def adopt(self, cls: type) -> type:
        """Note that the cell made ``cls``."""
        number = id(cls)

        def forget(_: object, number: int = number) -> None:
            self._classes.pop(number, None)
            self.clean.discard(number)

        self._classes[number] = weakref.ref(cls, forget)
        return cls

    def owns_class(self, cls: type) -> bool:
        """True when the cell made ``cls``."""
        return id(cls) in self._classes

    def is_clean(self, cls: type) -> bool:
        """True when each class that ``cls`` inherits from is the cell's own, static, or vetted.

        Notes such classes in `clean`.
        """
        number = id(cls)
        if number in self.clean:
            return True
        if number not in self._classes:
            return False
        meta = type(cls)
        if not any(meta is m for m in _METACLASSES):
            return False
        for base in mro_of(cls):
            if id(base) in self._classes or any(base is v for v in _VETTED):
                continue
            if base.__flags__ & _HEAP_TYPE or _closed(base):
                return False
        self.clean.add(number)
        return True

    # namespaces, functions, modules --------------------------------------------------------

    def adopt_globals(self, namespace: dict[str, Any]) -> dict[str, Any]:
        """Note that ``namespace`` holds the globals of dialect code."""
        self._globals[id(namespace)] = namespace
        return namespace

    def owns_globals(self, namespace: object) -> bool:
        """True when ``namespace`` holds the globals of dialect code."""
        return id(namespace) in self._globals

    def adopt_module(self, module: types.ModuleType, *, own: bool) -> None:
        """Note a facade (``own=False``) or a module made from a granted file (``own=True``)."""
        self._modules[id(module)] = module
        if own:
            self.adopt_globals(module.__dict__)

    def handed(self, module: types.ModuleType) -> bool:
        """True for a module object that the cell may hold."""
        return id(module) in self._modules

    def lend(self, thing: _Thing) -> _Thing:
        """Note a wrapper of ours that acts for the cell (never the cell's own)."""
        self._lent[id(thing)] = thing
        return thing

    def owns(self, thing: object) -> bool:
        """True when ``thing`` is a class, an instance, a function or a module of the cell."""
        cls = type(thing)
        if id(cls) in self._classes:
            return not issubclass(cls, type) or id(thing) in self._classes
        if issubclass(cls, type):
            return id(thing) in self._classes
        if cls is types.FunctionType:
            return id(thing.__globals__) in self._globals  # type: ignore[attr-defined]
        if cls is types.MethodType:
            return self.owns(thing.__func__)  # type: ignore[attr-defined]
        if issubclass(cls, types.ModuleType):
            return id(thing) in self._modules and id(thing.__dict__) in self._globals
        if cls in (classmethod, staticmethod):
            return self.owns(thing.__func__)  # type: ignore[attr-defined]
        return False


def _closed(base: type) -> bool:
    """Static types whose instances hold machinery: modules, classes, functions."""
    return issubclass(base, types.ModuleType | type | types.FunctionType | types.MethodType)
