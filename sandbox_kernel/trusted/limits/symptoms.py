"""Which limit an error of a cell comes from, when the operating system refused something. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...policy.rights import Limit
from .kind import LimitKind
from .sampling import Sample
from .table import LIMITS

#: Share of a limit from which an error that may have other reasons is put down to it.
_NEARLY_ALL = 0.8


def is_symptom(name: str, text: str) -> bool:
    """Whether an error of that name and text may come from any limit."""
    return any(kind.symptom(name, text) for kind in LIMITS)


def cause(
    name: str,
    text: str,
    sample: Sample,
    limits: Mapping[str, Limit],
    refused: Collection[str],
) -> tuple[LimitKind, Limit] | None:
    """The limit that is nearest to be used up of those that it may come from.

    `refused` are the limits by which the cell was refused something for certain.
    """
    found = []
    for kind in LIMITS:
        limit = limits.get(kind.name)
        if limit is not None and kind.symptom(name, text):
            share = kind.measure(sample) / max(limit.value, 1)
            if kind.sure or share >= _NEARLY_ALL or kind.name in refused:
                found.append((share, kind, limit))
    if not found:
        return None
    _, kind, limit = max(found, key=lambda each: each[0])
    return kind, limit
