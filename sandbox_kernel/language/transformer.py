"""The transformer: from the syntax tree of a cell to the tree that is compiled.

It walks by the verdict table of `nodes`, decides what can be decided from names alone, and puts
calls of guards where it cannot. A guard stands in the tree as a constant string that starts with
a nonce; `compiler` swaps it for the guard itself after CPython has compiled the tree, so that no
name of a cell can stand before it.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from RestrictedPython.transformer import RestrictingNodeTransformer

from .formats import template_refusal
from .names import CLASS_WALK, DEFINABLE, Access, access, is_special, reserved_reason
from .nodes import NODES, FieldVerdict, Verdict
from .refusal import Refusal
from .scopes import ClassScope, FunctionScope, function_scope

__all__ = ["OWN_VIEW", "CellTransformer"]

OWN_VIEW = "_sandbox_own"
"""Local variable of a method: its object, or a guarded view of it where the object is of a class
that the cell may not open. Private attributes are read and written through it."""

_CHECKED_MEMBERS = frozenset({"__match_args__", "__module__", "__getattr__", "__getattribute__"})
_ATTRIBUTE_HOOKS = frozenset({"__getattr__", "__getattribute__"})
_LITERALS = (ast.Constant, ast.Tuple, ast.List, ast.Dict, ast.Set, ast.JoinedStr)

_Node = TypeVar("_Node", bound=ast.AST)


class CellTransformer(RestrictingNodeTransformer):
    """Transform one tree; ``refusals`` then lists what was refused.

    ``guards`` counts the guards put in: with none, the tree is as it was. ``imported`` are names
    that hold modules already, so that a store into one is refused with a word about modules and
    not at the module's own guard.
    """

    def __init__(self, nonce: str, imported: Iterable[str] = (), *, package: bool = False) -> None:
        super().__init__()
        self.refusals: list[Refusal] = []
        self.guards = 0
        self._nonce = nonce
        self._imported = set(imported)
        self._package = package
        self._classes: list[ClassScope] = []
        self._scopes: list[FunctionScope | ClassScope] = []
        self._memories = 0

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

    def _memory(self, at: ast.AST, scope: FunctionScope | None = None) -> ast.expr:
        """The memory of the tests in the current function: the clean classes met there."""
        scope = scope or self._function()
        if not scope.seen:
            self._memories += 1
            scope.seen = f"seen:{self._memories}"
        return self._guard(scope.seen, at)

    def _view(self, name: str, at: ast.AST, scope: FunctionScope | None = None) -> ast.expr:
        """The object in the local ``name`` where its class is clean, else a guarded view of it.

        ``x if type(x) is seen.first or type(x) is seen.second else view(x, seen)``: two classes
        are remembered for each function; the guard `view` looks at others.
        """
        tests: list[ast.expr] = []
        for slot in ("first", "second"):
            kind = self._call("type", [self._load(name, at)], at)
            known = self._at(ast.Attribute(self._memory(at, scope), slot, ast.Load()), at)
            tests.append(self._at(ast.Compare(kind, [ast.Is()], [known]), at))
        test = self._at(ast.BoolOp(ast.Or(), tests), at)
        view = self._call("view", [self._load(name, at), self._memory(at, scope)], at)
        return self._at(ast.IfExp(test, self._load(name, at), view), at)

    def _function(self) -> FunctionScope:
        scope = self._scopes[-1]
        assert isinstance(scope, FunctionScope)
        return scope

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
        if scope.tested and scope.own is not None:
            self._place_test(scope, scope.own, body, start, first_line)
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

    def _place_test(
        self, scope: FunctionScope, own: str, body: list[ast.stmt], start: int, at: ast.stmt
    ) -> None:
        """Test a method's own object: where its only access stands, else once on entry."""
        only, straight = scope.tested[0]
        if len(scope.tested) == 1 and straight:
            only.value = self._view(own, only.value, scope)
            return
        target = self._at(ast.Name(OWN_VIEW, ast.Store()), at)
        view = self._view(own, at, scope)
        body.insert(start, self._at(ast.Assign([target], view), at))

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
