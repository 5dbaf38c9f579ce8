"""Names and attributes: raw where the name decides, else through a guard or a view.

``self._x`` in a method is the case that must be fast. The method tests on entry whether the class
of its object may be opened (``type(self) is seen.first``): its body then stands twice, once raw
and once through a guarded view of the object. A body that would be long, or cannot stand twice, is
compiled once, and reads through a variable that holds the object or the view.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable

from .formats import template_refusal
from .names import CLASS_WALK, Access, access, is_special
from .scopes import ClassScope, FunctionScope
from .walking import TableWalker

__all__ = ["OWN_VIEW", "AttributeTransformer"]

OWN_VIEW = "_sandbox_own"
"""Local variable of a method: a guarded view of its object, where the object is of a class that
the cell may not open. Private attributes are read and written through it."""

_LITERALS = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.JoinedStr)
_ONCE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Global, ast.Nonlocal)
_TWICE_AT_MOST = 300
"""Nodes of a body that may stand twice."""


class AttributeTransformer(TableWalker):
    """The rules of names and attributes.

    ``imported`` are names that hold modules already, so that a store into one is refused with a
    word about modules and not at the module's own guard.
    """

    def __init__(self, nonce: str, imported: Iterable[str] = ()) -> None:
        super().__init__(nonce)
        self._imported = set(imported)
        self._memories = 0

    # tests of an object's class --------------------------------------------------------------

    def _memory(self, at: ast.AST, scope: FunctionScope | None = None) -> ast.expr:
        """The memory of the tests in the current function: the clean classes met there."""
        scope = scope or self._function()
        if not scope.seen:
            self._memories += 1
            scope.seen = f"seen:{self._memories}"
        return self._guard(scope.seen, at)

    def _unseen(self, name: str, at: ast.AST, scope: FunctionScope | None = None) -> list[ast.expr]:
        """Tests that the class of the local ``name`` is none of the two that are remembered."""
        tests: list[ast.expr] = []
        for slot in ("first", "second"):
            kind = self._call("type", [self._load(name, at)], at)
            known = self._at(ast.Attribute(self._memory(at, scope), slot, ast.Load()), at)
            tests.append(self._at(ast.Compare(kind, [ast.IsNot()], [known]), at))
        return tests

    def _look(
        self, guard: str, name: str, at: ast.AST, scope: FunctionScope | None = None
    ) -> ast.expr:
        return self._call(guard, [self._load(name, at), self._memory(at, scope)], at)

    def _view(self, name: str, at: ast.AST, scope: FunctionScope | None = None) -> ast.expr:
        """The object in the local ``name`` where its class is clean, else a guarded view of it:
        ``view(x, seen) if type(x) is not seen.first and type(x) is not seen.second else x``."""
        test = self._at(ast.BoolOp(ast.And(), self._unseen(name, at, scope)), at)
        view = self._look("view", name, at, scope)
        return self._at(ast.IfExp(test, view, self._load(name, at)), at)

    def _function(self) -> FunctionScope:
        scope = self._scopes[-1]
        assert isinstance(scope, FunctionScope)
        return scope

    def _tested(self, scope: FunctionScope, body: list[ast.stmt], at: ast.stmt) -> list[ast.stmt]:
        """The body of a method that touches private attributes of its own object, with the test
        of its class: where its only access stands, else once on entry."""
        own = scope.own
        assert own is not None
        only, straight = scope.tested[0]
        if len(scope.tested) == 1 and straight:
            only.value = self._view(own, only.value, scope)
            return body
        target = self._at(ast.Name(OWN_VIEW, ast.Store()), at)
        if not _may_stand_twice(body):
            view = self._view(own, at, scope)
            return [self._at(ast.Assign([target], view), at), *body]
        view = self._look("view", own, at, scope)
        guarded = [self._at(ast.Assign([target], view), at), *copy.deepcopy(body)]
        for access_, _ in scope.tested:
            access_.value = self._load(own, access_.value)
        foreign = self._look("foreign", own, at, scope)
        test = self._at(ast.BoolOp(ast.And(), [*self._unseen(own, at, scope), foreign]), at)
        return [self._at(ast.If(test, guarded, body), at)]

    # names and attributes ------------------------------------------------------------------

    def _mangled(self, name: str) -> str:
        if name.startswith("__") and not name.endswith("__") and self._classes:
            owner = self._classes[-1].name.lstrip("_")
            return f"_{owner}{name}" if owner else name
        return name

    def _method_with_own(self, value: ast.expr) -> FunctionScope | None:
        """The method whose tested object ``value`` surely is."""
        if not isinstance(value, ast.Name):
            return None
        for scope in reversed(self._scopes):
            if isinstance(scope, ClassScope):
                continue
            if scope.own == value.id:
                return scope
            if value.id in scope.bound:
                return None
        return None

    def _stable_local(self, value: ast.expr) -> bool:
        """True for a local variable that only this function's own statements can change."""
        if not (isinstance(value, ast.Name) and self._scopes):
            return False
        scope = self._scopes[-1]
        return isinstance(scope, FunctionScope) and value.id in scope.stable

    def _opened(self, node: ast.Attribute) -> bool:
        """Let ``x._name`` read or write a view of ``x``, where ``x`` can be tested in place."""
        value = node.value
        if not isinstance(value, ast.Name):
            return False
        method = self._method_with_own(value)
        if method is not None:
            node.value = self._load(OWN_VIEW, value)
            method.tested.append((node, self._scopes[-1] is method and not method.loops))
        elif self._stable_local(value):
            node.value = self._view(value.id, value)
        else:
            return False
        return True

    def _on_Name(self, node: ast.Name) -> ast.expr:
        if node.id == "__import__":
            return self._guard("import", node)
        return node

    def _on_Attribute(self, node: ast.Attribute) -> ast.expr:
        if isinstance(node.ctx, ast.Load):
            return self._attribute_load(node)
        return self._attribute_store(node)

    def _attribute_load(self, node: ast.Attribute) -> ast.expr:
        name, value = node.attr, node.value
        kind = access(name)
        template = value.value if isinstance(value, ast.Constant) else None
        if name in ("format", "format_map") and isinstance(template, str):
            reached = template_refusal(template)
            if reached is not None:
                self.refuse(
                    node,
                    f"a format template that reads {reached}",
                    "templates may read public attributes only",
                    "pass the value itself as an argument",
                )
            return node
        if kind is Access.PLAIN:
            return self.node_contents_visit(node)
        if name == "__class__" and isinstance(value, _LITERALS):
            self.refuse(
                node,
                "'__class__' of a literal",
                "it is a first step out of the objects that a cell was handed",
                "use type(...)",
            )
            return node
        own_only = (
            name in CLASS_WALK and isinstance(value, ast.Attribute) and value.attr == "__class__"
        )
        mangled = self._text(self._mangled(name), node)
        if own_only:
            return self._call("walk", [self.visit(value), mangled], node)
        if kind is Access.PRIVATE and self._opened(node):
            return node
        return self._call("load", [self.visit(value), mangled], node)

    def _attribute_store(self, node: ast.Attribute) -> ast.expr:
        """Plain names store raw: what is not the cell's own is immutable. Others ask."""
        name, value = node.attr, node.value
        kind = access(name)
        if kind is Access.PLAIN and not is_special(name) and not self._on_a_module(value):
            return self.node_contents_visit(node)
        mangled = self._text(self._mangled(name), node)
        if kind is Access.PRIVATE and self._opened(node):
            return node
        node.value = self._call("store", [self.visit(value), mangled], node)
        return node

    def _on_a_module(self, value: ast.expr) -> bool:
        while isinstance(value, ast.Attribute):
            value = value.value
        return isinstance(value, ast.Name) and value.id in self._imported


def _may_stand_twice(body: list[ast.stmt]) -> bool:
    """True for a short body that neither declares names nor defines functions."""
    count = 0
    for statement in body:
        for node in ast.walk(statement):
            count += 1
            if count > _TWICE_AT_MOST or isinstance(node, _ONCE):
                return False
    return True
