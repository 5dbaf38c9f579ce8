"""Format templates: which fields of ``"{0.x[y]}"`` a cell may read.

`str.format` walks attributes in C, out of reach of any guard; so the template is read first. A
template in the source is read when the cell is compiled, any other when it is used.
"""

from __future__ import annotations

import string

from .names import Access, access

__all__ = ["template_refusal"]

_SAFE_CHAIN = ("__class__.__name__", "__class__.__qualname__", "__class__.__module__")
_DEEPEST = 3


def _attributes(field: str) -> list[str]:
    """The attribute path of a replacement field, as dotted runs between item look-ups."""
    runs, rest = [], field
    while rest:
        head, bracket, rest = rest.partition("[")
        dot = head.find(".")
        if dot >= 0:
            runs.append(head[dot + 1 :])
        if not bracket:
            break
        _, _, rest = rest.partition("]")
    return runs


def template_refusal(template: str, depth: int = 0) -> str | None:
    """The first attribute that ``template`` may not reach, or None.

    A template that `str.format` itself rejects gives None: the call raises its own ValueError.
    """
    if depth > _DEEPEST:
        return "a format specification nested too deeply"
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError:
        return None
    for _, field, spec, _ in parts:
        for run in _attributes(field or ""):
            for safe in _SAFE_CHAIN:
                if run == safe or run.endswith("." + safe):
                    run = run[: -len(safe)].rstrip(".")
            for name in run.split("."):
                if name and access(name) is not Access.PLAIN:
                    return f"the attribute {name!r}"
        if spec:
            inner = template_refusal(spec, depth + 1)
            if inner is not None:
                return inner
    return None
