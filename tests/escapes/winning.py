"""What counts as a win inside the process: the rules of FORMAT.md's second part."""

from __future__ import annotations

import builtins
import json
import os
import types
from collections.abc import Callable, Iterable
from typing import Any

from tests.escapes import grader

try:
    import numpy
    import pandas
except ImportError:  # without the libraries their integrity is not asked for
    numpy = pandas = None  # type: ignore[assignment]

__all__ = ["STRINGS", "Referee"]

STRINGS = frozenset(
    {
        "integrity",
        "oob",
        "rawmem",
        "secret",
        "pickle",
        "np.load reachable",
        "read_pickle reachable",
    }
)
_POWERS = [
    getattr(builtins, name)
    for name in ("eval", "exec", "open", "__import__", "compile", "__build_class__")
] + [os.system]
_KEYS = ("SECRET", "__builtins__", "__loader__", "__build_class__", "eval")
_LOADERS = (
    "SourceFileLoader",
    "BuiltinImporter",
    "FrozenImporter",
    "ExtensionFileLoader",
    "_ctypes",
    "PyDLL",
    "CDLL",
)


class Referee:
    """Judges what an attack got hold of.

    ``handed`` tells whether a module object is one that the cell was handed, ``owned`` whether a
    callable is the cell's own, ``guards`` are the guard functions of the layer under test.
    """

    def __init__(
        self,
        code: str,
        handed: Callable[[types.ModuleType], bool],
        owned: Callable[[Any], bool],
        guards: Iterable[Any] = (),
    ) -> None:
        self.won: list[str] = []
        self._code = code
        self._handed = handed
        self._owned = owned
        self._guards = list(guards)
        self._before = self._state()

    def win(self, found: Any) -> None:
        """Called by the attack with what it got."""
        reason = self._judge(found)
        if reason is not None:
            self.won.append(reason)

    def integrity(self) -> None:
        """Called by the attack, and once more after it."""
        now = self._state()
        for name, value in self._before.items():
            if now[name] is not value and now[name] != value:
                self.won.append(f"integrity: {name}")
        try:
            if grader.checkobj.grade() != 1:
                self.won.append("integrity: grade()")
        except Exception as error:
            self.won.append(f"integrity: grade() raises {type(error).__name__}")

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "json.dumps": vars(json).get("dumps"),
            "Checker": tuple(sorted(vars(grader.Checker))),
            "Checker.grade": vars(grader.Checker).get("grade"),
            "type of checkobj": type(grader.checkobj),
            "attributes of checkobj": tuple(vars(grader.checkobj)),
            "check.__code__": grader.check.__code__,
            "check.__defaults__": grader.check.__defaults__,
        }
        if pandas is not None:
            state["pandas.DataFrame.sum"] = vars(pandas.DataFrame)["sum"]
        if numpy is not None:
            state["numpy.mean"] = numpy.mean
        return state

    def _judge(self, found: Any) -> str | None:
        kind = type(found)
        if issubclass(kind, types.ModuleType):
            return None if self._handed(found) else f"module {found.__name__}"
        if issubclass(kind, types.FrameType | types.CodeType):
            return kind.__name__
        if issubclass(kind, dict) and any(key in found for key in _KEYS):
            return "namespace"
        if any(found is power for power in _POWERS):
            return f"power {getattr(found, '__name__', found)!r}"
        if kind is list and len(found) > 100 and any(isinstance(x, type) for x in found):
            return "list of classes"
        if any(found is guard for guard in self._guards):
            return "guard"
        if kind.__name__ in _LOADERS or getattr(found, "__name__", "") in _LOADERS:
            return "loader"
        if kind is tuple and any(self._foreign_callable(x) for x in found):
            return "tuple with a callable of the trusted side"
        if found == 42 and kind is int and "check2" in self._code:
            return "closure"
        return found if kind is str and found in STRINGS else None

    def _foreign_callable(self, thing: Any) -> bool:
        return callable(thing) and not isinstance(thing, type) and not self._owned(thing)
