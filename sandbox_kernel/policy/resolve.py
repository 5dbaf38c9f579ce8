"""Which rights does a notebook have?  One pure function, `resolve`.

    rights of a cell = system policy ∩ (given ∪ requested ∪ said yes to) ∩ cell

1. *Bound.* Each line of the chosen policy meets each line of the system policy: what is left is
   what both allow, in the stricter of the two tiers.  What meets nothing is gone.  Without a
   system policy the chosen one stands alone.
2. *Refuse.* `[refuse]` of both is taken out of every line; so are the notebook file, the policy
   files (no change) and the approval store (no access).
3. *Turn on.* A `given` line is a right.  An `on_request` line becomes one where the notebook's
   metadata asks, an `ask` line where a person, a client, a remembered approval or a ticket said
   yes: the right is what the line and the asking both say, never more than either.
4. *Deny.* A `deny` of any line that is on closes its place for all of them.
5. *Narrow.* A cell's own metadata meets what is left, kind by kind; a kind that the cell does not
   mention stays as it is, an empty list leaves nothing.

Malformed metadata asks for nothing and is reported; malformed cell metadata leaves that cell
nothing.  The order of lines never matters.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from typing import Literal

from . import entries as make
from . import model
from .bounds import bounded_limits, bounded_settings, narrow_limits, person_limits
from .entries import meet
from .kinds import choices, files, paths, sockets
from .known_lines import KnownLines
from .load import Policy
from .problems import Problem
from .request import Request, Scope
from .rights import KIND_OF, Denial, Entry, Places, Right, Rights, Rule, Unmet, written
from .rules import Bounded, lines_of, settle

YesFrom = Literal["client", "person", "approval", "ticket"]

_NOTHING = model.RequestTable(
    files=(), sockets=(), modules=(), environment=(), display=(), processes=()
)


@dataclass(frozen=True)
class Grant:
    """A yes: what exactly was said yes to, by whom, for how long.

    `started` is when durations in it begin and `ends` when the whole yes does, in seconds since
    the epoch.  `narrowed` are requests that each leave less of it: kinds that one does not
    mention stay as they are.  `leads`, where a person was shown them, are the real paths to which
    the files of the table led at the yes, one each: a file that leads elsewhere by now is not what
    they said yes to.
    """

    id: str
    table: model.RequestTable
    source: YesFrom
    scope: Scope = "session"
    started: float = 0.0
    narrowed: tuple[model.RequestTable, ...] = ()
    ends: float | None = None
    leads: tuple[str, ...] | None = None

    def entries(self, places: Places) -> list[Entry]:
        """What the yes covers, before any policy bounds it."""
        found: list[Entry] = [
            entry
            for entry, _, index in make.entries(self.table, places, self.started)
            if not self._strays(entry, index)
        ]
        for table in self.narrowed:
            found = narrowed(found, table, places, self.started)
        return found

    def strayed(self, places: Places) -> list[str]:
        """The files, as written, that lead elsewhere than at the yes."""
        return [
            entry.place.written
            for entry, _, index in make.entries(self.table, places, self.started)
            if isinstance(entry, files.FileEntry) and self._strays(entry, index)
        ]

    def _strays(self, entry: Entry, index: int) -> bool:
        if self.leads is None or not isinstance(entry, files.FileEntry):
            return False
        return index >= len(self.leads) or entry.place.real != self.leads[index]


def resolve(
    policy: Policy,
    places: Places,
    *,
    now: float,
    system: Policy | None = None,
    request: Request | None = None,
    grants: Sequence[Grant] = (),
    revoked: Sequence[model.RequestTable] = (),
    cell: Request | None = None,
    began: float | None = None,
    known: KnownLines | None = None,
) -> Rights:
    """The rights that hold now, each with its line and with what turned it on.

    `request` is the notebook's metadata, `grants` every live yes (approvals and tickets
    included), `revoked` what was taken back in this session, `cell` the metadata of the cell that
    is about to run.  `now` and `began` are in seconds since the epoch: at `began` (else now) the
    given rights started, those of a request at its `since`, those of a grant when it did.  `known`
    makes the next call about the same session faster, and no different, where `places.canonical`
    says the same of a path while this runs.  Raises nothing on any request; policies have been
    checked by `load`.
    """
    settled = settle(places) if known is None else known.settled(places)
    if known is None:
        # One look at each path: all that is computed here is about the same moment.
        places = replace(settled, canonical=cache(settled.canonical))
        refusals, lines = lines_of(policy, system, places, revoked)
    else:
        places = settled
        changes = _asks_for_changes(request, grants)
        refusals, lines = known.of(policy, system, places, revoked, changes=changes)
    problems = list(lines.problems)
    start = now if began is None else began
    rights = [_given(rule, start) for rule in lines.moving if rule.tier == "given"]
    unmet: list[Unmet] = []
    if request is not None:
        problems += request.problems
        if request.table is not None:
            since = now if request.since is None else request.since
            got, missed = _asked(request.table, lines, places, since)
            rights += got
            unmet += missed
    grants = [grant for grant in grants if grant.ends is None or grant.ends > now]
    in_part = set()
    for grant in grants:
        for entry in grant.entries(places):
            got = [
                Right(make.begun(met, grant.started), rule, grant.source, grant.id, grant.ends)
                for rule in lines.of(entry)
                if (met := meet(entry, rule.entry)) is not None
            ]
            rights += got
            if not any(make.as_asked(right.entry, entry) for right in got):
                in_part.add(grant.id)
    rights, found = _without_planted_links(rights, places)
    problems += found
    limits, session, found = bounded_limits(policy, system, request, grants)
    problems += found
    # Before the cell narrows: a denial must not go with the right that brought it.
    rights, denials = _denied_everywhere(rights)
    fixed: Sequence[Right] = lines.fixed.given
    if cell is not None:
        problems += cell.problems
        table = _NOTHING if cell.table is None else cell.table
        since = now if cell.since is None else cell.since
        rights = _narrowed([*rights, *fixed], table, places, since)
        fixed = ()
        limits = narrow_limits(limits, table, cell.origin)
        rights, more = _denied_everywhere(rights)
        denials = tuple(sorted({*denials, *more}))
    others = [right for right in rights if (end := right.ends) is None or end > now]
    return Rights(
        policy=policy.name,
        policy_file=policy.file,
        system_file=None if system is None else system.file,
        digest=policy.digest + (system.digest if system else ""),
        rights=_ordered(fixed, others),
        rules=lines.rules,
        refusals=refusals,
        denials=denials,
        limits=limits,
        session_limits=session,
        person_limits=person_limits(policy, system),
        places=settled,
        in_part=frozenset(in_part),
        carved_out=lines.carved_out,
        now=now,
        next_expiry=min((right.ends for right in others if right.ends is not None), default=None),
        problems=tuple(sorted(set(problems))),
        unmet=tuple(unmet),
        **vars(bounded_settings(policy, system)),
    )


def _asks_for_changes(request: Request | None, grants: Iterable[Grant]) -> bool:
    """Whether the notebook or a yes means to change files."""
    tables = [grant.table for grant in grants]
    if request is not None and request.table is not None:
        tables.append(request.table)
    return any(file.mode != "read" for table in tables for file in table.files or ())


def _given(rule: Rule, start: float) -> Right:
    entry = make.begun(rule.entry, start)
    return rule.given if entry is rule.entry else Right(entry, rule, "given")


def _asked(
    table: model.RequestTable, lines: Bounded, places: Places, since: float
) -> tuple[list[Right], list[Unmet]]:
    """What metadata turns on, and what it asked for in vain."""
    rights: list[Right] = []
    unmet: list[Unmet] = []
    for entry, kind, _ in make.entries(table, places, since):
        rules = lines.of(entry)
        met = [(rule, found) for rule in rules if (found := meet(entry, rule.entry)) is not None]
        got = [(rule, found) for rule, found in met if rule.tier != "ask" and not _shut(found)]
        # One that its own `deny` closes is kept: `_denied_everywhere` tells others of it.
        rights += [
            Right(make.begun(found, since), rule, "request")
            for rule, found in met
            if rule.tier == "on_request"
        ]
        if not any(_as_much(found, entry) for _, found in got):
            asked = [rule for rule, found in met if rule.tier == "ask" and not _shut(found)]
            shut = [rule for rule, found in met if _shut(found)]
            unmet.append(_unmet(entry, kind, [rule for rule, _ in got], asked, shut, places))
    return rights, unmet


def _as_much(found: Entry, asked: Entry) -> bool:
    """Whether what was found is all that was asked for, denials aside."""
    if isinstance(found, files.FileEntry) and isinstance(asked, files.FileEntry):
        return (found.place.real, found.mode) == (asked.place.real, asked.mode) and len(
            found.places
        ) == 1
    if isinstance(found, sockets.SocketEntry) and isinstance(asked, sockets.SocketEntry):
        return (found.host, found.ports, found.private) == (asked.host, asked.ports, asked.private)
    return found == asked


def _shut(entry: Entry) -> bool:
    """Whether a `deny` of the line closes all of the entry."""
    return isinstance(entry, files.FileEntry) and files.carve(entry, entry.deny, ()) is None


def _unmet(
    entry: Entry,
    kind: str,
    got: Sequence[Rule],
    asked: Sequence[Rule],
    shut: Sequence[Rule],
    places: Places,
) -> Unmet:
    if asked:
        why = f"needs a person's yes ({asked[0].origin.place}, [ask])"
    elif got:
        why = f"granted in part only ({got[0].origin.place})"
    elif shut:
        why = f"closed by deny ({shut[0].origin.place})"
    else:
        why = "in no tier of the policy"
    return Unmet(kind, written(entry, places), why, bool(asked))


def _without_planted_links(
    rights: Sequence[Right], places: Places
) -> tuple[list[Right], list[Problem]]:
    """Drop rights that lead out through a link which a cell may have made itself.

    Where a cell may write to a folder, or once could, a symbolic link in that folder may be its own
    work; a right that goes through it would lead wherever the cell likes.
    """
    writable = [
        place
        for right in rights
        if isinstance(right.entry, files.FileEntry) and right.entry.mode != "read"
        for place in right.entry.places
    ]
    # A link stays when the right under which it was made has ended.
    writable += [paths.literal(folder, lambda same: same) for folder in places.once_writable]
    kept = []
    problems = []
    for right in rights:
        place = right.entry.place if isinstance(right.entry, files.FileEntry) else None
        if place is not None and place.through_link:
            planted = [
                w
                for w in writable
                if place.path != w.path
                and paths.is_below(place.written_prefix, w.fixed_prefix)
                and not paths.is_below(place.fixed_prefix, w.fixed_prefix)
            ]
            if planted:
                text = (
                    f"{place.written}: a symbolic link inside a place where cells may write is "
                    "not followed out of it"
                )
                problems.append(Problem("files.planted_link", text, right.origin))
                continue
        kept.append(right)
    return kept, problems


def _narrowed(
    rights: Sequence[Right], table: model.RequestTable, places: Places, now: float
) -> list[Right]:
    """What a cell's own metadata leaves of the notebook's rights."""
    return [
        replace(right, entry=entry)
        for right in rights
        for entry in narrowed([right.entry], table, places, now)
    ]


def narrowed(
    entries: Sequence[Entry], table: model.RequestTable, places: Places, start: float
) -> list[Entry]:
    """What a request leaves of some entries.

    A kind that it does not mention stays as it is; an empty list leaves nothing of its kind.
    """
    wanted: dict[str, list[Entry]] = {}
    for entry, kind, _ in make.entries(table, places, start):
        wanted.setdefault(kind, []).append(entry)
    kept: list[Entry] = []
    for entry in entries:
        kind = KIND_OF[type(entry)]
        others = wanted.get(kind, [])
        if getattr(table, kind) is None or (others and _other_setting(entry, others)):
            kept.append(entry)
        else:
            kept += [met for other in others if (met := meet(entry, other)) is not None]
    return kept


def _denied_everywhere(rights: Sequence[Right]) -> tuple[list[Right], tuple[Denial, ...]]:
    """Let each `deny` of a right that is on hold for all rights to files."""
    denials = {
        Denial(pattern, right.origin)
        for right in rights
        if isinstance(right.entry, files.FileEntry)
        for pattern in right.entry.deny
    }
    deny = paths.ordered(denial.pattern for denial in denials)
    kept = []
    for right in rights:
        if isinstance(right.entry, files.FileEntry):
            carved = files.carve(right.entry, deny, ())
            if carved is None:
                continue
            if carved is not right.entry:
                right = replace(right, entry=carved)
        kept.append(right)
    return kept, tuple(sorted(denials))


def _other_setting(entry: Entry, mentioned: Sequence[Entry]) -> bool:
    """Whether an entry is a display setting of which nothing is said."""
    return isinstance(entry, choices.DisplayEntry) and entry.what not in {
        other.what for other in mentioned if isinstance(other, choices.DisplayEntry)
    }


def _ordered(fixed: Iterable[Right], others: Iterable[Right]) -> tuple[Right, ...]:
    """All of them in the same order, however the lines stood. `fixed` are unique and in order."""
    unique: dict[object, Right] = {}
    for right in others:
        unique[right.entry, right.through, right.grant_id, right.origin] = right
    found = list(fixed)
    if len(unique) < len(found):
        for right in unique.values():
            insort(found, right, key=_ORDER)
    else:
        found += unique.values()
        found.sort(key=_ORDER)
    return tuple(found)


_ORDER = attrgetter("order")
