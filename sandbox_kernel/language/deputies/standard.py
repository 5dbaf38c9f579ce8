"""The standard library's deputies that read, write and make by name.

Each function below is called once, when its module is first there, and gives the names that the
module's facade has instead of the real ones.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..attributes import plain_text
from ..names import Access, access
from ..refusal import RefusedValue

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["REPLACEMENTS"]

_Names = dict[str, Any]

_SIGNATURE = ("__annotations__", "__annotate__", "__type_params__")


def _functools(session: Session, module: Any) -> _Names:
    load, store = session.attributes.getattr, session.attributes.setattr

    def update_wrapper(
        wrapper: Any,
        wrapped: Any,
        assigned: Any = functools.WRAPPER_ASSIGNMENTS,
        updated: Any = functools.WRAPPER_UPDATES,
    ) -> Any:
        """Make a wrapper look like the function that it wraps."""
        for name in tuple(assigned):
            name = plain_text(name)
            if name in _SIGNATURE and not session.ownership.owns(wrapped):
                continue
            try:
                value = load(wrapped, name)
            except AttributeError:
                continue
            if name in functools.WRAPPER_ASSIGNMENTS and _is_function(wrapper):
                setattr(wrapper, name, value)
            else:
                store(wrapper, name, value)
        for name in tuple(updated):
            if plain_text(name) == "__dict__" and _is_function(wrapper) and _is_function(wrapped):
                wrapper.__dict__.update(wrapped.__dict__)
        store(wrapper, "__wrapped__", wrapped)
        return wrapper

    def _is_function(thing: Any) -> bool:
        return type(thing) is types.FunctionType and session.ownership.owns(thing)

    def wraps(
        wrapped: Any,
        assigned: Any = functools.WRAPPER_ASSIGNMENTS,
        updated: Any = functools.WRAPPER_UPDATES,
    ) -> Any:
        """Decorator that makes a wrapper look like ``wrapped``."""
        return functools.partial(
            update_wrapper, wrapped=wrapped, assigned=assigned, updated=updated
        )

    def total_ordering(cls: Any) -> Any:
        """Fill in the missing ordering methods of a class of the cell's own."""
        session.attributes.store(cls, "__lt__")
        return functools.total_ordering(cls)

    return {"update_wrapper": update_wrapper, "wraps": wraps, "total_ordering": total_ordering}


def _operator(session: Session, module: Any) -> _Names:
    load = session.attributes.getattr

    class attrgetter:
        """Callable that reads the named attributes of its operand."""

        __slots__ = ("_names",)

        def __init__(self, attr: Any, /, *attrs: Any) -> None:
            self._names = tuple(plain_text(n) for n in (attr, *attrs))

        def __call__(self, thing: Any, /) -> Any:
            found = []
            for dotted in self._names:
                value, chained = thing, False
                for name in dotted.split("."):
                    value = (
                        session.attributes.walk(value, name)
                        if chained and access(name) is Access.GUARDED
                        else load(value, name)
                    )
                    chained = name == "__class__"
                found.append(value)
            return found[0] if len(found) == 1 else tuple(found)

        def __repr__(self) -> str:
            return f"operator.attrgetter({', '.join(map(repr, self._names))})"

    class methodcaller:
        """Callable that calls the named method of its operand."""

        __slots__ = ("_arguments", "_keywords", "_name")

        def __init__(self, name: Any, /, *arguments: Any, **keywords: Any) -> None:
            self._name = plain_text(name)
            self._arguments = arguments
            self._keywords = keywords

        def __call__(self, thing: Any, /) -> Any:
            return load(thing, self._name)(*self._arguments, **self._keywords)

    return {"attrgetter": attrgetter, "methodcaller": methodcaller}


def _typing(session: Session, module: Any) -> _Names:
    def get_origin(annotation: Any) -> Any:
        """The unsubscripted origin of a generic type."""
        found = module.get_origin(annotation)
        return session.classes.metatype if found is type else found

    return {"get_origin": get_origin}


def _inspect(session: Session, module: Any) -> _Names:
    def getmembers(thing: Any, predicate: Any = None) -> list[tuple[str, Any]]:
        """Names and values of an object's members, as far as a cell may read them."""
        found = []
        for name in dir(thing):
            try:
                value = session.attributes.getattr(thing, name)
            except AttributeError:
                continue
            if predicate is None or predicate(value):
                found.append((name, value))
        return sorted(found, key=lambda pair: pair[0])

    return {"getmembers": getmembers}


def _collections(session: Session, module: Any) -> _Names:
    make = session.classes.adopt_result(_namedtuple_of(module))
    return {"namedtuple": make}


def _namedtuple_of(module: Any) -> Callable[..., Any]:
    @functools.wraps(module.namedtuple)
    def namedtuple(
        typename: Any,
        field_names: Any,
        *,
        rename: bool = False,
        defaults: Any = None,
        module: Any = None,
    ) -> Any:
        return real(
            plain_text(typename), field_names, rename=rename, defaults=defaults, module="__main__"
        )

    real = module.namedtuple
    return namedtuple


def _dataclasses(session: Session, module: Any) -> _Names:
    def finish(cls: Any) -> Any:
        if not issubclass(type(cls), type):
            return cls
        session.ownership.adopt(cls)
        names = type.__dict__["__dict__"].__get__(cls).get("__match_args__")
        if type(names) is tuple:
            public: list[str] = []
            for name in names:
                if access(plain_text(name)) is not Access.PLAIN:
                    break
                public.append(name)
            type.__setattr__(cls, "__match_args__", tuple(public))
        return cls

    real = module._get_field

    def _get_field(cls: Any, a_name: Any, *rest: Any) -> Any:
        # the names of fields stand in the text of the methods that dataclasses writes
        if type(a_name) is not str or not a_name.isidentifier():
            raise RefusedValue(f"a field named {plain_text(a_name)!r} is refused: it is no name")
        return real(cls, a_name, *rest)

    module.__dict__["_get_field"] = _get_field

    @functools.wraps(module.dataclass)
    def dataclass(cls: Any = None, /, **options: Any) -> Any:
        def decorate(target: Any) -> Any:
            if not session.ownership.owns(target):
                raise RefusedValue("dataclass() takes a class that the cell made")
            return finish(module.dataclass(target, **options))

        return decorate if cls is None else decorate(cls)

    @functools.wraps(module.make_dataclass)
    def make_dataclass(
        cls_name: Any, fields: Any, *, bases: Any = (), namespace: Any = None, **options: Any
    ) -> Any:
        for field in fields:
            name = field if isinstance(field, str) else field[0]
            if access(plain_text(name)) is Access.GUARDED:
                raise RefusedValue(f"a field named {name!r} is refused")
        clean = session.classes.clean_namespace(namespace or {})
        options.pop("module", None)
        made = module.make_dataclass(
            plain_text(cls_name), fields, bases=tuple(bases), namespace=clean, **options
        )
        return finish(made)

    return {"dataclass": dataclass, "make_dataclass": make_dataclass}


def _types(session: Session, module: Any) -> _Names:
    def new_class(name: Any, bases: Any = (), kwds: Any = None, exec_body: Any = None) -> Any:
        """Make a class; its namespace is checked as that of ``type()``."""
        namespace: dict[str, Any] = {}
        if exec_body is not None:
            exec_body(namespace)
        keywords = dict(kwds or {})
        meta = keywords.pop("metaclass", session.classes.metatype)
        return meta(name, tuple(bases), namespace, **keywords)

    return {"new_class": new_class}


def _copy(session: Session, module: Any) -> _Names:
    real = module._reconstruct

    def _reconstruct(
        x: Any, memo: Any, func: Any, args: Any, state: Any = None, *rest: Any, **named: Any
    ) -> Any:
        if state is None or not session.ownership.owns(func) or isinstance(func, type):
            return real(x, memo, func, args, state, *rest, **named)

        def checked(*arguments: Any) -> Any:
            made = func(*arguments)
            if not session.ownership.owns(made):
                raise RefusedValue("__reduce_ex__ is refused: it would change a foreign object")
            return made

        return real(x, memo, checked, args, state, *rest, **named)

    module.__dict__["_reconstruct"] = _reconstruct
    return {}


REPLACEMENTS: dict[str, Callable[[Session, Any], _Names]] = {
    "functools": _functools,
    "operator": _operator,
    "typing": _typing,
    "inspect": _inspect,
    "collections": _collections,
    "dataclasses": _dataclasses,
    "types": _types,
    "copy": _copy,
}
