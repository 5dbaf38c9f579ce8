"""The verdict table covers the running Python, and unknown syntax is refused."""

from __future__ import annotations

import ast

import pytest

from sandbox_kernel.language.compiler import compile_tree
from sandbox_kernel.language.nodes import NODES, unreviewed
from sandbox_kernel.language.refusal import RefusedSyntax


def test_every_node_and_field_of_this_python_has_a_row() -> None:
    assert unreviewed() == []


def test_a_field_that_loses_its_row_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = dict(NODES["arguments"].fields)
    del fields["posonlyargs"]
    row = type(NODES["arguments"])(NODES["arguments"].verdict, fields)
    monkeypatch.setitem(NODES, "arguments", row)
    assert unreviewed() == ["arguments.posonlyargs"]


def test_a_node_without_a_row_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(NODES, "Match")
    tree = ast.parse("x = 1\nmatch x:\n    case 1: pass")
    with pytest.raises(RefusedSyntax, match=r"line 2.*Match") as caught:
        compile_tree(tree, "<cell>", "exec", {})
    assert caught.value.lineno == 2


def test_a_field_without_a_row_is_refused_when_it_holds_something() -> None:
    tree = ast.parse("import json")
    statement = tree.body[0]
    statement._fields = (*statement._fields, "is_new")  # type: ignore[misc]
    statement.is_new = 1  # type: ignore[attr-defined]
    with pytest.raises(RefusedSyntax, match="'is_new' of Import"):
        compile_tree(tree, "<cell>", "exec", {})


def test_a_fault_of_the_transformer_refuses_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    from sandbox_kernel.language.transformer import CellTransformer

    def fault(self: CellTransformer, node: ast.Name) -> ast.Name:
        raise KeyError("a fault")

    monkeypatch.setattr(CellTransformer, "_on_Name", fault)
    with pytest.raises(RefusedSyntax, match="could not read it"):
        compile_tree(ast.parse("x"), "<cell>", "exec", {})
