"""Rights to files: a place, a mode, and what is carved out of it.

Modes are a chain: `read`, then `create` (new files too), `append` (adding to files too), `write`
(any change); each includes those before it.  So the weaker of two modes is what both allow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from ..model import Mode
from .paths import PathPattern, is_below, ordered

N = TypeVar("N", int, float)

MODES: tuple[Mode, ...] = ("read", "create", "append", "write")


@dataclass(frozen=True)
class FileEntry:
    """Paths that all of `places` cover and none of `deny`, up to `mode`.

    `places[0]` is what to open; more than one stands where two globs meet.  Below `deny` nothing
    is possible, below `read_only` no change is.  `max_bytes` and `max_count` (new files) are
    None where not metered; `expires_at` is in seconds since the epoch, `lasts` in seconds from when
    a right to it starts.
    """

    places: tuple[PathPattern, ...]
    mode: Mode
    deny: tuple[PathPattern, ...] = ()
    read_only: tuple[PathPattern, ...] = ()
    max_bytes: int | None = None
    max_count: int | None = None
    expires_at: float | None = None
    lasts: float | None = None

    @property
    def place(self) -> PathPattern:
        """The narrowest place, for messages and for the door."""
        return self.places[0]

    def includes(self, real_path: str) -> bool:
        """Whether the path lies in all places, denials aside."""
        return all(place.covers(real_path) for place in self.places)

    def denial(self, real_path: str) -> PathPattern | None:
        """The `deny` that closes this path, if one does."""
        return next((d for d in self.deny if d.covers_any_spelling(real_path)), None)

    def write_denial(self, real_path: str) -> PathPattern | None:
        """The `read_only` that forbids changes here, if one does."""
        return next((d for d in self.read_only if d.covers_any_spelling(real_path)), None)


def allows(mode: Mode, wanted: Mode) -> bool:
    """Whether a right of `mode` includes `wanted`."""
    return MODES.index(wanted) <= MODES.index(mode)


def weaker(a: Mode, b: Mode) -> Mode:
    """What both modes allow."""
    return a if MODES.index(a) <= MODES.index(b) else b


def meet(a: FileEntry, b: FileEntry) -> FileEntry | None:
    """What both allow."""
    places = narrowest((*a.places, *b.places))
    if places is None:
        return None
    mode = weaker(a.mode, b.mode)
    changes = mode != "read"
    return FileEntry(
        places=places,
        mode=mode,
        deny=_joined(a.deny, b.deny),
        read_only=_joined(a.read_only, b.read_only) if changes else (),
        max_bytes=_least(a.max_bytes, b.max_bytes) if changes else None,
        max_count=_least(a.max_count, b.max_count) if changes else None,
        expires_at=_least(a.expires_at, b.expires_at),
        lasts=_least(a.lasts, b.lasts),
    )


def carve(
    entry: FileEntry, deny: tuple[PathPattern, ...], read_only: tuple[PathPattern, ...]
) -> FileEntry | None:
    """Take places out of an entry; None when nothing of it is left.

    Only those that may touch it are kept, so that a list of 150 denials elsewhere costs nothing.
    """
    plain = (entry.read_only, entry.max_bytes, entry.max_count) == ((), None, None)
    if not (deny or read_only) and (entry.mode != "read" or plain):
        return entry
    if any(d.covers_pattern(place) for d in deny for place in entry.places):
        return None
    mode = entry.mode
    if any(r.covers_pattern(place) for r in read_only for place in entry.places):
        mode = "read"
    touching = tuple(d for d in deny if all(d.may_touch(place) for place in entry.places))
    closed = tuple(r for r in read_only if all(r.may_touch(place) for place in entry.places))
    more: dict[str, Any] = {"mode": mode, "deny": _joined(entry.deny, touching)}
    if mode == "read":  # Without what speaks of changes only.
        more |= {"read_only": (), "max_bytes": None, "max_count": None}
    else:
        more["read_only"] = _joined(entry.read_only, closed)
    same = all(getattr(entry, name) == value for name, value in more.items())
    return entry if same else replace(entry, **more)


def written(entry: FileEntry, folder: str) -> dict[str, object]:
    """The entry in the vocabulary of metadata; paths below `folder` are relative to it."""
    text: dict[str, object] = {"path": shown(entry.place.path, folder), "mode": entry.mode}
    if entry.max_bytes is not None:
        text["max_bytes"] = f"{entry.max_bytes} B"
    if entry.max_count is not None:
        text["max_count"] = entry.max_count
    return text


def shown(path: str, folder: str) -> str:
    """`path` as a person would write it from `folder`."""
    if path == folder:
        return "."
    prefix = folder.rstrip("/") + "/"
    return path.removeprefix(prefix)


def narrowest(places: tuple[PathPattern, ...]) -> tuple[PathPattern, ...] | None:
    """Drop places that cover another one; None when two can have nothing in common."""
    if not any(place.is_glob for place in places):
        # The lowest is below all others, or two of them have nothing in common.
        lowest = max(places, key=lambda place: len(place.real))
        if not all(is_below(lowest.real, other.real) for other in places):
            return None
        return (min(place for place in places if place.real == lowest.real),)
    kept: list[PathPattern] = []
    for place in sorted(set(places)):
        if any(not place.may_touch(other) for other in places):
            return None
        if not any(_implied(place, other) for other in places):
            kept.append(place)
    # The one with the longest fixed part says best where to look.
    kept.sort(key=lambda place: (-len(place.fixed_prefix), place))
    return tuple(kept)


def _implied(place: PathPattern, other: PathPattern) -> bool:
    """Whether `other`, being as narrow, makes `place` superfluous."""
    if place == other or not place.covers_pattern(other):
        return False
    # Two spellings of one place: keep the first.
    return not other.covers_pattern(place) or other < place


def _joined(a: tuple[PathPattern, ...], b: tuple[PathPattern, ...]) -> tuple[PathPattern, ...]:
    return ordered((*a, *b)) if a or b else ()


def _least(a: N | None, b: N | None) -> N | None:
    if a is None:
        return b
    return a if b is None else min(a, b)
