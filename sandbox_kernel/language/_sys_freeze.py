"""Set and clear a type's immutability, by the type flag that CPython checks in `setattr`.

``Py_TPFLAGS_IMMUTABLETYPE`` (``Include/object.h``, bit 8): assignments to attributes, to
``__bases__`` and to the ``__class__`` of instances then raise TypeError. CPython 3.14 has
``PyType_Freeze`` for the same; it cannot be undone and refuses a class with a mutable base, so
the flag is used there as well. The place of ``tp_flags`` is found by comparing memory with
``type.__flags__``; where that is not unambiguous, nothing is written.
"""

from __future__ import annotations

import ctypes

__all__ = ["IMMUTABLE", "FlagsNotFound", "clear_immutable", "set_immutable"]

IMMUTABLE = 1 << 8


class FlagsNotFound(RuntimeError):
    """The place of the flags in a type object could not be found."""


def _flags_offset() -> int:
    probes: tuple[type, ...] = (int, dict, type, BaseException, FlagsNotFound, float)
    word = ctypes.sizeof(ctypes.c_ulong)
    found = [
        word * index
        for index in range(8, 64)
        if all(
            ctypes.c_ulong.from_address(id(t) + word * index).value == t.__flags__ for t in probes
        )
    ]
    if len(found) != 1:
        raise FlagsNotFound("tp_flags")
    return found[0]


_OFFSET = _flags_offset()


def _flags(cls: type) -> ctypes.c_ulong:
    return ctypes.c_ulong.from_address(id(cls) + _OFFSET)


def set_immutable(cls: type) -> None:
    """Make ``cls`` immutable."""
    _flags(cls).value |= IMMUTABLE


def clear_immutable(cls: type) -> None:
    """Make ``cls`` mutable again (a heap type only)."""
    _flags(cls).value &= ~IMMUTABLE
