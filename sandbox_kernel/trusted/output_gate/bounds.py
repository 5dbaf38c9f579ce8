"""Size and shape of what a worker sent, measured before anything looks inside.

Every function here takes data of any type, never raises on it, and stops early: the cost of
refusing an output does not grow with its size.
"""

from __future__ import annotations

import math
import re
from typing import Any

MAX_DEPTH = 64
MAX_NODES = 500_000

_SURROGATE = re.compile("[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """`text` with lone surrogates (which no UTF-8 can carry) replaced by U+FFFD."""
    if text.isascii() or _SURROGATE.search(text) is None:
        return text
    return _SURROGATE.sub("\ufffd", text)


def text_size(value: object, at_most: int) -> int | None:
    """Bytes that a JSON value takes on the wire, roughly, or None when more than `at_most`.

    Strings count their characters; a character beyond ASCII counts as two. None is also the
    answer for a value that is nested deeper than `MAX_DEPTH`, holds more than `MAX_NODES`
    values, or is no JSON value.
    """
    total = 0
    nodes = 0
    pending: list[tuple[object, int]] = [(value, 0)]
    while pending:
        item, depth = pending.pop()
        nodes += 1
        if nodes > MAX_NODES or depth > MAX_DEPTH:
            return None
        if isinstance(item, str):
            total += len(item) if item.isascii() else 2 * len(item)
        elif item is None or isinstance(item, bool | int | float):
            total += 8
        elif isinstance(item, list | tuple):
            total += len(item)
            if len(item) > MAX_NODES:
                return None
            pending.extend((each, depth + 1) for each in item)
        elif isinstance(item, dict):
            if len(item) > MAX_NODES:
                return None
            for key, each in item.items():
                if not isinstance(key, str):
                    return None
                total += len(key) + 2
                pending.append((each, depth + 1))
        else:
            return None
        if total > at_most:
            return None
    return total


def clean_json(value: Any) -> Any:
    """A copy with well-formed text and finite numbers. Call `text_size` first: it bounds this."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [clean_json(each) for each in value]
    if isinstance(value, dict):
        return {well_formed(key): clean_json(each) for key, each in value.items()}
    return value


def size_in_words(count: int) -> str:
    """A size for people, in the units that a policy uses: `1 MB`, `256 MB`, `20 KB`."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("KB", 10**3)):
        if count >= factor:
            number = count / factor
            return f"{number:.0f} {unit}" if number == int(number) else f"{number:.1f} {unit}"
    return f"{count} bytes"
