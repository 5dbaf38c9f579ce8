"""Run-time guards of attributes: what the compiler could not decide from the name alone.

The rule is short. An object of the cell's own may be opened at will, short of frames and code.
Of what the cell was handed, private names (but for plain facts), special names that reach
machinery, and the relatives of a class are refused. No guard ever returns a module that the cell
was not handed, a frame or a code object.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any, NoReturn

from .facts import NO_FACT, Facts
from .names import CLASS_WALK, DEFINABLE, Access, access, is_special
from .ownership import Ownership, Seen, mro_of
from .refusal import RefusedAttribute, RefusedValue
from .special_names import FUNCTIONS, NO_ANSWER, OWN_FUNCTION, SUPER, SpecialNames, bound_of
from .views import GuardedView, plain_text
from .withheld import PRIVATE_DOCUMENTED

__all__ = ["AttributeGuards", "plain_text"]

_MACHINERY = (types.FrameType, types.CodeType)
_WRAPPERS = (property, classmethod, staticmethod)
_READABLE_ANYWHERE = frozenset(
    """__file__ __objclass__ __signature__ __text_signature__ __static_attributes__
    __test__ __dir__ __weakref__ __package__ __origin__ __firstlineno__ __func__ __wrapped__
    __unpacked__ __forward_arg__ __mro_entries__
    __thisclass__ __getformat__ __itemsize__ __basicsize__ __excepthook__""".split()
)
_SETTABLE_SPECIAL = frozenset(
    """__class__ __cause__ __context__ __traceback__ __suppress_context__ __wrapped__
    __signature__ __notes__ __dict__ __doc__ __name__ __qualname__""".split()
)
_MADE_IN_CLASS_BODY = frozenset({"__match_args__", "__getattr__", "__getattribute__", "__module__"})
_ASKED_OF_HOOKS = DEFINABLE | {"__dict__", "__class__", "__wrapped__", "__mro_entries__"}


class AttributeGuards:
    """The attribute guards of one session. ``metatype`` is what cells get for `type`."""

    def __init__(self, ownership: Ownership, facts: Facts) -> None:
        self._own = ownership
        self._facts = facts
        self._special = SpecialNames(ownership, self)
        self.metatype: Any = type
        self.new_class: Callable[..., type] = type.__new__

    # loads ---------------------------------------------------------------------------------

    def load(self, thing: Any, name: str) -> Any:
        """``thing.name`` for a name that may not be read raw; ``name`` is an exact `str`."""
        return self._read(thing, name)

    def walk(self, thing: Any, name: str) -> Any:
        """``x.__class__.__mro__`` and its like: of the cell's own classes only."""
        if issubclass(type(thing), type) and not self._own.owns(thing):
            self.refuse(thing, name, "the relatives of a class that the cell did not make")
        return self._read(thing, name)

    def getattr(self, thing: Any, name: Any, *default: Any) -> Any:
        """The builtin `getattr` of a cell."""
        if len(default) > 1:
            raise TypeError(f"getattr expected at most 3 arguments, got {2 + len(default)}")
        name = plain_text(name)
        if access(name) is Access.PLAIN:
            return self.vet(getattr(thing, name, *default), name)
        if name in CLASS_WALK and issubclass(type(thing), type) and not self._own.owns(thing):
            self.refuse(thing, name, "the relatives of a class that the cell did not make")
        if default and access(name) is Access.PRIVATE:
            try:
                return self._read(thing, name)
            except AttributeError:
                return default[0]
        return self._read(thing, name, *default)

    def hasattr(self, thing: Any, name: Any) -> bool:
        """The builtin `hasattr` of a cell."""
        try:
            self.getattr(thing, name)
        except AttributeError:
            return False
        return True

    def vet(self, value: Any, name: str) -> Any:
        """``value``, unless it is a thing that no cell may hold."""
        cls = type(value)
        if issubclass(cls, types.ModuleType) and not self._own.handed(value):
            raise RefusedAttribute(f"{name!r} is refused: it holds a module that was not imported")
        if issubclass(cls, _MACHINERY):
            raise RefusedAttribute(f"{name!r} is refused: it holds a frame or a code object")
        return self.metatype if value is type else value

    def refuse(self, thing: Any, name: str, why: str) -> NoReturn:
        """Refuse the attribute ``name`` of ``thing``."""
        cls = type(thing)
        what = f"{thing.__name__}" if cls is type else f"an object of type {cls.__name__}"
        raise RefusedAttribute(f"{name!r} of {what} is refused: {why} (docs/dialect.md)")

    def _read(self, thing: Any, name: str, *default: Any) -> Any:
        if thing is self.metatype:
            thing = type
        special = self._special.answer(thing, name, *default)
        if special is not NO_ANSWER:
            return special
        kind = access(name)
        owned = self._owned_for(thing, name)
        if kind is Access.PLAIN:
            return self.vet(getattr(thing, name, *default), name)
        if kind is Access.PRIVATE:
            if not owned and not self._given_by_module(thing, name):
                fact = self._facts.read(thing, name)
                if fact is not NO_FACT:
                    return fact
                if _is_documented(thing, name):
                    return self.vet(getattr(thing, name, *default), name)
                self.refuse(thing, name, "it is private to a class that the cell did not make")
            self._own.is_clean(type(thing))
            return self.vet(getattr(thing, name, *default), name)
        if name in _READABLE_ANYWHERE or (owned and name in DEFINABLE):
            return self.vet(getattr(thing, name, *default), name)
        if owned and not is_special(name) and not issubclass(type(thing), FUNCTIONS):
            return self.vet(getattr(thing, name, *default), name)
        return self.refuse(thing, name, "it reaches the interpreter's machinery")

    def _given_by_module(self, thing: Any, name: str) -> bool:
        """A facade holds only what is given; a private name among that is listed by hand."""
        cls = type(thing)
        if not issubclass(cls, types.ModuleType) or not self._own.handed(thing):
            return False
        return name in types.ModuleType.__getattribute__(thing, "__dict__")

    def _owned_for(self, thing: Any, name: str) -> bool:
        """Ownership, also for ``super()``: there the class that defines ``name`` decides."""
        if type(thing) is not super:
            return self._own.owns(thing)
        owner = SUPER["__self_class__"].__get__(thing)
        if owner is None:
            return False
        mro = mro_of(owner)
        for cls in mro[mro.index(SUPER["__thisclass__"].__get__(thing)) + 1 :]:
            if name in type.__dict__["__dict__"].__get__(cls):
                return self._own.owns_class(cls)
        return True

    # stores --------------------------------------------------------------------------------

    def store(self, thing: Any, name: str) -> Any:
        """``thing``, once it is known that its attribute ``name`` may be set or deleted."""
        cls = type(thing)
        if issubclass(cls, types.ModuleType):
            if not self._own.owns(thing):
                raise RefusedAttribute(
                    f"{thing.__name__}.{name} is refused: modules are read-only in a cell; keep "
                    "your own function or class under a name of your own (docs/dialect.md)"
                )
            if is_special(name):
                self.refuse(thing, name, "special names of a module are fixed")
            return thing
        if issubclass(cls, type):
            if not self._own.owns(thing):
                raise RefusedAttribute(
                    f"{thing.__name__}.{name} is refused: classes that the cell did not make are "
                    "read-only; derive a class of your own (docs/dialect.md)"
                )
            if name in _MADE_IN_CLASS_BODY:
                self.refuse(thing, name, "it is set in the class body")
        elif issubclass(cls, FUNCTIONS + _WRAPPERS):
            labels = OWN_FUNCTION if self._own.owns(thing) else frozenset[str]()
            if is_special(name) and name not in labels:
                self.refuse(thing, name, "it changes a function from inside")
        if is_special(name):
            if name == "__class__" and not self._own.owns(thing):
                self.refuse(thing, name, "the object is not the cell's own")
            if name not in DEFINABLE and name not in _SETTABLE_SPECIAL:
                self.refuse(thing, name, "it opens the interpreter's machinery")
        elif access(name) is not Access.PLAIN and not self._owned_for(thing, name):
            if type(thing) is super and self._own.owns(bound_of(thing)):
                return thing
            self.refuse(thing, name, "it belongs to an object that the cell did not make")
        if access(name) is not Access.PLAIN and not issubclass(cls, type):
            self._own.is_clean(cls)
            if id(cls) not in self._own.clean:
                # `x._m += y` reads the old value, and hands it to y
                self.vet(object_attribute(thing, name), name)
        return thing

    def setattr(self, thing: Any, name: Any, value: Any) -> None:
        """The builtin `setattr` of a cell."""
        name = plain_text(name)
        setattr(self.store(thing, name), name, value)

    def delattr(self, thing: Any, name: Any) -> None:
        """The builtin `delattr` of a cell."""
        name = plain_text(name)
        delattr(self.store(thing, name), name)

    # class bodies --------------------------------------------------------------------------

    @staticmethod
    def match_args(value: Any) -> tuple[str, ...]:
        """The value of ``__match_args__``: a pattern reads these names in C."""
        names = tuple(value) if type(value) in (list, tuple) else ()
        if type(value) not in (list, tuple) or any(
            type(n) is not str or access(n) is not Access.PLAIN for n in names
        ):
            raise RefusedValue("__match_args__ must be a tuple of public attribute names")
        return names

    @staticmethod
    def module_name(value: Any) -> Any:
        """The value of ``__module__`` in a class body: trusted code looks modules up by it."""
        if type(value) is not str or value not in ("__main__", "builtins"):
            raise RefusedValue("__module__ is refused: trusted code looks modules up by it")
        return "__main__"

    @staticmethod
    def hook_name(name: str) -> None:
        """The name that a cell's ``__getattr__`` is asked for.

        Trusted C code asks for protocols that would give it raw memory: those are absent.
        """
        if name == "__match_args__" or (is_special(name) and name not in _ASKED_OF_HOOKS):
            raise AttributeError(name)

    def attribute_hook(self, function: Any) -> Any:
        """Wrap a ``__getattr__`` whose name parameter the compiler could not find."""
        if isinstance(function, _WRAPPERS) or not callable(function):
            raise RefusedValue("__getattr__ must be a function")

        def __getattr__(self: Any, name: str) -> Any:
            AttributeGuards.hook_name(plain_text(name))
            return function(self, name)

        return __getattr__

    def foreign(self, thing: Any, seen: Seen) -> bool:
        """True where `view` gives a guarded view of ``thing``."""
        return self.view(thing, seen) is not thing

    def view(self, thing: Any, seen: Seen) -> Any:
        """``thing`` where its class is clean (and remember the class), else a guarded view."""
        cls = type(thing)
        if not self._own.is_clean(cls):
            return GuardedView(thing, self)
        if seen.first is None:
            seen.first = cls
        elif cls in mro_of(seen.first):
            # a method meets its own class more often than classes derived from it
            seen.first, seen.second = cls, seen.first
        else:
            seen.second = cls
        return thing


def _is_documented(thing: Any, name: str) -> bool:
    """True for a private attribute that the documentation of its library uses."""
    owners = (thing,) if type(thing) is types.FunctionType else mro_of(type(thing))
    return any((o.__module__, o.__qualname__, name) in PRIVATE_DOCUMENTED for o in owners)


def object_attribute(thing: Any, name: str) -> Any:
    """The attribute, or None where it does not exist yet."""
    try:
        return getattr(thing, name)
    except AttributeError:
        return None
