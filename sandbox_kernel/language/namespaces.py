"""Views of namespaces that a cell may hold: globals without the interpreter's own entries."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator, MutableMapping
from typing import Any

from .names import OWN_PREFIXES, RESERVED
from .ownership import Ownership
from .refusal import RefusedValue

__all__ = ["GlobalsView", "calling_frame", "cell_globals", "hidden", "visible"]

_GUARDS = __name__.rpartition(".")[0] + "."
_HIDDEN = RESERVED | {".0"}


def hidden(name: object) -> bool:
    """True for the entries of a namespace that no cell sees."""
    return type(name) is str and (name in _HIDDEN or name.startswith(OWN_PREFIXES))


def visible(namespace: dict[str, Any]) -> dict[str, Any]:
    """A copy of ``namespace`` without the interpreter's own entries."""
    return {k: v for k, v in namespace.items() if not hidden(k)}


def calling_frame(ownership: Ownership) -> types.FrameType:
    """The frame of the cell that called a guard directly.

    Raises:
        RuntimeError: the guard was called by trusted code, whose variables are not the cell's.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None and str(frame.f_globals.get("__name__")).startswith(_GUARDS):
        frame = frame.f_back
    if frame is None or not ownership.owns_globals(frame.f_globals):
        raise RuntimeError("a namespace can be asked for by a cell only, not through a library")
    return frame


def cell_globals(ownership: Ownership) -> dict[str, Any]:
    """The globals of the nearest cell that is running, through whatever it called.

    Raises:
        RefusedValue: no cell is running.
    """
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if ownership.owns_globals(frame.f_globals):
            return frame.f_globals
        frame = frame.f_back
    raise RefusedValue("no cell is running")


class GlobalsView(MutableMapping[str, Any]):
    """``globals()`` of a cell: live, and without the interpreter's own entries."""

    __slots__ = ("__sandbox_space",)

    def __init__(self, space: dict[str, Any]) -> None:
        self.__sandbox_space = space

    def __getitem__(self, key: str) -> Any:
        if hidden(key):
            raise KeyError(key)
        return self.__sandbox_space[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if type(key) is not str or hidden(key):
            raise KeyError(f"{key!r} is reserved for the interpreter")
        self.__sandbox_space[key] = value

    def __delitem__(self, key: str) -> None:
        if hidden(key):
            raise KeyError(key)
        del self.__sandbox_space[key]

    def __iter__(self) -> Iterator[str]:
        return iter([k for k in list(self.__sandbox_space) if not hidden(k)])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return repr(visible(self.__sandbox_space))

    def copy(self) -> dict[str, Any]:
        """A plain dictionary of the names."""
        return visible(self.__sandbox_space)

    def __or__(self, other: Any) -> dict[str, Any]:
        return self.copy() | dict(other)


def space_of(view: GlobalsView) -> dict[str, Any]:
    """The namespace behind a view (for `exec`; never handed to a cell)."""
    return view._GlobalsView__sandbox_space  # type: ignore[attr-defined,no-any-return]
