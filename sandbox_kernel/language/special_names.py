"""Special and guarded names that have an answer of their own: ``__class__``, ``__dict__``,
``__self__``, ``format`` and their like.

Python answers these with what leads out of an object: its class's relatives, its namespace, its
frames. A cell gets the part of the answer that stays within, or a refusal.
"""

from __future__ import annotations

import string
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .formats import template_refusal
from .names import FRAME_NAMES, MACHINERY_OF, RAW_MEMORY_NAMES, Access, access
from .ownership import Ownership, mro_of
from .refusal import RefusedAttribute
from .views import InstanceDict, plain_text

if TYPE_CHECKING:
    from .attributes import AttributeGuards

__all__ = ["FUNCTIONS", "NO_ANSWER", "OWN_FUNCTION", "SUPER", "SpecialNames", "bound_of"]

NO_ANSWER: Any = object()
"""What `SpecialNames.answer` gives where the name is an ordinary one on that object."""

FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
OWN_FUNCTION = frozenset(
    """__name__ __doc__ __qualname__ __wrapped__ __signature__ __defaults__ __kwdefaults__
    __annotations__ __type_params__ __annotate__ __module__""".split()
)
"""Special names of a function that its cell may read and set."""

SUPER: dict[str, Any] = dict(super.__dict__)
"""The slots of `super`, read past what a class says about them."""

_CODE_FACTS = (
    "co_name co_qualname co_argcount co_posonlyargcount co_kwonlyargcount co_nlocals co_varnames "
    "co_names co_freevars co_cellvars co_filename co_firstlineno co_flags co_stacksize"
).split()


def bound_of(thing: Any) -> Any:
    """What a `super` object is bound to, else the thing itself; its ``__self__`` may lie."""
    return SUPER["__self__"].__get__(thing) if type(thing) is super else thing


class SpecialNames:
    """The answers of one session."""

    def __init__(self, ownership: Ownership, guards: AttributeGuards) -> None:
        self._own = ownership
        self._guards = guards

    def answer(self, thing: Any, name: str, *default: Any) -> Any:
        """What a cell reads for ``thing.name``; `NO_ANSWER` for names without an answer of their
        own.

        Raises:
            RefusedAttribute: the name is refused on this object.
        """
        cls = type(thing)
        is_class = issubclass(cls, type)
        if name == "__class__":
            found = thing.__class__ if self._own.owns(thing) and not is_class else cls
            return self._guards.metatype if found is type else found
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
                self._guards.refuse(thing, name, "it evaluates a template in trusted code")
            return getattr(thing, name, *default)
        if name == "obj":
            if issubclass(cls, AttributeError):
                self._guards.refuse(thing, name, "it may hold what the attribute was refused of")
            return self._guards.vet(getattr(thing, name, *default), name)
        if name in MACHINERY_OF:
            return self._machinery(thing, name, *default)
        if name in RAW_MEMORY_NAMES:
            if self._own.owns(thing):
                return self._guards.vet(getattr(thing, name, *default), name)
            self._guards.refuse(thing, name, "it reaches raw memory")
        if name == "cell_contents" and cls is types.CellType:
            return self._guards.vet(thing.cell_contents, name)
        if name == "__closure__" and cls is types.FunctionType and self._own.owns(thing):
            return thing.__closure__
        if name == "__code__" and cls is types.FunctionType and self._own.owns(thing):
            return types.SimpleNamespace(
                **{f: getattr(thing.__code__, f) for f in _CODE_FACTS if hasattr(thing.__code__, f)}
            )
        if name in FRAME_NAMES:
            if self._own.owns(thing) and not issubclass(cls, FUNCTIONS):
                return self._guards.vet(getattr(thing, name, *default), name)
            self._guards.refuse(thing, name, "it reaches frames or code")
        if name in ("__setattr__", "__delattr__"):
            return self._setter(thing, name, cls)
        if name == "__getattribute__":
            return self._getter(thing)
        if name == "__dict__":
            return self._dict(thing, cls, is_class)
        if name == "__self__":
            found = getattr(thing, name, *default)
            if issubclass(type(found), types.ModuleType):
                self._guards.refuse(thing, name, "it is a module")
            return self._guards.vet(found, name)
        if name == "__subclasses__":
            if self._own.owns(thing):
                return getattr(thing, name, *default)
            self._guards.refuse(thing, name, "the relatives of a class that the cell did not make")
        if name == "__new__":
            return self._new(thing, is_class, *default)
        if name == "__annotations__" and not self._own.owns(thing):
            if issubclass(cls, types.ModuleType):
                self._guards.refuse(thing, name, "modules are closed")
            return dict(getattr(thing, name, *default) or {})
        if cls is types.FunctionType and name in OWN_FUNCTION:
            if self._own.owns(thing) or name in ("__annotations__", "__signature__", "__module__"):
                return getattr(thing, name, *default)
            self._guards.refuse(thing, name, "the function is not the cell's own")
        if name in ("__reduce__", "__reduce_ex__", "__getstate__") and not is_class:
            found = getattr(thing, name, *default)
            if isinstance(found, types.MethodType) and self._own.owns(found):
                return found
            self._guards.refuse(thing, name, "it hands out the constructors of trusted code")
        return NO_ANSWER

    def _machinery(self, thing: Any, name: str, *default: Any) -> Any:
        package = MACHINERY_OF[name]
        cls = thing if issubclass(type(thing), type) else type(thing)
        made_in = {str(c.__module__).partition(".")[0] for c in mro_of(cls)}
        value = self._guards.vet(getattr(thing, name, *default), name)
        held = str(type(value).__module__).partition(".")[0]
        if (package in made_in and not self._own.owns(thing)) or held == package == "ipykernel":
            self._guards.refuse(thing, name, "it is machinery of the library")
        return value

    def _without_type(self, value: Any) -> Any:
        if type(value) is tuple:
            return tuple(self._guards.metatype if v is type else v for v in value)
        return self._guards.vet(value, "__origin__")

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
            self._guards.refuse(thing, name, "string.Formatter evaluates templates in trusted code")
        return self._guards.vet(getattr(thing, name, *default), name)

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
            target = arguments[0] if unbound else bound_of(thing)
            attribute, *rest = arguments[1:] if unbound else arguments
            attribute = plain_text(attribute)
            self._guards.store(target, attribute)
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
                target = bound_of(thing)
                how, call = real, ()
            attribute = plain_text(attribute)
            if access(attribute) is Access.PLAIN or (
                access(attribute) is Access.PRIVATE and self._own.owns(target)
            ):
                return self._guards.vet(how(*call, attribute), attribute)
            return self._guards.getattr(target, attribute)

        return getter

    def _dict(self, thing: Any, cls: type, is_class: bool) -> Any:
        if issubclass(cls, types.ModuleType):
            self._guards.refuse(thing, "__dict__", "modules are closed")
        if self._own.owns(thing):
            if is_class:
                return thing.__dict__
            if issubclass(cls, types.FunctionType):
                return thing.__dict__
            return InstanceDict(thing, self._guards)
        if is_class or issubclass(cls, FUNCTIONS):
            self._guards.refuse(thing, "__dict__", "the namespace of what the cell did not make")
        found = thing.__dict__
        return types.MappingProxyType(
            {k: v for k, v in found.items() if type(k) is str and access(k) is Access.PLAIN}
        )

    def _new(self, thing: Any, is_class: bool, *default: Any) -> Any:
        found = getattr(thing, "__new__", *default)
        if found is type.__new__ or getattr(found, "__self__", None) is type:
            return self._guards.new_class
        if is_class and not self._own.owns(thing):
            closed = (types.FunctionType, types.CodeType, types.CellType, types.ModuleType)
            if issubclass(thing, closed):
                self._guards.refuse(thing, "__new__", "it makes machinery")
        return found
