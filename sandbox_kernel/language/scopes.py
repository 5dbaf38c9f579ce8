"""Scopes of a cell as the transformer walks it: which names are bound where.

Only one question is asked of them: does this name, at this place, surely hold the object that a
test on entry (or just before) looked at? The answer is conservative: any second binding, in
whatever scope, says no.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["ClassScope", "FunctionScope", "function_scope"]

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass
class FunctionScope:
    """A function, lambda or comprehension.

    ``own`` is the first parameter of a method, when nothing binds it anew; ``tested`` are the
    accesses that go through the view of it, each with whether it stands straight in the method
    (not in a loop or in a function within). ``seen`` names the memory of that test.
    """

    own: str | None = None
    bound: frozenset[str] = frozenset()
    stable: frozenset[str] = frozenset()
    tested: list[tuple[ast.Attribute, bool]] = field(default_factory=list)
    seen: str = ""
    loops: int = 0


@dataclass
class ClassScope:
    """A class body."""

    name: str


def _bindings(root: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Every name that something below ``root`` binds, in whatever scope."""
    for node in ast.walk(root):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                yield name, node
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                for name in names:
                    yield name, node
            case ast.ExceptHandler(name=str(name)):
                yield name, node
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield name, node
            case ast.MatchMapping(rest=str(name)):
                yield name, node
            case ast.alias(name=name, asname=asname):
                yield (asname or name).partition(".")[0], node
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                if node is not root:
                    yield node.name, node
            case ast.arg(arg=name):
                yield name, node
            case _ if type(node).__name__ in ("TypeVar", "ParamSpec", "TypeVarTuple"):
                yield str(getattr(node, "name", "")), node


def _parameters(arguments: ast.arguments) -> list[ast.arg]:
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return listed + [a for a in (arguments.vararg, arguments.kwarg) if a is not None]


def function_scope(node: ast.AST, within: ClassScope | None) -> FunctionScope:
    """Read the scope of a function, lambda or comprehension that stands in ``within``."""
    if isinstance(node, _COMPREHENSIONS):
        return FunctionScope(bound=frozenset(name for name, _ in _bindings(node)))
    assert isinstance(node, _FUNCTIONS)
    parameters = _parameters(node.args)
    counts: dict[str, int] = {}
    for name, _ in _bindings(node):
        counts[name] = counts.get(name, 0) + 1
    own = None
    if within is not None and not isinstance(node, ast.Lambda):
        first = [*node.args.posonlyargs, *node.args.args][:1]
        static = any(
            isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list
        )
        if first and not static and counts[first[0].arg] == 1:
            own = first[0].arg
    shared: set[str] = set()
    inner: set[str] = set()
    for below in ast.walk(node):
        if isinstance(below, ast.Global | ast.Nonlocal):
            shared.update(below.names)
        if below is not node and isinstance(below, _FUNCTIONS + _COMPREHENSIONS + (ast.ClassDef,)):
            inner.update(name for name, _ in _bindings(below))
    mine = {name for name, _ in _bindings(node)} | {p.arg for p in parameters}
    return FunctionScope(
        own=own,
        bound=frozenset(mine - ({own} if own else set())),
        stable=frozenset(mine - shared - inner),
    )
