"""Plain facts: what a cell may read of a private name of an object that a library made.

Rules
-----
A private attribute of an object that the cell did not make is refused. One kind is read all the
same, because real notebooks do (``ThreadPoolExecutor()._max_workers``), and because it cannot lead
anywhere. All of these must hold:

1. the object is a class from a module that the policy gives, or an instance of one; no function
   or module, and nothing of a grader's module that the session protects;
2. the name has one leading underscore and no two in a row: no special and no mangled name;
3. the class itself speaks of the attribute: it stands in the class, its slots, or the code of one
   of its methods. What somebody else hung on the object is not among that;
4. the value is exactly a number, a truth value, text, bytes or None; or it is a short list, tuple
   or set of such values, of which the cell gets a copy (``pandas.DataFrame._internal_names``);
5. it lies in the object's dictionary, a slot or the class: no property and no ``__getattr__`` is
   run to get it.

So nothing that is read can be called, followed or changed, and reading runs no code.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

from .ownership import mro_of

__all__ = ["NO_FACT", "Facts"]

NO_FACT: Any = object()
"""What `Facts.read` gives where there is no such fact."""

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_GROUPS = (list, tuple, set, frozenset)
_SHORT = 1000
"""Values in a group that is copied."""

_CLOSED = (types.ModuleType, types.FunctionType, types.MethodType, BaseException)
_HEAP_TYPE = 1 << 9
_namespace: Callable[[type], types.MappingProxyType[str, Any]] = type.__dict__["__dict__"].__get__
_home: Callable[[type], Any] = type.__dict__["__module__"].__get__


class Facts:
    """Reads plain facts; ``given`` tells whether the policy gives a module by its dotted name."""

    def __init__(self, given: Callable[[str], bool]) -> None:
        self._given = given
        self.protected: set[str] = set()
        """Names of modules of which no private name is read."""

    def read(self, thing: Any, name: str) -> Any:
        """The plain fact ``name`` of ``thing``, or `NO_FACT`; runs no code of the object."""
        is_class = issubclass(type(thing), type)
        cls = thing if is_class else type(thing)
        if not name.startswith("_") or "__" in name or issubclass(cls, _CLOSED):
            return NO_FACT
        if not self._of_library(cls) or not any(self._speaks_of(c, name) for c in mro_of(cls)):
            return NO_FACT
        return _copied(_of_class(cls, name) if is_class else _stored(thing, cls, name))

    def _of_library(self, cls: type) -> bool:
        """True for a class that Python code of a given module made."""
        home = _home(cls)
        if not cls.__flags__ & _HEAP_TYPE or type(home) is not str:
            return False
        return home not in self.protected and self._given(home)

    def _speaks_of(self, cls: type, name: str) -> bool:
        if not self._of_library(cls):
            return False
        names = _namespace(cls)
        return name in names or any(name in code.co_names for code in _codes(names))


def _codes(names: types.MappingProxyType[str, Any]) -> Iterator[types.CodeType]:
    for value in list(names.values()):
        if type(value) in (classmethod, staticmethod):
            value = value.__func__
        elif type(value) is property:
            value = value.fget
        if type(value) is types.FunctionType:
            yield value.__code__


def _of_class(cls: type, name: str) -> Any:
    """What the class itself, or the first of its bases that has it, holds under that name."""
    for base in mro_of(cls):
        if name in _namespace(base):
            return _namespace(base)[name]
    return NO_FACT


def _stored(thing: Any, cls: type, name: str) -> Any:
    """The stored value, as CPython looks it up, but for what runs code."""
    found = _of_class(cls, name)
    if type(found) is types.MemberDescriptorType:
        try:
            return found.__get__(thing, cls)
        except AttributeError:
            return NO_FACT
    if found is not NO_FACT and type(found) not in _PLAIN + _GROUPS:
        return NO_FACT
    try:
        own = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        return found
    return dict.get(own, name, found) if type(own) is dict else found


def _copied(value: Any) -> Any:
    """``value`` where it is plain, a copy where it is a group of plain values, else `NO_FACT`."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind in _GROUPS and len(value) <= _SHORT:
        copied = kind(value)
        if all(type(each) in _PLAIN for each in copied):
            return copied
    return NO_FACT
