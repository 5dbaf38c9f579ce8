"""Source or tree to code object, through the dialect; anything that goes wrong refuses.

The steps: parse (CPython's own parser), transform, compile (CPython's own compiler), swap the
guards in for their nonces. Any exception but CPython's own SyntaxError family becomes a
`RefusedSyntax`: a fault of the transformer must never let a cell through unread.
"""

from __future__ import annotations

import ast
import secrets
import sys
import threading
import types
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from .ownership import Seen
from .refusal import Refusal, RefusedSyntax
from .transformer import CellTransformer

__all__ = ["check", "compile_source", "compile_tree", "parse"]

_DEEP = 60_000
"""Recursion limit while a tree is walked: pure Python calls, which use no C stack."""

_DEEP_IN_C = 4_000
"""Recursion limit while CPython turns a tree into code: C calls, of which the stack holds more."""

_QUOTED = 300  # characters of a source line that a refusal quotes

_recursion = threading.Lock()

Tree = ast.Module | ast.Expression | ast.Interactive


def parse(source: str | bytes, filename: str, mode: str, flags: int = 0) -> Tree:
    """CPython's parse of ``source``.

    Raises:
        SyntaxError: the source is no Python (also for null bytes, surrogates, wrong coding
            lines, nesting too deep for the parser).
    """
    try:
        tree = compile(source, filename, mode, flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    except SyntaxError as error:
        if error.lineno is None:
            error.filename, error.lineno, error.offset = filename, _line_of(source, error), 1
        raise
    except (ValueError, UnicodeError, RecursionError, MemoryError, OverflowError) as error:
        text = str(error) or "the source is nested too deeply"
        raise SyntaxError(text, (filename, _line_of(source, error), 1, None)) from None
    assert isinstance(tree, Tree)
    return tree


def _line_of(source: str | bytes, error: Exception) -> int:
    """The line of the character that the parser could not take."""
    if isinstance(source, bytes):
        source = source.decode("utf-8", "replace")
    if isinstance(error, UnicodeError) and isinstance(getattr(error, "start", None), int):
        return source.count("\n", 0, error.start) + 1  # type: ignore[attr-defined]
    if "null" in str(error):
        return source.count("\n", 0, max(source.find("\0"), 0)) + 1
    return 1


class _DeepRecursion:
    """Raise the recursion limit for a walk, one thread at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def __enter__(self) -> None:
        _recursion.acquire()
        self._before = sys.getrecursionlimit()
        sys.setrecursionlimit(max(self._before, self._limit))

    def __exit__(self, *_: object) -> None:
        sys.setrecursionlimit(self._before)
        _recursion.release()


def _transform(
    tree: Tree, filename: str, source: str | None, imported: Iterable[str], package: bool
) -> tuple[Tree, str, bool]:
    nonce = "\0" + secrets.token_hex(12) + ":"
    transformer = CellTransformer(nonce, imported, package=package)
    try:
        with _DeepRecursion(_DEEP):
            out = transformer.visit(tree)
            if not transformer.refusals:
                ast.fix_missing_locations(out)
    except RecursionError:
        transformer.refuse(tree, "this cell", "it is nested too deeply", "split it")
    except Exception as error:
        why = f"the dialect could not read it ({type(error).__name__}: {error})"
        transformer.refuse(tree, "this cell", why)
    if transformer.refusals:
        raise _refused(transformer.refusals, filename, source)
    return out, nonce, not transformer.guards


def _refused(refusals: list[Refusal], filename: str, source: str | None) -> RefusedSyntax:
    first = refusals[0]
    text = None
    if source is not None:
        lines = source.splitlines()
        if 0 < first.line <= len(lines):
            text = lines[first.line - 1][:_QUOTED]
    message = "\n".join(dict.fromkeys(str(r) for r in refusals[:20]))
    place = (filename, first.line, first.column + 1, text)
    return RefusedSyntax(message, place, refusals=tuple(refusals))


def check(source: str, filename: str, tree: Tree, imported: Iterable[str] = ()) -> None:
    """Refuse the whole of ``tree`` before any statement of it runs. ``tree`` is used up.

    Raises:
        RefusedSyntax: something in it is refused.
    """
    _transform(tree, filename, source, imported, False)


def compile_tree(
    tree: Tree,
    filename: str,
    mode: str,
    guards: Mapping[str, Any],
    flags: int = 0,
    *,
    source: str | None = None,
    imported: Iterable[str] = (),
    package: bool = False,
) -> types.CodeType:
    """Compile ``tree`` in the dialect; ``guards`` are what the nonces stand for.

    Raises:
        RefusedSyntax: something is refused.
        SyntaxError: CPython's compiler refuses it (``return`` outside a function ...).
    """
    tree, nonce, unchanged = _transform(tree, filename, source, imported, package)
    try:
        with _DeepRecursion(_DEEP_IN_C), warnings.catch_warnings():
            # a guard stands in the tree as a string that is called
            warnings.filterwarnings(
                "ignore", r"'str' object is not callable", category=SyntaxWarning
            )
            code = compile(tree, filename, mode, flags, dont_inherit=True)
    except SyntaxError:
        raise
    except (RecursionError, MemoryError, ValueError, TypeError, OverflowError) as error:
        if unchanged and source is not None and isinstance(error, RecursionError):
            # CPython nests deeper from text than from a tree; the two are the same here
            code = compile(source, filename, mode, flags, dont_inherit=True)
            assert isinstance(code, types.CodeType)
            return code
        why = f"CPython's compiler says: {error}"
        refusal = Refusal("this cell", why, "", 1, 0)
        raise _refused([refusal], filename, source) from None
    return _swap(code, nonce, guards, {})


def compile_source(
    source: str | bytes,
    filename: str,
    mode: str,
    guards: Mapping[str, Any],
    flags: int = 0,
    *,
    imported: Iterable[str] = (),
    package: bool = False,
) -> types.CodeType:
    """Parse and compile ``source`` in the dialect; raises as `parse` and `compile_tree`."""
    tree = parse(source, filename, mode, flags)
    text = source if isinstance(source, str) else None
    return compile_tree(
        tree, filename, mode, guards, flags, source=text, imported=imported, package=package
    )


def _swap(
    code: types.CodeType, nonce: str, guards: Mapping[str, Any], memories: dict[str, Seen]
) -> types.CodeType:
    """Put the guards in the place of their nonces, in ``code`` and in all code below it."""
    constants: list[object] = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            constants.append(_swap(constant, nonce, guards, memories))
        elif type(constant) is str and constant.startswith(nonce):
            name = constant[len(nonce) :]
            if name.startswith("seen:"):
                constants.append(memories.setdefault(name, Seen()))
            else:
                constants.append(guards[name])
        else:
            constants.append(constant)
    return code.replace(co_consts=tuple(constants))
