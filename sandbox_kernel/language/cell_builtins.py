"""The builtins of a cell: Python's own, with the cell's versions of those that reach further."""

from __future__ import annotations

import builtins
import functools
import sys
from collections.abc import Callable
from typing import Any

from .attributes import AttributeGuards
from .classes import ClassGuards
from .evaluate import Evaluation
from .namespaces import GlobalsView, calling_frame, visible
from .ownership import Ownership
from .refusal import RefusedValue

__all__ = ["make_builtins", "power_table"]

_LEFT_OUT = frozenset({"breakpoint", "quit", "exit", "help"})


def make_builtins(
    into: dict[str, Any],
    ownership: Ownership,
    attributes: AttributeGuards,
    classes: ClassGuards,
    evaluation: Evaluation,
    dunder_import: Callable[..., Any],
) -> None:
    """Fill ``into``, the dictionary that dialect code has as ``__builtins__``."""
    for name, value in vars(builtins).items():
        if not name.startswith("_") and name not in _LEFT_OUT:
            into[name] = value

    def vars_(*thing: Any) -> Any:
        """vars([object]) -> the attributes of an object, or the calling scope's names."""
        if not thing:
            return _names_of(ownership)
        return attributes.load(thing[0], "__dict__")

    def globals_() -> GlobalsView:
        """globals() -> the global names of the cell."""
        return GlobalsView(calling_frame(ownership).f_globals)

    def locals_() -> Any:
        """locals() -> the names of the calling scope (a copy inside functions and classes)."""
        return _names_of(ownership)

    def dir_(*thing: Any) -> list[str]:
        """dir([object]) -> names of an object, or of the calling scope."""
        return dir(*thing) if thing else sorted(_names_of(ownership))

    @functools.wraps(builtins.open)
    def open_(*arguments: Any, **keywords: Any) -> Any:
        return builtins.open(*arguments, **keywords)

    @functools.wraps(builtins.input)
    def input_(*arguments: Any) -> str:
        return builtins.input(*arguments)

    def breakpoint_(*_: Any, **__: Any) -> None:
        """breakpoint() is refused: a debugger sees the frames of trusted code."""
        raise RefusedValue("breakpoint() is refused: a debugger sees the frames of trusted code")

    def import_(
        name: Any, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> Any:
        """Import a module."""
        return dunder_import(name, globals, locals, fromlist, level)

    def getattr_(thing: Any, name: Any, /, *default: Any) -> Any:
        """getattr(object, name[, default]) -> value"""
        return attributes.getattr(thing, name, *default)

    def hasattr_(thing: Any, name: Any, /) -> bool:
        """hasattr(object, name) -> whether the object has that attribute"""
        return attributes.hasattr(thing, name)

    def setattr_(thing: Any, name: Any, value: Any, /) -> None:
        """setattr(object, name, value)"""
        attributes.setattr(thing, name, value)

    def delattr_(thing: Any, name: Any, /) -> None:
        """delattr(object, name)"""
        attributes.delattr(thing, name)

    def eval_(source: Any, globals: Any = None, locals: Any = None, /) -> Any:
        """Evaluate an expression in the dialect."""
        return evaluation.eval(source, globals, locals)

    def exec_(
        source: Any, globals: Any = None, locals: Any = None, /, *, closure: Any = None
    ) -> None:
        """Run statements in the dialect."""
        evaluation.exec(source, globals, locals, closure=closure)

    def compile_(source: Any, filename: Any, mode: str, *others: Any, **named: Any) -> Any:
        """Compile text in the dialect; what comes back can be given to eval and exec."""
        return evaluation.compile(source, filename, mode, *others, **named)

    def build_class(body: Any, name: str, *bases: Any, **keywords: Any) -> Any:
        """Make the class of a class statement."""
        return classes.build_class(body, name, *bases, **keywords)

    def help_(*thing: Any) -> None:
        """help(object) prints the documentation of an object."""
        _help(*thing)

    own: dict[str, Callable[..., Any]] = {
        "vars": vars_,
        "globals": globals_,
        "locals": locals_,
        "dir": dir_,
        "open": open_,
        "input": input_,
        "breakpoint": breakpoint_,
        "__import__": import_,
        "getattr": getattr_,
        "hasattr": hasattr_,
        "setattr": setattr_,
        "delattr": delattr_,
        "eval": eval_,
        "exec": exec_,
        "compile": compile_,
        "__build_class__": build_class,
        "help": help_,
    }
    for name, function in own.items():
        function.__name__ = function.__qualname__ = name
        function.__module__ = "builtins"
        function.__dict__.pop("__wrapped__", None)
        into[name] = ownership.lend(function)
    into["type"] = classes.metatype
    into["__name__"] = "builtins"
    into["__debug__"] = __debug__
    into["__doc__"] = builtins.__doc__


def interpreter_builtins(cells: dict[str, Any]) -> dict[str, Any]:
    """The builtins that a cell's frames carry: as its own, but with the real ``__import__``.

    C code of the libraries imports through the builtins of the calling frame; a cell itself
    cannot name this dictionary.
    """
    return {**cells, "__import__": builtins.__import__}


def power_table(cells: dict[str, Any]) -> dict[int, Any]:
    """Id of a builtin that reaches further than a cell may, to what the cell has for it."""
    names = (
        "eval exec compile open input getattr setattr delattr hasattr vars globals locals dir "
        "type breakpoint __import__ __build_class__"
    ).split()
    return {id(getattr(builtins, name)): cells[name] for name in names if name in cells}


def _names_of(ownership: Ownership) -> Any:
    frame = calling_frame(ownership)
    if frame.f_locals is frame.f_globals:
        return GlobalsView(frame.f_globals)
    return visible(dict(frame.f_locals))


def _help(*thing: Any) -> None:
    import pydoc

    if not thing:
        print("help(object) prints the documentation of an object.")
        return
    if isinstance(thing[0], str):
        print("help() takes the object itself here, not its name.")
        return
    print(pydoc.plain(pydoc.render_doc(thing[0], "Help on %s")), file=sys.stdout)
