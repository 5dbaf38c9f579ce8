"""Walking a cell's tree by the verdict table: each node and field checked, refusals noted.

What a construct becomes is for the classes above this one; here is what they share: the walk, the
refusals, and the building of guard calls. A guard stands in the tree as a constant string that
starts with a nonce; `compiler` swaps it for the guard itself after CPython has compiled the tree,
so that no name of a cell can stand before it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, TypeVar

from RestrictedPython.transformer import RestrictingNodeTransformer

from .names import DEFINABLE, is_special, reserved_reason
from .nodes import NODES, FieldVerdict, Verdict
from .refusal import Refusal
from .scopes import ClassScope, FunctionScope

__all__ = ["TableWalker"]

_Node = TypeVar("_Node", bound=ast.AST)


class TableWalker(RestrictingNodeTransformer):
    """Walk one tree; ``refusals`` then lists what was refused.

    ``guards`` counts the guards put in: with none, the tree is as it was.
    """

    def __init__(self, nonce: str) -> None:
        super().__init__()
        self.refusals: list[Refusal] = []
        self.guards = 0
        self._nonce = nonce
        self._classes: list[ClassScope] = []
        self._scopes: list[FunctionScope | ClassScope] = []

    # refusals ------------------------------------------------------------------------------

    def refuse(self, node: ast.AST, construct: str, why: str, instead: str = "") -> None:
        """Note that ``node`` is refused."""
        line = int(getattr(node, "lineno", 1) or 1)
        column = int(getattr(node, "col_offset", 0) or 0)
        refusal = Refusal(construct, why, instead, line, column)
        self.refusals.append(refusal)
        self.errors.append(str(refusal))

    def _identifier(self, node: ast.AST, name: object, *, binds: bool) -> None:
        if not isinstance(name, str):
            return
        reason = reserved_reason(name, binds=binds)
        if reason is not None:
            self.refuse(node, f"the name {name!r}", reason, "use another name")
        elif (
            binds
            and is_special(name)
            and name not in DEFINABLE
            and self._scopes
            and isinstance(self._scopes[-1], ClassScope)
        ):
            self.refuse(
                node,
                f"defining {name!r} in a class",
                "this special name opens memory or the interpreter",
                "see the list of special methods in docs/dialect.md",
            )

    # walking -------------------------------------------------------------------------------

    def visit(self, node: ast.AST) -> Any:
        """Check ``node`` by its row, then hand it to its method or walk into it."""
        kind = type(node).__name__
        row = NODES.get(kind)
        if row is None or row.verdict is Verdict.REFUSED:
            why = "it is not known to the dialect yet" if row is None else row.says
            self.refuse(node, f"the construct {kind}", why)
            return node
        for name in node._fields:
            verdict = row.fields.get(name)
            value = getattr(node, name, None)
            if verdict is FieldVerdict.CHILD or not value:
                continue
            if verdict is None or verdict is FieldVerdict.REFUSED:
                self.refuse(node, f"{name!r} of {kind}", "it is not known to the dialect yet")
            elif verdict is FieldVerdict.BINDS:
                binds = not isinstance(getattr(node, "ctx", None), ast.Load)
                self._identifier(node, value, binds=binds)
            elif verdict is FieldVerdict.NAMES:
                for each in value:
                    self._identifier(node, each, binds=True)
        method: Callable[[ast.AST], Any] | None = getattr(self, f"_on_{kind}", None)
        return self.node_contents_visit(node) if method is None else method(node)

    def _block(self, statements: list[ast.stmt]) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for statement in statements:
            result = self.visit(statement)
            out += result if isinstance(result, list) else [result]
        return out

    # building ------------------------------------------------------------------------------

    def _at(self, new: _Node, old: ast.AST) -> _Node:
        return ast.copy_location(new, old)

    def _guard(self, name: str, at: ast.AST) -> ast.expr:
        self.guards += 1
        return self._at(ast.Constant(self._nonce + name), at)

    def _call(self, name: str, arguments: list[ast.expr], at: ast.AST) -> ast.expr:
        return self._at(ast.Call(self._guard(name, at), arguments, []), at)

    def _text(self, value: object, at: ast.AST) -> ast.expr:
        return self._at(ast.Constant(value), at)  # type: ignore[arg-type]

    def _load(self, name: str, at: ast.AST) -> ast.expr:
        return self._at(ast.Name(name, ast.Load()), at)
