"""Views of the cell's objects: private attributes one by one, and the dictionary of an instance."""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .attributes import AttributeGuards

__all__ = ["GuardedView", "InstanceDict", "plain_text"]


def plain_text(name: object) -> str:
    """An exact copy of a name: a subclass of `str` may answer differently each time it is asked.

    Raises:
        TypeError: it is no string.
    """
    if type(name) is str:
        return name
    if not issubclass(type(name), str):
        raise TypeError("attribute name must be string")
    return "".join(list(str.__iter__(name)))  # type: ignore[arg-type]


class GuardedView:
    """Stands for an object whose private attributes are asked for one by one."""

    __slots__ = ("_guards", "_thing")

    def __init__(self, thing: Any, guards: AttributeGuards) -> None:
        object.__setattr__(self, "_thing", thing)
        object.__setattr__(self, "_guards", guards)

    def __getattribute__(self, name: str) -> Any:
        thing = object.__getattribute__(self, "_thing")
        return object.__getattribute__(self, "_guards").load(thing, name)

    def __setattr__(self, name: str, value: Any) -> None:
        thing = object.__getattribute__(self, "_thing")
        setattr(object.__getattribute__(self, "_guards").store(thing, name), name, value)

    def __delattr__(self, name: str) -> None:
        thing = object.__getattribute__(self, "_thing")
        delattr(object.__getattribute__(self, "_guards").store(thing, name), name)


class InstanceDict(MutableMapping[str, Any]):
    """``vars(x)`` of the cell's own object: the live dictionary, with the store rules."""

    __slots__ = ("_guards", "_thing")

    _thing: Any
    _guards: AttributeGuards

    def __init__(self, thing: Any, guards: AttributeGuards) -> None:
        object.__setattr__(self, "_thing", thing)
        object.__setattr__(self, "_guards", guards)

    def __getitem__(self, key: str) -> Any:
        return self._thing.__dict__[key]

    def __setitem__(self, key: str, value: Any) -> None:
        name = plain_text(key)
        self._guards.store(self._thing, name)
        self._thing.__dict__[name] = value

    def __delitem__(self, key: str) -> None:
        del self._thing.__dict__[key]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._thing.__dict__))

    def __len__(self) -> int:
        return len(self._thing.__dict__)

    def __repr__(self) -> str:
        return repr(self._thing.__dict__)

    def __eq__(self, other: object) -> bool:
        return dict(self) == (dict(other) if isinstance(other, InstanceDict) else other)

    __hash__ = None  # type: ignore[assignment]

    def __or__(self, other: Any) -> dict[str, Any]:
        return dict(self) | dict(other)

    def __ror__(self, other: Any) -> dict[str, Any]:
        return dict(other) | dict(self)

    def copy(self) -> dict[str, Any]:
        """A plain dictionary of the attributes."""
        return dict(self)
