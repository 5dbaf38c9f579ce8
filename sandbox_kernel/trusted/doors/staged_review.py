"""What a staged grant may change: the decision, without any input or output.

A staged grant lets the worker write into a private layer. When its cell ends, two listings are
compared: `lower`, what the granted place holds on the host, and `upper`, what the private layer
holds. Each difference is a change or a refusal; nothing else reaches the host.

| in the upper layer            | create          | append                 | write   |
|-------------------------------|-----------------|------------------------|---------|
| new regular file              | yes             | yes                    | yes     |
| regular file over a file      | no              | old content is prefix  | yes     |
| new directory                 | yes             | yes                    | yes     |
| whiteout (a removal)          | no              | no                     | yes     |
| opaque directory (replaced)   | no              | no                     | yes     |
| symbolic link                 | no              | no                     | yes     |
| device, FIFO, socket          | no              | no                     | no      |
| anything at a denied path     | no              | no                     | no      |
| anything outside every rule   | no              | no                     | no      |

Each mode includes those before it. Meters (`max_bytes`, `max_count`) are counted in path order
over the whole life of the grant: a file that no longer fits is refused, a smaller one after it
may still pass. Paths are relative to the staged place, with `/` between the parts, and never
start with one.

What all changes of a cell come to is bounded too: a file may claim a size that the private layer
never held (a hole), and the commit would write all of it. The time of a review grows with the
number of entries, not with its square: a cell chooses how many there are.
"""

from __future__ import annotations

import bisect
import enum
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field


class Kind(enum.Enum):
    """What an entry of a listing is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    WHITEOUT = "whiteout"
    SPECIAL = "special"


class Mode(enum.Enum):
    """The file modes of the policy vocabulary."""

    READ = "read"
    CREATE = "create"
    APPEND = "append"
    WRITE = "write"


@dataclass(frozen=True, slots=True)
class LowerEntry:
    """An entry of the granted place on the host.

    size: bytes of a regular file, else 0.
    """

    kind: Kind
    size: int = 0


@dataclass(frozen=True, slots=True)
class UpperEntry:
    """An entry of the private layer.

    size: bytes of a regular file, else 0.
    opaque: a directory that hides what the host has below it.
    extends: for a regular file over a regular file: the host's content is a prefix of this one.
        None where nobody compared them, which `append` takes as no.
    same: for a regular file over a regular file: the content is equal, so nothing changed.
    """

    kind: Kind
    size: int = 0
    opaque: bool = False
    extends: bool | None = None
    same: bool = False


@dataclass(frozen=True, slots=True)
class StageRule:
    """One grant inside a staged place.

    path: the granted path, relative to the staged place; "" is the place itself.
    directory: the grant covers everything below `path`; else exactly `path`.
    max_bytes: bytes that the grant may add in all, None for no limit.
    max_count: new files that the grant may make in all, None for no limit.
    name: how refusals call the grant, for example its line in the policy.
    """

    path: str
    directory: bool
    mode: Mode
    max_bytes: int | None = None
    max_count: int | None = None
    name: str = ""

    def covers(self, path: str) -> bool:
        """Whether `path` is the grant's own file or lies below its directory."""
        if path == self.path:
            return True
        return self.directory and (not self.path or path.startswith(self.path + "/"))


@dataclass(frozen=True, slots=True)
class Spent:
    """What a grant has used up: bytes written, files made."""

    bytes: int = 0
    files: int = 0


class Act(enum.Enum):
    """What a commit does for one path."""

    MAKE_DIRECTORY = "make_directory"
    CREATE = "create"
    REPLACE = "replace"
    APPEND = "append"
    LINK = "link"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class Change:
    """One allowed change.

    size: the bytes that it counts for on the meter: all of a new content, or what is appended.
    keep: for APPEND, the bytes of the host's file that stay before them.
    """

    act: Act
    path: str
    size: int = 0
    rule: StageRule | None = None
    keep: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """One change that does not reach the host, and why."""

    path: str
    code: str
    reason: str


@dataclass(frozen=True, slots=True)
class Review:
    """The outcome: changes in the order in which they are to be made, refusals, new meters."""

    changes: tuple[Change, ...]
    refused: tuple[Refusal, ...]
    spent: Mapping[StageRule, Spent] = field(default_factory=dict)


Deny = Callable[[str], str | None]
"""Called with a path of the staged place: the line that forbids changing it, or None."""


def nothing_denied(path: str) -> str | None:
    """The `Deny` of a place without deny lines."""
    return None


def review(
    lower: Mapping[str, LowerEntry],
    upper: Mapping[str, UpperEntry],
    rules: Iterable[StageRule],
    *,
    deny: Deny = nothing_denied,
    spent: Mapping[StageRule, Spent] | None = None,
    placeholders: Iterable[str] = (),
    room: int | None = None,
) -> Review:
    """Compare the private layer with the host and decide change by change.

    `room` are the bytes that all changes together may write, None for no bound.
    `placeholders` are entries of the upper layer that the trusted side put there as mount
    points; they are neither changes nor refusals while they are empty.
    """
    ordered = tuple(rules)
    listed = _Listing(lower)
    meters = {rule: (spent or {}).get(rule, Spent()) for rule in ordered}
    kept = frozenset(placeholders)
    changes: list[Change] = []
    removals: list[Change] = []
    refused: list[Refusal] = []
    for path in sorted(upper, key=lambda p: p.split("/")):
        entry = upper[path]
        if not path or path in kept:
            continue
        below = lower.get(path)
        if entry.kind is Kind.DIRECTORY and not entry.opaque and below is not None:
            if below.kind is Kind.DIRECTORY:
                continue  # a merged directory: its entries are looked at one by one
        elif entry.same and below is not None and below.kind is Kind.FILE:
            continue
        if entry.kind is Kind.WHITEOUT and below is None:
            continue  # made and removed again, or a mask of ours that nothing lies under
        if entry.kind is Kind.DIRECTORY and any(k.startswith(path + "/") for k in kept):
            continue  # leads to a mount point of ours
        line = deny(path)
        if line is not None:
            refused.append(Refusal(path, "denied", f"{line} covers it"))
            continue
        rule = _rule_for(path, ordered)
        if rule is None:
            if entry.kind is Kind.DIRECTORY and not entry.opaque and _leads_to(path, ordered):
                changes.append(Change(Act.MAKE_DIRECTORY, path))
                continue
            refused.append(Refusal(path, "outside", "no grant covers it"))
            continue
        verdict = _judge(path, entry, below, rule)
        if isinstance(verdict, Refusal):
            refused.append(verdict)
            continue
        if entry.opaque and below is not None and below.kind is Kind.DIRECTORY:
            hidden = [p for p in listed.below(path) if p not in upper]
            blocked = [p for p in hidden if deny(p) is not None]
            if blocked:
                refused.append(Refusal(path, "denied", f"it would remove {blocked[0]}"))
            else:
                removals += [Change(Act.REMOVE, p, rule=rule) for p in hidden]
            continue
        over = _over_meter(verdict, meters[rule], rule) or _over_room(verdict, room)
        if over is not None:
            refused.append(over)
            continue
        room = None if room is None else room - verdict.size
        meters[rule] = Spent(
            meters[rule].bytes + verdict.size,
            meters[rule].files + (verdict.act is Act.CREATE),
        )
        if verdict.act is Act.REMOVE:
            inside = listed.below(path)
            blocked = [p for p in inside if deny(p) is not None]
            if blocked:
                refused.append(Refusal(path, "denied", f"it would remove {blocked[0]}"))
                continue
            removals += [Change(Act.REMOVE, p, rule=rule) for p in inside]
            removals.append(verdict)
        else:
            if below is not None and _must_go_first(verdict, below):
                inside = listed.below(path)
                gone = sorted([path, *inside], key=lambda p: p.split("/"), reverse=True)
                changes += [Change(Act.REMOVE, p, rule=rule) for p in gone]
            changes.append(verdict)
    removals.sort(key=lambda change: change.path.split("/"), reverse=True)
    return Review(tuple(changes + removals), tuple(refused), meters)


def _rule_for(path: str, rules: tuple[StageRule, ...]) -> StageRule | None:
    """The rule that decides: the one whose path is longest, a file's own before a directory's."""
    covering = [rule for rule in rules if rule.covers(path) and rule.mode is not Mode.READ]
    if not covering:
        return None
    return max(covering, key=lambda rule: (len(rule.path), not rule.directory))


def _leads_to(path: str, rules: tuple[StageRule, ...]) -> bool:
    return any(rule.path.startswith(path + "/") for rule in rules if rule.mode is not Mode.READ)


class _Listing:
    """The paths of a listing, so that those below one are found without looking at all."""

    def __init__(self, entries: Iterable[str]) -> None:
        self._sorted = sorted(entries)

    def below(self, path: str) -> list[str]:
        """The paths below a directory."""
        # The character after the slash: nothing below `path` sorts behind it.
        start = bisect.bisect_left(self._sorted, f"{path}/")
        return self._sorted[start : bisect.bisect_left(self._sorted, f"{path}0", start)]


def _must_go_first(change: Change, below: LowerEntry) -> bool:
    """Whether the host's entry is of a kind that a rename cannot replace."""
    if change.act is Act.MAKE_DIRECTORY:
        return below.kind is not Kind.DIRECTORY
    return below.kind is Kind.DIRECTORY


def _judge(
    path: str, entry: UpperEntry, below: LowerEntry | None, rule: StageRule
) -> Change | Refusal:
    writes = rule.mode is Mode.WRITE
    if entry.kind is Kind.SPECIAL:
        return Refusal(path, "special", "only regular files and directories are committed")
    if entry.kind is Kind.SYMLINK:
        if writes:
            return Change(Act.LINK, path, 0, rule)
        return Refusal(path, "symlink", f"mode {rule.mode.value} makes no symbolic links")
    if entry.kind is Kind.WHITEOUT:
        if writes:
            return Change(Act.REMOVE, path, 0, rule)
        return Refusal(path, "removed", f"mode {rule.mode.value} removes nothing")
    if entry.kind is Kind.DIRECTORY:
        if below is not None and not writes:
            code = "opaque" if below.kind is Kind.DIRECTORY else "exists"
            return Refusal(path, code, f"mode {rule.mode.value} replaces nothing")
        return Change(Act.MAKE_DIRECTORY, path, 0, rule)
    if below is None:
        return Change(Act.CREATE, path, entry.size, rule)
    if rule.mode is Mode.CREATE:
        return Refusal(path, "exists", "mode create changes no file that existed before")
    if rule.mode is Mode.APPEND:
        if below.kind is not Kind.FILE or not entry.extends:
            return Refusal(path, "rewritten", "mode append keeps the old content as it was")
        return Change(Act.APPEND, path, entry.size - below.size, rule, keep=below.size)
    return Change(Act.REPLACE, path, entry.size, rule)


def _over_meter(change: Change, spent: Spent, rule: StageRule) -> Refusal | None:
    if rule.max_bytes is not None and spent.bytes + change.size > rule.max_bytes:
        left = max(rule.max_bytes - spent.bytes, 0)
        return Refusal(
            change.path,
            "max_bytes",
            f"{change.size} bytes, of max_bytes {rule.max_bytes} only {left} are left",
        )
    if change.act is Act.CREATE and rule.max_count is not None and spent.files + 1 > rule.max_count:
        return Refusal(
            change.path, "max_count", f"max_count {rule.max_count} new files are used up"
        )
    return None


def _over_room(change: Change, room: int | None) -> Refusal | None:
    if room is None or change.size <= room:
        return None
    return Refusal(change.path, "room", f"{change.size} bytes, of one cell's room {room} are left")
