"""Making classes: the guards behind ``class``, ``type(name, bases, namespace)`` and metaclasses.

A class statement was read by the compiler; what a metaclass, a decorator or a call of `type`
puts into a class was not, so the namespace is checked here, and the finished class again.
"""

from __future__ import annotations

import builtins
import functools
import string
import types
from collections.abc import Callable, Mapping
from typing import Any

from .attributes import AttributeGuards, plain_text
from .names import DEFINABLE, is_special
from .ownership import Ownership
from .refusal import RefusedValue

__all__ = ["ClassGuards"]

_MADE_BY_PYTHON = frozenset(
    """__dict__ __weakref__ __classcell__ __classdictcell__ __classdict__ __firstlineno__
    __static_attributes__ __annotate_func__ __annotations_cache__ __annotations__ __module__
    __qualname__ __doc__ __orig_bases__ __parameters__ __subclasshook__ __protocol_attrs__
    __non_callable_proto_members__ __callable_proto_members_only__ __dataclass_params__
    __dataclass_fields__ __abstractmethods__ __hash__ __conditional_annotations__ __new__
    __annotate__ __mutable_keys__ __readonly_keys__ __closed__ __extra_items__
    __unpacked_fields__ __member_map__ __attrs_attrs__ __attrs_own_setattr__
    __attrs_props__ __init_subclass__ __class_vars__ __private_attributes__ __signature__""".split()
)
_OF_PYDANTIC = "__pydantic_"  # what its metaclass notes in the classes that it makes
_MAY_NOT_BE_BASES = (types.ModuleType, string.Formatter)
_HOOKS = frozenset({"__getattr__", "__getattribute__"})


class ClassGuards:
    """The class guards of one session."""

    def __init__(self, ownership: Ownership, attributes: AttributeGuards) -> None:
        self._own = ownership
        self._attributes = attributes
        self.module_names: set[str] = set()
        """Names of modules made from granted files: their classes may carry them."""
        self.metatype = self._make_metatype()
        attributes.metatype = self.metatype
        attributes.new_class = self.type_new

    # class statements ----------------------------------------------------------------------

    def build_class(self, body: Any, name: str, *bases: Any, **keywords: Any) -> Any:
        """``__build_class__`` of a cell."""
        if keywords.get("metaclass") is self.metatype:
            keywords["metaclass"] = type
        made = builtins.__build_class__(body, name, *self._real_bases(bases), **keywords)
        if issubclass(type(made), type):
            self._finish(made)
        return made

    def _real_bases(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        for base in bases:
            if type(base) is type and issubclass(base, _MAY_NOT_BE_BASES):
                raise RefusedValue(f"a class derived from {base.__name__} is refused")
        return tuple(type if base is self.metatype else base for base in bases)

    def _finish(self, made: type) -> None:
        """Check a class that the cell made, and note it as the cell's own."""
        namespace = type.__dict__["__dict__"].__get__(made)
        self._check_names(namespace)
        self._own.adopt(made)
        if "__match_args__" in namespace:
            type.__setattr__(
                made, "__match_args__", self._attributes.match_args(namespace["__match_args__"])
            )
        if issubclass(made, type):
            if "__match_args__" in namespace:
                raise RefusedValue("__match_args__ of a metaclass is refused")
            if "__new__" not in namespace:

                def __new__(
                    meta: Any, name: Any, bases: Any, names: Any, /, **keywords: Any
                ) -> Any:
                    return self.type_new(meta, name, bases, names, **keywords)

                type.__setattr__(made, "__new__", staticmethod(__new__))

    @staticmethod
    def _check_names(namespace: Mapping[Any, Any]) -> None:
        for key in list(namespace):
            if not issubclass(type(key), str):
                continue
            name = plain_text(key)
            known = name in DEFINABLE or name in _MADE_BY_PYTHON or name.startswith(_OF_PYDANTIC)
            if is_special(name) and not known:
                raise RefusedValue(
                    f"a class that defines {name!r} is refused: this special name opens memory "
                    "or the interpreter (docs/dialect.md)"
                )

    # dynamic classes -----------------------------------------------------------------------

    def clean_namespace(self, namespace: Mapping[Any, Any]) -> dict[str, Any]:
        """A checked copy of the namespace of a class to be made.

        Raises:
            RefusedValue: it defines a special name that a class statement may not define.
        """
        copied = {plain_text(k): v for k, v in dict(namespace).items()}
        self._check_names(copied)
        if "__match_args__" in copied:
            copied["__match_args__"] = self._attributes.match_args(copied["__match_args__"])
        for hook in _HOOKS & copied.keys():
            copied[hook] = self._attributes.attribute_hook(copied[hook])
        made_in = copied.get("__module__")
        if made_in is not None and not (type(made_in) is str and made_in in self.module_names):
            copied["__module__"] = "__main__"
        return copied

    def type_new(
        self, meta: Any, name: Any, bases: Any, namespace: Any, /, **keywords: Any
    ) -> type:
        """``type.__new__`` for the metaclasses of a cell."""
        if meta is self.metatype:
            meta = type
        made: type = type.__new__(
            meta,
            plain_text(name),
            self._real_bases(tuple(bases)),
            self.clean_namespace(namespace),
            **keywords,
        )
        self._own.adopt(made)
        return made

    def dynamic(self, name: Any, bases: Any, namespace: Any, /, **keywords: Any) -> type:
        """``type(name, bases, namespace)`` of a cell."""
        real = self._real_bases(tuple(bases))
        names = self.clean_namespace(namespace)
        names.setdefault("__module__", "__main__")
        made: type = type(plain_text(name), real, names, **keywords)
        self._finish(made)
        return made

    def adopt_result(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """Wrap a trusted factory (`namedtuple` ...) so that the class it makes is the cell's."""

        @functools.wraps(make)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            made = make(*arguments, **keywords)
            if issubclass(type(made), type):
                self._finish(made)
            return made

        return self._own.lend(wrapper)

    # `type` itself -------------------------------------------------------------------------

    def _make_metatype(self) -> Any:
        guards = self

        class Metatype(type):
            """Type of the `type` that cells see."""

            def __instancecheck__(cls, thing: Any) -> bool:
                return isinstance(thing, type)

            def __subclasscheck__(cls, sub: Any) -> bool:
                return issubclass(sub, type)

            def __call__(cls, *arguments: Any, **keywords: Any) -> Any:
                if len(arguments) == 1 and not keywords:
                    found = type(arguments[0])
                    return cls if found is type or found is Metatype else found
                if len(arguments) != 3:
                    raise TypeError("type() takes 1 or 3 arguments")
                return guards.dynamic(*arguments, **keywords)

            def __repr__(cls) -> str:
                return "<class 'type'>"

        def call(cls: Any, *arguments: Any, **keywords: Any) -> Any:
            if cls is metatype:
                return metatype(*arguments, **keywords)
            return type.__call__(cls, *arguments, **keywords)

        def initialise(cls: Any, *arguments: Any, **keywords: Any) -> None:
            type.__init__(cls, *arguments, **keywords)

        metatype = Metatype(
            "type",
            (),
            {
                "__module__": "builtins",
                "__qualname__": "type",
                "__doc__": type.__doc__,
                "__call__": staticmethod(call),
                "__init__": staticmethod(initialise),
                "__class_getitem__": classmethod(types.GenericAlias),
                "__slots__": (),
            },
        )
        self._own.lend(metatype)
        return metatype
