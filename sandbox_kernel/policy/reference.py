"""The tables of docs/policy.md, made from the model.

The document is written by hand but for what stands between `<!-- table: Name -->` and
`<!-- end -->`; a test holds it to the model.
"""

from __future__ import annotations

import re
import types
import typing
from typing import Annotated, Any, Literal

import msgspec

from . import model
from .units import Amount

TABLES: tuple[type[msgspec.Struct], ...] = (
    model.PolicyFile,
    model.FilesLine,
    model.SocketsLine,
    model.ModulesLine,
    model.EnvironmentLine,
    model.DisplayLine,
    model.ProcessesLine,
    model.RefusedFilesLine,
    model.Display,
    model.Processes,
    model.LimitSet,
    model.PersonLimits,
    model.Questions,
    model.Snapshots,
    model.Issuer,
    model.RequestTable,
)

_BLOCK = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(document: str) -> str:
    """The document with its tables as the model has them; KeyError for an unknown name."""
    tables = {table.__name__: table for table in TABLES}
    return _BLOCK.sub(lambda m: f"{m[1]}\n{markdown(tables[m[2]])}\n{m[3]}", document)


def named(document: str) -> set[str]:
    """The names of the tables that a document has."""
    return {match[2] for match in _BLOCK.finditer(document)}


def markdown(table: type[msgspec.Struct]) -> str:
    """One struct as a Markdown table: key, value, meaning."""
    rows = ["| key | value | meaning |", "|---|---|---|"]
    hints = typing.get_type_hints(table, include_extras=True)
    for field in msgspec.structs.fields(table):
        hint = hints[field.name]
        required = "" if not field.required else " (required)"
        rows.append(f"| `{field.name}` | {_value(hint)}{required} | {_meaning(hint)} |")
    return "\n".join(rows) + "\n"


def _meaning(hint: Any) -> str:
    for meta in getattr(hint, "__metadata__", ()):
        if isinstance(meta, msgspec.Meta) and meta.description:
            return meta.description.replace("|", "\\|")
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return next(filter(None, map(_meaning, typing.get_args(hint))), "")
    struct = _struct(hint)
    return (struct.__doc__ or "").partition("\n")[0].replace("|", "\\|") if struct else ""


def _value(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _value(arguments[0])
    if origin is Literal:
        return ", ".join(f"`{_toml(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_value(a) for a in arguments if a is not type(None))
    if origin is tuple:
        return f"list of {_plural(_value(arguments[0]))}"
    if isinstance(hint, type) and issubclass(hint, Amount):
        return f"{hint.__name__.lower()}, `{_example(hint)}`"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return "table"
    return {str: "text", bool: "`true`, `false`", int: "number"}[hint]


def _struct(hint: Any) -> type[msgspec.Struct] | None:
    if typing.get_origin(hint) in (tuple, Annotated):
        return _struct(typing.get_args(hint)[0])
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint
    return None


def _plural(value: str) -> str:
    return {"text": "texts", "table": "tables"}.get(value, value)


def _example(kind: type[Amount]) -> str:
    return kind.example if kind.example.isdecimal() else f'"{kind.example}"'


def _toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
