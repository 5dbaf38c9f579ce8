"""The verdict table: what the dialect does with each piece of Python's syntax.

Rules
-----
1. Every AST node class of every supported CPython (3.11 to 3.14) has a row, and so does every
   field of it. A node or a field without a row is refused: a new Python may not bring syntax
   past a review. (A verdict per node alone is not enough: ``posonlyargs`` once was a new field
   of a reviewed node.)
2. A verdict is one of four.
   *raw*      compiled as CPython compiles it, at CPython's speed;
   *checked*  decided when the cell is compiled, then raw;
   *guarded*  compiled with a call of a run-time guard where the compiler cannot decide;
   *refused*  the cell is refused before any of it runs.
3. A field that holds identifiers says so: each identifier passes the same check wherever it
   stands (argument, pattern, import alias, exception name ...).

``docs/dialect.md`` is generated from this table.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from enum import Enum

__all__ = ["NODES", "FieldVerdict", "Row", "Verdict", "unreviewed"]


class Verdict(Enum):
    """What happens to a node."""

    RAW = "raw"
    CHECKED = "checked"
    GUARDED = "guarded"
    REFUSED = "refused"


class FieldVerdict(Enum):
    """What happens to a field of a node."""

    CHILD = "visited"
    BINDS = "identifier, checked (binds)"
    NAMES = "identifiers, checked (bind)"
    DATA = "data"
    CHECKED = "checked"
    REFUSED = "refused when present"


@dataclass(frozen=True)
class Row:
    """The verdict on one node class.

    ``says`` is the sentence of the documentation; ``since`` the first CPython that has the
    node, as ``(major, minor)``.
    """

    verdict: Verdict
    fields: dict[str, FieldVerdict]
    says: str = ""
    since: tuple[int, int] = (3, 11)
    extra: dict[str, str] = field(default_factory=dict)


_FIELD_MARKS = {
    "": FieldVerdict.CHILD,
    "!": FieldVerdict.BINDS,
    "*": FieldVerdict.NAMES,
    "=": FieldVerdict.DATA,
    "?": FieldVerdict.CHECKED,
    "-": FieldVerdict.REFUSED,
}


def _row(verdict: Verdict, fields: str, says: str = "", since: tuple[int, int] = (3, 11)) -> Row:
    """Build a row; a mark after a field's name gives its verdict, none means a child node."""
    parsed = {}
    for word in fields.split():
        mark = word[-1] if word[-1] in "!*=?-" else ""
        parsed[word.rstrip("!*=?-")] = _FIELD_MARKS[mark]
    return Row(verdict, parsed, says, since)


_RAW, _CHECKED, _GUARDED = Verdict.RAW, Verdict.CHECKED, Verdict.GUARDED

_OPERATORS = """Add Sub Mult MatMult Div Mod Pow LShift RShift BitOr BitXor BitAnd FloorDiv
    Invert Not UAdd USub Eq NotEq Lt LtE Gt GtE Is IsNot In NotIn And Or Load Store Del""".split()

NODES: dict[str, Row] = {
    # modules
    "Module": _row(_RAW, "body type_ignores="),
    "Interactive": _row(_RAW, "body"),
    "Expression": _row(_RAW, "body"),
    "FunctionType": _row(Verdict.REFUSED, "argtypes returns", "Type comments are not compiled."),
    # definitions
    "FunctionDef": _row(
        _CHECKED,
        "name! args body decorator_list returns type_comment= type_params",
        "Methods that touch private attributes of their own object test its class once, on "
        "entry; `__getattr__` gets a check of the name.",
    ),
    "AsyncFunctionDef": _row(
        _CHECKED,
        "name! args body decorator_list returns type_comment= type_params",
        "As a plain function.",
    ),
    "ClassDef": _row(
        _CHECKED,
        "name! bases keywords body decorator_list type_params",
        "Only the special methods of the list below may be defined; the finished class is "
        "checked again, whatever a metaclass or decorator did.",
    ),
    "Lambda": _row(_RAW, "args body"),
    "arguments": _row(_RAW, "posonlyargs args vararg kwonlyargs kw_defaults kwarg defaults"),
    "arg": _row(_CHECKED, "arg! annotation type_comment=", "Text annotations are checked."),
    "keyword": _row(_CHECKED, "arg? value", "A class keyword may not be a reserved name."),
    # statements
    "Return": _row(_RAW, "value"),
    "Delete": _row(_RAW, "targets"),
    "Assign": _row(
        _CHECKED,
        "targets value type_comment=",
        "In a class body `__match_args__`, `__module__` and `__getattr__` must be assigned "
        "plainly, and their values are checked.",
    ),
    "TypeAlias": _row(_RAW, "name type_params value", since=(3, 12)),
    "AugAssign": _row(
        _GUARDED,
        "target op value",
        "On a name or an item raw; on a private attribute of an object that is not the "
        "method's own, guarded.",
    ),
    "AnnAssign": _row(_CHECKED, "target annotation value simple=", "Text annotations are checked."),
    "For": _row(_RAW, "target iter body orelse type_comment="),
    "AsyncFor": _row(_RAW, "target iter body orelse type_comment="),
    "While": _row(_RAW, "test body orelse"),
    "If": _row(_RAW, "test body orelse"),
    "With": _row(_RAW, "items body type_comment="),
    "AsyncWith": _row(_RAW, "items body type_comment="),
    "withitem": _row(_RAW, "context_expr optional_vars"),
    "Match": _row(_RAW, "subject cases"),
    "match_case": _row(_RAW, "pattern guard body"),
    "MatchValue": _row(_RAW, "value"),
    "MatchSingleton": _row(_RAW, "value="),
    "MatchSequence": _row(_RAW, "patterns"),
    "MatchMapping": _row(_CHECKED, "keys patterns rest!"),
    "MatchClass": _row(
        _CHECKED,
        "cls patterns kwd_attrs? kwd_patterns",
        "A keyword pattern reads an attribute: only names that a plain load may read. "
        "Positional patterns read `__match_args__`, which is checked where it is set.",
    ),
    "MatchStar": _row(_CHECKED, "name!"),
    "MatchAs": _row(_CHECKED, "pattern name!"),
    "MatchOr": _row(_RAW, "patterns"),
    "Raise": _row(_RAW, "exc cause"),
    "Try": _row(_RAW, "body handlers orelse finalbody"),
    "TryStar": _row(_RAW, "body handlers orelse finalbody"),
    "ExceptHandler": _row(_CHECKED, "type name! body"),
    "Assert": _row(_RAW, "test msg"),
    "Import": _row(
        _GUARDED, "names is_lazy-", "Becomes a call of the module policy; gives facades."
    ),
    "ImportFrom": _row(
        _GUARDED,
        "module= names level? is_lazy-",
        "As `import`. Relative imports work inside a granted package only.",
    ),
    "alias": _row(_CHECKED, "name? asname!"),
    "Global": _row(_CHECKED, "names*"),
    "Nonlocal": _row(_CHECKED, "names*"),
    "Expr": _row(_RAW, "value"),
    "Pass": _row(_RAW, ""),
    "Break": _row(_RAW, ""),
    "Continue": _row(_RAW, ""),
    # expressions
    "BoolOp": _row(_RAW, "op values"),
    "NamedExpr": _row(_RAW, "target value"),
    "BinOp": _row(_RAW, "left op right"),
    "UnaryOp": _row(_RAW, "op operand"),
    "IfExp": _row(_RAW, "test body orelse"),
    "Dict": _row(_RAW, "keys values"),
    "Set": _row(_RAW, "elts"),
    "ListComp": _row(_RAW, "elt generators"),
    "SetComp": _row(_RAW, "elt generators"),
    "DictComp": _row(_RAW, "key value generators"),
    "GeneratorExp": _row(_RAW, "elt generators"),
    "comprehension": _row(_RAW, "target iter ifs is_async="),
    "Await": _row(_RAW, "value"),
    "Yield": _row(_RAW, "value"),
    "YieldFrom": _row(_RAW, "value"),
    "Compare": _row(_RAW, "left ops comparators"),
    "Call": _row(_RAW, "func args keywords", "`super()` and `type(x)` included."),
    "FormattedValue": _row(_RAW, "value conversion= format_spec"),
    "JoinedStr": _row(_RAW, "values"),
    "TemplateStr": _row(_RAW, "values", since=(3, 14)),
    "Interpolation": _row(_RAW, "value str= conversion= format_spec", since=(3, 14)),
    "Constant": _row(_RAW, "value= kind="),
    "Attribute": _row(
        _GUARDED,
        "value attr? ctx",
        "Public names and the special names below: raw. Private names: raw on the method's own "
        "object, else guarded. Other special names and the names that reach frames, code or raw "
        "memory: guarded.",
    ),
    "Subscript": _row(_RAW, "value slice ctx"),
    "Starred": _row(_RAW, "value ctx"),
    "Name": _row(_CHECKED, "id! ctx", "Reserved names are refused."),
    "List": _row(_RAW, "elts ctx"),
    "Tuple": _row(_RAW, "elts ctx"),
    "Slice": _row(_RAW, "lower upper step"),
    # type parameters
    "TypeVar": _row(_CHECKED, "name! bound default_value", since=(3, 12)),
    "ParamSpec": _row(_CHECKED, "name! default_value", since=(3, 12)),
    "TypeVarTuple": _row(_CHECKED, "name! default_value", since=(3, 12)),
    "TypeIgnore": _row(_RAW, "lineno= tag="),
    **{name: _row(_RAW, "") for name in _OPERATORS},
}


def unreviewed() -> list[str]:
    """Every ``Class`` or ``Class.field`` of the running Python's grammar that has no row.

    Deprecated aliases (``ast.Num`` and its like) never come out of the parser and are left out.
    """
    missing = []
    aliases = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis", "Index", "ExtSlice", "Suite"}
    aliases |= {"AugLoad", "AugStore", "Param"}
    for name, node in vars(ast).items():
        if not (isinstance(node, type) and issubclass(node, ast.AST)):
            continue
        if name in aliases or name.startswith("_"):
            continue
        if node.__subclasses__() and not node._fields:
            continue
        row = NODES.get(name)
        if row is None:
            missing.append(name)
            continue
        missing += [f"{name}.{f}" for f in node._fields if f not in row.fields]
    return missing
