"""The refusals of the dialect: what was refused, why, and what to write instead.

Three families, each of the type that Python would raise at that place: `RefusedSyntax` before
anything runs, `RefusedAttribute` at an attribute, `RefusedModule` at an import. All carry a
stable ``code``.
"""

from __future__ import annotations

__all__ = ["Refusal", "RefusedAttribute", "RefusedModule", "RefusedSyntax", "RefusedValue"]


class RefusedSyntax(SyntaxError):
    """A cell was refused before any of it ran; ``refusals`` lists every reason with its line."""

    code = "dialect.syntax"

    def __init__(self, *args: object, refusals: tuple[Refusal, ...] = ()) -> None:
        super().__init__(*args)
        self.refusals = refusals


class RefusedAttribute(AttributeError):
    """An attribute of an object that the cell does not own."""

    code = "dialect.attribute"


class RefusedModule(ImportError):
    """A module that the policy does not give."""

    code = "dialect.module"


class RefusedValue(TypeError):
    """A value that the dialect cannot take at this place."""

    code = "dialect.value"


# What a person reads is the type that Python raises at that place; `code` tells the families apart.
for _family in (RefusedAttribute, RefusedModule, RefusedValue):
    _family.__name__ = _family.__qualname__ = _family.__bases__[0].__name__


class Refusal:
    """One reason for which a cell is refused: place, construct, why, and what to write instead."""

    __slots__ = ("column", "construct", "instead", "line", "why")

    def __init__(self, construct: str, why: str, instead: str, line: int, column: int) -> None:
        self.construct = construct
        self.why = why
        self.instead = instead
        self.line = line
        self.column = column

    def __str__(self) -> str:
        text = f"line {self.line}: {self.construct} is refused: {self.why}"
        return f"{text}; {self.instead}" if self.instead else text
