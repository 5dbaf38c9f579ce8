"""Sizes, durations and counts as people write them: "50 MB", "5 min", 32, "unlimited".

A number without a unit is refused for sizes and durations: "60" has meant seconds, minutes and
milliseconds to different readers of the same file.  Decimal units (kB, MB, GB) are powers of
1000 and binary ones (KiB, MiB, GiB) powers of 1024, as in IEC 80000-13.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import ClassVar, Self

_SIZES = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "TB": 1000**4,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
    "TIB": 1024**4,
}
_DURATIONS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)[ \t]*([A-Za-z]+)", re.ASCII)

UNLIMITED = "unlimited"


class UnitError(ValueError):
    """The text is no size, duration or count; the message says what would be one."""


class Amount:
    """How much of something is allowed.

    `value` is in the base unit of the class (bytes, seconds, pieces); `math.inf` is no bound.
    `text` is what the person wrote, for messages.  Two amounts are equal when their values are.
    """

    # No dataclass: msgspec would read one as a table instead of asking `parse`.
    __slots__ = ("text", "value")

    pattern: ClassVar[str] = ""
    example: ClassVar[str] = ""

    def __init__(self, value: float, text: str) -> None:
        self.value = value
        self.text = text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.text!r})"

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.value == self.value

    def __hash__(self) -> int:
        return hash((type(self), self.value))

    @property
    def unlimited(self) -> bool:
        return math.isinf(self.value)

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read the written form; raise `UnitError` when it has none of this class's forms."""
        raise NotImplementedError

    def smaller(self, other: Self) -> Self:
        """The stricter of the two, the first one when they are the same."""
        return other if other.value < self.value else self


class Size(Amount):
    """A number of bytes."""

    __slots__ = ()

    pattern: ClassVar[str] = r"^([0-9]+(\.[0-9]+)? ?([kKMGT]i?)?B|unlimited)$"
    example: ClassVar[str] = "50 MB"

    @classmethod
    def parse(cls, raw: object) -> Self:
        value = _measure(raw, cls.example, "size", lambda unit: _SIZES.get(unit.upper()))
        return cls(value, str(raw))

    @property
    def bytes(self) -> int:
        """Whole bytes; raises OverflowError for no bound (ask `unlimited` first)."""
        return int(self.value)


class Duration(Amount):
    """A number of seconds."""

    __slots__ = ()

    pattern: ClassVar[str] = r"^([0-9]+(\.[0-9]+)? ?(ms|s|min|h|d)|unlimited)$"
    example: ClassVar[str] = "60 s"

    @classmethod
    def parse(cls, raw: object) -> Self:
        return cls(_measure(raw, cls.example, "duration", _DURATIONS.get), str(raw))

    @property
    def seconds(self) -> float:
        return self.value


class Count(Amount):
    """A number of pieces (threads, files, messages)."""

    __slots__ = ()

    pattern: ClassVar[str] = r"^unlimited$"
    example: ClassVar[str] = "32"

    @classmethod
    def parse(cls, raw: object) -> Self:
        if raw == UNLIMITED:
            return cls(math.inf, UNLIMITED)
        if isinstance(raw, bool) or not isinstance(raw, int) or not 0 <= raw < 2**53:
            raise UnitError(f"{raw!r} is no count: write a whole number such as 32, or unlimited")
        return cls(raw, str(raw))


def _measure(raw: object, example: str, what: str, unit_of: Callable[[str], float | None]) -> float:
    if raw == UNLIMITED:
        return math.inf
    if isinstance(raw, str) and (match := _NUMBER.fullmatch(raw.strip())):
        factor = unit_of(match[2])
        if factor is not None:
            value = float(match[1]) * factor
            if value < 2**63:
                return value
            raise UnitError(f"{raw!r} is too large for a {what}")
    hint = f"a number and a unit, such as {example!r}"
    if isinstance(raw, int | float) and not isinstance(raw, bool):
        raise UnitError(f"{raw!r} has no unit: write {hint}")
    raise UnitError(f"{raw!r} is no {what}: write {hint}")
