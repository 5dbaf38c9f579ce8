"""RestrictedPython as it comes, with the guards that its documentation uses, for comparison."""

from __future__ import annotations

import ast
import builtins
import operator
from typing import Any

from RestrictedPython import compile_restricted_exec
from RestrictedPython.Eval import default_guarded_getitem, default_guarded_getiter
from RestrictedPython.Guards import (
    guarded_iter_unpack_sequence,
    guarded_unpack_sequence,
    safer_getattr,
)
from RestrictedPython.PrintCollector import PrintCollector
from RestrictedPython.transformer import RestrictingNodeTransformer

__all__ = ["refusals", "run"]

_IN_PLACE = {
    "+=": operator.iadd,
    "-=": operator.isub,
    "*=": operator.imul,
    "/=": operator.itruediv,
    "//=": operator.ifloordiv,
    "%=": operator.imod,
    "**=": operator.ipow,
    "<<=": operator.ilshift,
    ">>=": operator.irshift,
    "|=": operator.ior,
    "^=": operator.ixor,
    "&=": operator.iand,
    "@=": operator.imatmul,
}


def refusals(source: str) -> int:
    """How many places of ``source`` stock RestrictedPython refuses."""
    return len(compile_restricted_exec(source).errors)


class _Lenient(RestrictingNodeTransformer):
    """Its transformer, with what it refuses let through under its guards: else little would run."""

    _within = ""  # the class whose body is visited: its private names are mangled

    def check_name(self, *_: Any, **__: Any) -> None:
        """Allow private names."""

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        """Know the class, for the names that it mangles."""
        before, self._within = self._within, node.name.lstrip("_")
        try:
            return super().visit_ClassDef(node)
        finally:
            self._within = before

    def not_allowed(self, node: ast.AST) -> None:
        """Allow statements that it does not know."""
        self.node_contents_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        """``a.b += c`` as ``a.b = a.b + c``, which it accepts."""
        if isinstance(node.target, ast.Name):
            return super().visit_AugAssign(node)
        load = ast.parse(ast.unparse(node.target), mode="eval").body
        plain = ast.Assign([node.target], ast.BinOp(load, node.op, node.value))
        return self.visit(ast.fix_missing_locations(ast.copy_location(plain, node)))

    def visit_Attribute(self, node: ast.Attribute) -> Any:
        """Private attributes go through the same guards as public ones."""
        if not node.attr.startswith("_"):
            return super().visit_Attribute(node)
        name, node.attr = node.attr, "x" + node.attr
        if self._within and name.startswith("__") and not name.endswith("__"):
            name = f"_{self._within}{name}"
        out = super().visit_Attribute(node)
        if isinstance(out, ast.Call):
            out.args[1] = ast.copy_location(ast.Constant(name), out)
        else:
            out.attr = name
        return out

    def generic_visit(self, node: ast.AST) -> Any:
        """Walk into statements that it does not know."""
        return self.node_contents_visit(node)


def _getattr(thing: Any, name: str, *default: Any) -> Any:
    if name.startswith("_") or name == "format":
        return getattr(thing, name, *default)
    return safer_getattr(thing, name, *default)


def run(source: str) -> dict[str, Any]:
    """Run ``source`` under the guards; gives its namespace.

    Raises:
        SyntaxError: it is refused even so.
    """
    result = compile_restricted_exec(source, policy=_Lenient)
    if result.code is None:
        raise SyntaxError("; ".join(result.errors))
    space: dict[str, Any] = {
        "__builtins__": {**vars(builtins)},
        "__name__": "program",
        "__metaclass__": type,
        "_print_": PrintCollector,
        "_getattr_": _getattr,
        "_getitem_": default_guarded_getitem,
        "_getiter_": default_guarded_getiter,
        "_iter_unpack_sequence_": guarded_iter_unpack_sequence,
        "_unpack_sequence_": guarded_unpack_sequence,
        "_write_": lambda thing: thing,
        "_inplacevar_": lambda op, left, right: _IN_PLACE[op](left, right),
        "_apply_": lambda function, *a, **k: function(*a, **k),
    }
    exec(result.code, space)
    return space
