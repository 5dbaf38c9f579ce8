"""The transformer: from the syntax tree of a cell to the tree that is compiled.

It walks by the verdict table of `nodes`, decides what can be decided from names alone, and puts
calls of guards where it cannot. `walking` is what all rules share, `attribute_nodes` the rules of
names and attributes; here are imports, and all that binds names: definitions, targets, patterns.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any, TypeVar

from .attribute_nodes import OWN_VIEW, AttributeTransformer
from .names import Access, access
from .scopes import ClassScope, FunctionScope, function_scope

__all__ = ["OWN_VIEW", "CellTransformer"]

_CHECKED_MEMBERS = frozenset({"__match_args__", "__module__", "__getattr__", "__getattribute__"})
_ATTRIBUTE_HOOKS = frozenset({"__getattr__", "__getattribute__"})

_Node = TypeVar("_Node", bound=ast.AST)


class CellTransformer(AttributeTransformer):
    """Transform one tree; ``refusals`` then lists what was refused.

    ``package`` tells that the text is of a granted package, where relative imports work.
    """

    def __init__(self, nonce: str, imported: Iterable[str] = (), *, package: bool = False) -> None:
        super().__init__(nonce, imported)
        self._package = package

    # imports -------------------------------------------------------------------------------

    def _on_Import(self, node: ast.Import) -> list[ast.stmt]:
        out: list[ast.stmt] = []
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self._identifier(node, name, binds=True)
            self._special_member(node, name)
            self._imported.add(name)
            leaf = self._text(alias.asname is not None, node)
            module = self._call("import_module", [self._text(alias.name, node), leaf], node)
            target = self._at(ast.Name(name, ast.Store()), node)
            out.append(self._at(ast.Assign([target], module), node))
        return out

    def _on_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        if node.module == "__future__" and not node.level:
            return node
        if node.level and not self._package:
            self.refuse(
                node,
                "a relative import",
                "a cell is not part of a package",
                "import the module by its full name",
            )
            return node
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            self._identifier(node, alias.asname or alias.name, binds=True)
            self._special_member(node, alias.asname or alias.name)
        source = self._text(module, node)
        if node.names[0].name == "*":
            return self._at(ast.Expr(self._call("import_star", [source], node)), node)
        wanted = [self._text(alias.name, node) for alias in node.names]
        targets: list[ast.expr] = [
            self._at(ast.Name(alias.asname or alias.name, ast.Store()), node)
            for alias in node.names
        ]
        target = self._at(ast.Tuple(targets, ast.Store()), node)
        return self._at(
            ast.Assign([target], self._call("import_from", [source, *wanted], node)), node
        )

    # definitions ---------------------------------------------------------------------------

    def _in_class(self) -> bool:
        return bool(self._scopes) and isinstance(self._scopes[-1], ClassScope)

    def _special_member(self, node: ast.AST, name: str | None) -> None:
        if self._in_class() and name in _CHECKED_MEMBERS:
            self.refuse(
                node,
                f"binding {name!r} here",
                "its value must be readable when the class is made",
                f"write a plain `{name} = ...` or a `def`",
            )

    def _targets(self, node: ast.AST, target: ast.AST) -> None:
        if self._in_class():
            for below in ast.walk(target):
                if isinstance(below, ast.Name) and isinstance(below.ctx, ast.Store):
                    self._special_member(node, below.id)

    def _member_value(self, name: str, value: ast.expr) -> ast.expr:
        if name == "__match_args__":
            return self._call("match_args", [value], value)
        if name == "__module__":
            return self._call("module_name", [value], value)
        return self._call("attribute_hook", [value], value)

    def _on_Assign(self, node: ast.Assign) -> ast.stmt:
        node = self.node_contents_visit(node)
        if self._in_class():
            for target in node.targets:
                if isinstance(target, ast.Name):
                    if target.id in _CHECKED_MEMBERS:
                        node.value = self._member_value(target.id, node.value)
                else:
                    self._targets(node, target)
        return node

    def _on_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        self._targets(node, node.target)
        return self.node_contents_visit(node)

    def _on_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self._annotation(node.annotation)
        node = self.node_contents_visit(node)
        name = node.target.id if isinstance(node.target, ast.Name) else ""
        if self._in_class() and name in _CHECKED_MEMBERS and node.value is not None:
            node.value = self._member_value(name, node.value)
        return node

    def _on_For(self, node: ast.For | ast.AsyncFor) -> ast.stmt:
        self._targets(node, node.target)
        return self._loop(node)

    _on_AsyncFor = _on_For

    def _on_While(self, node: ast.While) -> ast.stmt:
        return self._loop(node)

    def _loop(self, node: _Node) -> _Node:
        scope = self._scopes[-1] if self._scopes else None
        if not isinstance(scope, FunctionScope):
            return self.node_contents_visit(node)
        scope.loops += 1
        node = self.node_contents_visit(node)
        scope.loops -= 1
        return node

    def _on_NamedExpr(self, node: ast.NamedExpr) -> ast.expr:
        self._targets(node, node.target)
        return self.node_contents_visit(node)

    def _on_withitem(self, node: ast.withitem) -> ast.withitem:
        if node.optional_vars is not None:
            self._targets(node.optional_vars, node.optional_vars)
        return self.node_contents_visit(node)

    def _on_ExceptHandler(self, node: ast.ExceptHandler) -> ast.ExceptHandler:
        self._special_member(node, node.name)
        return self.node_contents_visit(node)

    def _on_MatchAs(self, node: ast.MatchAs) -> ast.MatchAs:
        self._special_member(node, node.name)
        return self.node_contents_visit(node)

    def _on_MatchStar(self, node: ast.MatchStar) -> ast.MatchStar:
        self._special_member(node, node.name)
        return self.node_contents_visit(node)

    def _on_MatchMapping(self, node: ast.MatchMapping) -> ast.MatchMapping:
        self._special_member(node, node.rest)
        return self.node_contents_visit(node)

    def _on_MatchClass(self, node: ast.MatchClass) -> ast.MatchClass:
        for name in node.kwd_attrs:
            if access(name) is not Access.PLAIN:
                self.refuse(
                    node,
                    f"the attribute {name!r} in a class pattern",
                    "a pattern reads it in C, past every guard",
                    "match the object and read the attribute in the block",
                )
        return self.node_contents_visit(node)

    def _on_keyword(self, node: ast.keyword) -> ast.keyword:
        if node.arg is not None:
            self._identifier(node, node.arg, binds=False)
        return self.node_contents_visit(node)

    def _type_parameters(self, node: Any) -> None:
        """Visit the type parameters (CPython 3.12) of a definition."""
        if getattr(node, "type_params", None):
            node.type_params = [self.visit(p) for p in node.type_params]

    def _on_ClassDef(self, node: ast.ClassDef) -> ast.stmt:
        self._special_member(node, node.name)
        scope = ClassScope(node.name)
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        self._type_parameters(node)
        node.bases = [self.visit(b) for b in node.bases]
        node.keywords = [self.visit(k) for k in node.keywords]
        self._classes.append(scope)
        self._scopes.append(scope)
        node.body = self._block(node.body)
        self._scopes.pop()
        self._classes.pop()
        return node

    def _on_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.stmt:
        within = self._scopes[-1] if self._in_class() else None
        assert within is None or isinstance(within, ClassScope)
        if node.returns is not None:
            self._annotation(node.returns)
        scope = function_scope(node, within)
        first_line = node.body[0]
        node.decorator_list = [self.visit(d) for d in node.decorator_list]
        if node.returns is not None:
            node.returns = self.visit(node.returns)
        self._type_parameters(node)
        hook_name = self._hook_parameter(node) if within is not None else None
        node.args = self.visit(node.args)
        self._scopes.append(scope)
        body = self._block(node.body)
        self._scopes.pop()
        start = 1 if _is_docstring(first_line) else 0
        if within is not None and node.name in _CHECKED_MEMBERS:
            if node.name not in _ATTRIBUTE_HOOKS:
                self._special_member_def(node)
            elif node.decorator_list or hook_name is None:
                node.decorator_list.insert(0, self._guard("attribute_hook", node))
            else:
                check = self._call("hook_name", [self._load(hook_name, first_line)], first_line)
                body.insert(start, self._at(ast.Expr(check), first_line))
        if scope.tested:
            body = [*body[:start], *self._tested(scope, body[start:], first_line)]
        node.body = body
        return node

    _on_AsyncFunctionDef = _on_FunctionDef

    def _special_member_def(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.refuse(node, f"a function named {node.name!r}", "the name takes a plain value")

    @staticmethod
    def _hook_parameter(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
        """The parameter of ``__getattr__`` that gets the name, when it is a plain one."""
        names = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
        return names[1] if len(names) == 2 and names[0] != names[1] else None

    def _on_arg(self, node: ast.arg) -> ast.arg:
        if node.annotation is not None:
            self._annotation(node.annotation)
        return self.node_contents_visit(node)

    def _nested(self, node: Any) -> Any:
        scope = function_scope(node, None)
        self._scopes.append(scope)
        try:
            return self.node_contents_visit(node)
        finally:
            self._scopes.pop()

    def _on_Lambda(self, node: ast.Lambda) -> ast.expr:
        return self._nested(node)  # type: ignore[no-any-return]

    _on_ListComp = _on_SetComp = _on_DictComp = _on_GeneratorExp = _nested

    def _annotation(self, annotation: ast.expr) -> None:
        """Text in an annotation is evaluated later, by typing: read it now."""
        for node in ast.walk(annotation):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                try:
                    inner = ast.parse(node.value.strip(), mode="eval")
                except (SyntaxError, ValueError, RecursionError, MemoryError):
                    continue
                for below in ast.walk(inner):
                    if isinstance(below, ast.Attribute) and access(below.attr) is not Access.PLAIN:
                        self.refuse(
                            annotation,
                            f"{below.attr!r} in the text of an annotation",
                            "annotations are evaluated later",
                            "name the type by a public name",
                        )


def _is_docstring(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )
