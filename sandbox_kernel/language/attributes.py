"""Run-time guards of attributes: what the compiler could not decide from the name alone.

The rule is short. An object of the cell's own may be opened at will, short of frames and code.
Of what the cell was handed, private names (but for plain facts), special names that reach
machinery, and the relatives of a class are refused. No guard ever returns a module that the cell
was not handed, a frame or a code object.
"""

from __future__ import annotations

import string
import types
from collections.abc import Callable
from typing import Any, NoReturn

from .facts import NO_FACT, Facts
from .formats import template_refusal
from .names import (
    CLASS_WALK,
    DEFINABLE,
    FRAME_NAMES,
    MACHINERY_OF,
    RAW_MEMORY_NAMES,
    Access,
    access,
    is_special,
)
from .ownership import Ownership, Seen, mro_of
from .refusal import RefusedAttribute, RefusedValue
from .views import GuardedView, InstanceDict, plain_text

__all__ = ["AttributeGuards", "plain_text"]

_MACHINERY = (types.FrameType, types.CodeType)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_WRAPPERS = (property, classmethod, staticmethod)
_FUNCTION_LABELS = frozenset(
    {"__name__", "__doc__", "__qualname__", "__wrapped__", "__signature__"}
)
_OWN_FUNCTION = _FUNCTION_LABELS | {
    "__defaults__",
    "__kwdefaults__",
    "__annotations__",
    "__type_params__",
    "__annotate__",
    "__module__",
}
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
_CODE_FACTS = (
    "co_name co_qualname co_argcount co_posonlyargcount co_kwonlyargcount co_nlocals co_varnames "
    "co_names co_freevars co_cellvars co_filename co_firstlineno co_flags co_stacksize"
).split()
_MADE_IN_CLASS_BODY = frozenset({"__match_args__", "__getattr__", "__getattribute__", "__module__"})
_ASKED_OF_HOOKS = DEFINABLE | {"__dict__", "__class__", "__wrapped__", "__mro_entries__"}
_NOTHING: Any = object()
_SUPER: dict[str, Any] = dict(super.__dict__)


def _bound_of(thing: Any) -> Any:
    """What a `super` object is bound to, else the thing itself; its ``__self__`` may lie."""
    return _SUPER["__self__"].__get__(thing) if type(thing) is super else thing


class AttributeGuards:
    """The attribute guards of one session. ``metatype`` is what cells get for `type`."""

    def __init__(self, ownership: Ownership, facts: Facts) -> None:
        self._own = ownership
        self._facts = facts
        self.metatype: Any = type
        self.new_class: Callable[..., type] = type.__new__

    # loads ---------------------------------------------------------------------------------

    def load(self, thing: Any, name: str) -> Any:
        """``thing.name`` for a name that may not be read raw; ``name`` is an exact `str`."""
        return self._read(thing, name)

    def walk(self, thing: Any, name: str) -> Any:
        """``x.__class__.__mro__`` and its like: of the cell's own classes only."""
        if issubclass(type(thing), type) and not self._own.owns(thing):
            self._refuse(thing, name, "the relatives of a class that the cell did not make")
        return self._read(thing, name)

    def getattr(self, thing: Any, name: Any, *default: Any) -> Any:
        """The builtin `getattr` of a cell."""
        if len(default) > 1:
            raise TypeError(f"getattr expected at most 3 arguments, got {2 + len(default)}")
        name = plain_text(name)
        if access(name) is Access.PLAIN:
            return self.vet(getattr(thing, name, *default), name)
        if name in CLASS_WALK and issubclass(type(thing), type) and not self._own.owns(thing):
            self._refuse(thing, name, "the relatives of a class that the cell did not make")
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

    def _refuse(self, thing: Any, name: str, why: str) -> NoReturn:
        cls = type(thing)
        what = f"{thing.__name__}" if cls is type else f"an object of type {cls.__name__}"
        raise RefusedAttribute(f"{name!r} of {what} is refused: {why} (docs/dialect.md)")

    def _read(self, thing: Any, name: str, *default: Any) -> Any:
        if thing is self.metatype:
            thing = type
        special = self._special(thing, name, *default)
        if special is not _NOTHING:
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
                self._refuse(thing, name, "it is private to a class that the cell did not make")
            self._own.is_clean(type(thing))
            return self.vet(getattr(thing, name, *default), name)
        if name in _READABLE_ANYWHERE or (owned and name in DEFINABLE):
            return self.vet(getattr(thing, name, *default), name)
        if owned and not is_special(name) and not issubclass(type(thing), _FUNCTIONS):
            return self.vet(getattr(thing, name, *default), name)
        return self._refuse(thing, name, "it reaches the interpreter's machinery")

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
        owner = _SUPER["__self_class__"].__get__(thing)
        if owner is None:
            return False
        mro = mro_of(owner)
        for cls in mro[mro.index(_SUPER["__thisclass__"].__get__(thing)) + 1 :]:
            if name in type.__dict__["__dict__"].__get__(cls):
                return self._own.owns_class(cls)
        return True

    def _special(self, thing: Any, name: str, *default: Any) -> Any:
        """Names with an answer of their own; `_NOTHING` for the others."""
        cls = type(thing)
        is_class = issubclass(cls, type)
        if name == "__class__":
            found = thing.__class__ if self._own.owns(thing) and not is_class else cls
            return self.metatype if found is type else found
        if name in ("__mro__", "__bases__", "__base__", "__origin__"):
            return self._without_type(getattr(thing, name, *default))
        if name == "mro":
            if thing is type:
                return lambda cls: list(self._without_type(tuple(type.mro(cls))))
            if is_class:
                return lambda: list(self._without_type(tuple(type.mro(thing))))
            return getattr(thing, name, *default)
        if name in ("format", "format_map"):
            return self._formatter(thing, name, cls, *default)
        if name in ("vformat", "get_field", "get_value"):
            if issubclass(cls, string.Formatter) or (
                is_class and issubclass(thing, string.Formatter)
            ):
                self._refuse(thing, name, "it evaluates a template in trusted code")
            return getattr(thing, name, *default)
        if name == "obj":
            if issubclass(cls, AttributeError):
                self._refuse(thing, name, "it may hold what the attribute was refused of")
            return self.vet(getattr(thing, name, *default), name)
        if name in MACHINERY_OF:
            return self._machinery(thing, name, *default)
        if name in RAW_MEMORY_NAMES:
            if self._own.owns(thing):
                return self.vet(getattr(thing, name, *default), name)
            self._refuse(thing, name, "it reaches raw memory")
        if name == "cell_contents" and cls is types.CellType:
            return self.vet(thing.cell_contents, name)
        if name == "__closure__" and cls is types.FunctionType and self._own.owns(thing):
            return thing.__closure__
        if name == "__code__" and cls is types.FunctionType and self._own.owns(thing):
            return types.SimpleNamespace(
                **{f: getattr(thing.__code__, f) for f in _CODE_FACTS if hasattr(thing.__code__, f)}
            )
        if name in FRAME_NAMES:
            if self._own.owns(thing) and not issubclass(cls, _FUNCTIONS):
                return self.vet(getattr(thing, name, *default), name)
            self._refuse(thing, name, "it reaches frames or code")
        if name in ("__setattr__", "__delattr__"):
            return self._setter(thing, name, cls)
        if name == "__getattribute__":
            return self._getter(thing)
        if name == "__dict__":
            return self._dict(thing, cls, is_class)
        if name == "__self__":
            found = getattr(thing, name, *default)
            if issubclass(type(found), types.ModuleType):
                self._refuse(thing, name, "it is a module")
            return self.vet(found, name)
        if name == "__subclasses__":
            if self._own.owns(thing):
                return getattr(thing, name, *default)
            self._refuse(thing, name, "the relatives of a class that the cell did not make")
        if name == "__new__":
            return self._new(thing, is_class, *default)
        if name == "__annotations__" and not self._own.owns(thing):
            if issubclass(cls, types.ModuleType):
                self._refuse(thing, name, "modules are closed")
            return dict(getattr(thing, name, *default) or {})
        if cls is types.FunctionType and name in _OWN_FUNCTION:
            if self._own.owns(thing) or name in ("__annotations__", "__signature__", "__module__"):
                return getattr(thing, name, *default)
            self._refuse(thing, name, "the function is not the cell's own")
        if name in ("__reduce__", "__reduce_ex__", "__getstate__") and not is_class:
            found = getattr(thing, name, *default)
            if isinstance(found, types.MethodType) and self._own.owns(found):
                return found
            self._refuse(thing, name, "it hands out the constructors of trusted code")
        return _NOTHING

    def _machinery(self, thing: Any, name: str, *default: Any) -> Any:
        package = MACHINERY_OF[name]
        cls = thing if issubclass(type(thing), type) else type(thing)
        made_in = {str(c.__module__).partition(".")[0] for c in mro_of(cls)}
        value = self.vet(getattr(thing, name, *default), name)
        held = str(type(value).__module__).partition(".")[0]
        if (package in made_in and not self._own.owns(thing)) or held == package == "ipykernel":
            self._refuse(thing, name, "it is machinery of the library")
        return value

    def _without_type(self, value: Any) -> Any:
        if type(value) is tuple:
            return tuple(self.metatype if v is type else v for v in value)
        return self.vet(value, "__origin__")

    # formatting ----------------------------------------------------------------------------

    def _formatter(self, thing: Any, name: str, cls: type, *default: Any) -> Any:
        if issubclass(cls, str):
            return self._format_of(plain_text(thing), name)
        if issubclass(cls, type) and issubclass(thing, str):

            def format_any(template: str, /, *values: Any, **named: Any) -> str:
                return self._format_of(plain_text(template), name)(*values, **named)

            return format_any
        if issubclass(cls, string.Formatter) or (
            issubclass(cls, type) and issubclass(thing, string.Formatter)
        ):
            self._refuse(thing, name, "string.Formatter evaluates templates in trusted code")
        return self.vet(getattr(thing, name, *default), name)

    def _format_of(self, template: str, name: str) -> Callable[..., str]:
        reached = template_refusal(template)
        if reached is not None:
            raise RefusedAttribute(
                f"the format template reads {reached}, which is refused: templates may read "
                "public attributes only; pass the value itself as an argument (docs/dialect.md)"
            )
        formatter: Callable[..., str] = getattr(template, name)
        return formatter

    # special methods -----------------------------------------------------------------------

    def _setter(self, thing: Any, name: str, cls: type) -> Callable[..., None]:
        real = getattr(thing, name)
        if isinstance(real, types.FunctionType | types.MethodType) and self._own.owns(real):
            return real

        wanted = 3 if name == "__setattr__" else 2

        def setter(*arguments: Any) -> None:
            unbound = issubclass(cls, type) and len(arguments) == wanted
            target = arguments[0] if unbound else _bound_of(thing)
            attribute, *rest = arguments[1:] if unbound else arguments
            attribute = plain_text(attribute)
            self.store(target, attribute)
            if unbound and not self._own.owns(target):
                # what the object's own class says about stores holds for a cell
                (setattr if wanted == 3 else delattr)(target, attribute, *rest)
            else:
                real(*((target,) if unbound else ()), attribute, *rest)

        return setter

    def _getter(self, thing: Any) -> Callable[..., Any]:
        real = thing.__getattribute__
        owned = isinstance(real, types.FunctionType | types.MethodType) and self._own.owns(real)

        def getter(*arguments: Any) -> Any:
            if len(arguments) == 2:
                target, attribute = arguments
                how: Any = real if owned else object.__getattribute__
                call: tuple[Any, ...] = (target,)
            else:
                (attribute,) = arguments
                target = _bound_of(thing)
                how, call = real, ()
            attribute = plain_text(attribute)
            if access(attribute) is Access.PLAIN or (
                access(attribute) is Access.PRIVATE and self._own.owns(target)
            ):
                return self.vet(how(*call, attribute), attribute)
            return self.getattr(target, attribute)

        return getter

    def _dict(self, thing: Any, cls: type, is_class: bool) -> Any:
        if issubclass(cls, types.ModuleType):
            self._refuse(thing, "__dict__", "modules are closed")
        if self._own.owns(thing):
            if is_class:
                return thing.__dict__
            if issubclass(cls, types.FunctionType):
                return thing.__dict__
            return InstanceDict(thing, self)
        if is_class or issubclass(cls, _FUNCTIONS):
            self._refuse(thing, "__dict__", "the namespace of what the cell did not make")
        found = thing.__dict__
        return types.MappingProxyType(
            {k: v for k, v in found.items() if type(k) is str and access(k) is Access.PLAIN}
        )

    def _new(self, thing: Any, is_class: bool, *default: Any) -> Any:
        found = getattr(thing, "__new__", *default)
        if found is type.__new__ or getattr(found, "__self__", None) is type:
            return self.new_class
        if is_class and not self._own.owns(thing):
            closed = (types.FunctionType, types.CodeType, types.CellType, types.ModuleType)
            if issubclass(thing, closed):
                self._refuse(thing, "__new__", "it makes machinery")
        return found

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
                self._refuse(thing, name, "special names of a module are fixed")
            return thing
        if issubclass(cls, type):
            if not self._own.owns(thing):
                raise RefusedAttribute(
                    f"{thing.__name__}.{name} is refused: classes that the cell did not make are "
                    "read-only; derive a class of your own (docs/dialect.md)"
                )
            if name in _MADE_IN_CLASS_BODY:
                self._refuse(thing, name, "it is set in the class body")
        elif issubclass(cls, _FUNCTIONS + _WRAPPERS):
            labels = _OWN_FUNCTION if self._own.owns(thing) else frozenset[str]()
            if is_special(name) and name not in labels:
                self._refuse(thing, name, "it changes a function from inside")
        if is_special(name):
            if name == "__class__" and not self._own.owns(thing):
                self._refuse(thing, name, "the object is not the cell's own")
            if name not in DEFINABLE and name not in _SETTABLE_SPECIAL:
                self._refuse(thing, name, "it opens the interpreter's machinery")
        elif access(name) is not Access.PLAIN and not self._owned_for(thing, name):
            if type(thing) is super and self._own.owns(_bound_of(thing)):
                return thing
            self._refuse(thing, name, "it belongs to an object that the cell did not make")
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


def object_attribute(thing: Any, name: str) -> Any:
    """The attribute, or None where it does not exist yet."""
    try:
        return getattr(thing, name)
    except AttributeError:
        return None
