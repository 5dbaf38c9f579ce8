"""The lines that could allow something: a policy's, bounded by the system policy, less what is
refused.

A line of the chosen policy meets each line of the system policy; what is left is what both allow,
in the stricter of the two tiers.  Then `[refuse]` of both, protected files and what was taken
back in the session are carved out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from operator import attrgetter

from . import entries as make
from . import model
from .entries import meet
from .kinds import choices, files, names, paths, sockets
from .load import Policy
from .problems import Origin, Problem
from .rights import KIND_OF, Entry, Places, Refusal, Right, Rule, written

#: Places that are closed to every right, and those that no right may change.
CarvedOut = tuple[tuple[paths.PathPattern, ...], tuple[paths.PathPattern, ...]]


@dataclass(frozen=True)
class Fixed:
    """The lines that mean the same wherever the notebook lies and whatever the time is."""

    rules: tuple[Rule, ...]
    #: The rights that those of the tier `given` are.
    given: tuple[Right, ...]
    by_type: Mapping[type, tuple[Rule, ...]]


@dataclass(frozen=True)
class Bounded:
    """The lines of a policy within the system policy, in one order however they stood.

    `moving` are those for files and sockets.  `carved_out` is what `Rights` has under that name.
    """

    moving: tuple[Rule, ...]
    fixed: Fixed
    carved_out: CarvedOut
    problems: tuple[Problem, ...]

    def of(self, entry: Entry) -> tuple[Rule, ...]:
        """The lines of the entry's kind."""
        kind = type(entry)
        if kind in _MOVING:
            return tuple(rule for rule in self.moving if type(rule.entry) is kind)
        return self.fixed.by_type.get(kind, ())

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """All of them."""
        return tuple(sorted((*self.moving, *self.fixed.rules), key=_ORDER))

    @cached_property
    def gives_changes(self) -> bool:
        """Whether one that needs nobody's asking lets files be changed."""
        return any(
            rule.tier == "given"
            and isinstance(rule.entry, files.FileEntry)
            and rule.entry.mode != "read"
            for rule in self.moving
        )


_MOVING = (files.FileEntry, sockets.SocketEntry)


def settle(places: Places) -> Places:
    """Every path resolved, so that later comparisons are between resolved paths."""
    folder = places.canonical(places.folder)
    own = () if places.notebook is None else (places.notebook,)
    return replace(places, folder=folder, read_only=tuple(sorted({*places.read_only, *own})))


def lines_of(
    policy: Policy,
    system: Policy | None,
    places: Places,
    revoked: Sequence[model.RequestTable],
    protected: paths.Canonical | None = None,
) -> tuple[tuple[Refusal, ...], Bounded]:
    """What is refused, and what may be allowed beside that.

    protected: looks where the files lead that nobody may change, in place of `places.canonical`.
    """
    refusals = refusals_of(policy, places)
    if system is not None:
        refusals += refusals_of(system, places)
    refusals += taken_back(revoked, places)
    looks = protected or places.canonical
    return refusals, bounded_rules(policy, system, places, refusals, looks)


def bounded_rules(
    policy: Policy,
    system: Policy | None,
    places: Places,
    refusals: tuple[Refusal, ...],
    protected: paths.Canonical,
) -> Bounded:
    """What `policy` may allow within `system`; `protected` as in `lines_of`."""
    rules = _moving(policy, places)
    if system is not None:
        rules = _bounded(rules, _moving(system, places))
    deny, read_only = carved_out = _carved_out(refusals, places, protected)
    kept: list[Rule] = []
    problems: list[Problem] = []
    for rule in rules:
        entry = _carve(rule.entry, deny, read_only, refusals)
        if entry is None:
            continue
        if getattr(entry, "mode", None) != getattr(rule.entry, "mode", None):
            text = f"{_name(rule.entry, places)} may be read only: it is a protected file"
            problems.append(Problem("policy.protected", text, rule.origin))
        kept.append(replace(rule, entry=entry))
    others = tuple(r for r in refusals if not isinstance(r.entry, files.FileEntry))
    fixed = _fixed_rules(policy, system, others)
    moving = tuple(sorted(_unique(kept), key=_ORDER))
    return Bounded(moving, fixed, carved_out, tuple(problems))


_ORDER = attrgetter("order")


def _unique(rules: Iterable[Rule]) -> Iterable[Rule]:
    return {(rule.entry, rule.tier, rule.origin): rule for rule in rules}.values()


@lru_cache(maxsize=16)
def _fixed_rules(policy: Policy, system: Policy | None, refusals: tuple[Refusal, ...]) -> Fixed:
    """Most of a policy (a line a module), which each change of rights needs again.

    `refusals`: those of other kinds than files.
    """
    rules = _fixed(policy)
    if system is not None:
        rules = _bounded(rules, _fixed(system))
    kept = []
    for rule in rules:
        entry = _carve(rule.entry, (), (), refusals)
        if entry is not None:
            kept.append(replace(rule, entry=entry))
    found = tuple(sorted(_unique(kept), key=_ORDER))
    by_type: dict[type, list[Rule]] = {}
    for rule in found:
        by_type.setdefault(type(rule.entry), []).append(rule)
    given = sorted((rule.given for rule in found if rule.tier == "given"), key=_ORDER)
    return Fixed(found, tuple(given), {kind: tuple(rules) for kind, rules in by_type.items()})


def refusals_of(policy: Policy, places: Places) -> tuple[Refusal, ...]:
    """The lines of `[refuse]` of one policy."""
    refuse = policy.table.refuse
    found = []
    for entry, kind, index in make.entries(refuse, places, 0.0):
        origin = replace(
            policy.origin("refuse", kind, index), reason=getattr(refuse, kind)[index].reason
        )
        found.append(Refusal(entry, origin))
    for pattern, line, index in make.refused_files(refuse.files, places):
        origin = replace(policy.origin("refuse", "files", index), reason=line.reason)
        # A refusal of `read` closes the place, one of `write` only forbids changes.
        mode: model.Mode = "read" if line.mode == "read" else "write"
        found.append(Refusal(files.FileEntry((pattern,), mode), origin))
    return tuple(found)


def taken_back(revoked: Sequence[model.RequestTable], places: Places) -> tuple[Refusal, ...]:
    """A revocation is a refusal that holds for the session."""
    found = []
    for table in revoked:
        for entry, _, _ in make.entries(table, places, 0.0):
            if isinstance(entry, files.FileEntry):
                # Taking back more than reading leaves reading to whatever else allows it.
                entry = replace(entry, mode="read" if entry.mode == "read" else "write")
            found.append(Refusal(entry, Origin("revoked in this session")))
    return tuple(found)


def _moving(policy: Policy, places: Places) -> list[Rule]:
    """The lines of one policy that depend on places: files and sockets."""
    return [
        _line(policy, tier, entry, kind, index)
        for tier in model.TIERS
        for entry, kind, index in make.moving(getattr(policy.table, tier), places, None)
    ]


def _fixed(policy: Policy) -> list[Rule]:
    """The other lines of one policy, the settings at its top among them."""
    table = policy.table
    rules = [
        _line(policy, tier, entry, kind, index)
        for tier in model.TIERS
        for entry, kind, index in make.fixed(getattr(table, tier))
    ]
    for what in choices.LEVELS:
        entry = choices.DisplayEntry(what, getattr(table.display, what))
        rules.append(Rule(entry, "given", policy.origin("display", what)))
    if table.processes.spawn:
        origin = policy.origin("processes", "spawn")
        rules.append(Rule(choices.ProcessEntry(True), "given", origin))
    return rules


def _line(policy: Policy, tier: str, entry: Entry, kind: str, index: int) -> Rule:
    line = getattr(getattr(policy.table, tier), kind)[index]
    return Rule(entry, tier, replace(policy.origin(tier, kind, index), reason=line.reason))


def _bounded(rules: Sequence[Rule], outer: Sequence[Rule]) -> list[Rule]:
    by_kind: dict[type, list[Rule]] = {}
    for rule in outer:
        by_kind.setdefault(type(rule.entry), []).append(rule)
    modules = _ModuleIndex(by_kind.pop(names.ModuleEntry, []))
    found = []
    for rule in rules:
        if isinstance(rule.entry, names.ModuleEntry):
            partners = modules.near(rule.entry)
        else:
            partners = by_kind.get(type(rule.entry), [])
        for bound in partners:
            met = meet(rule.entry, bound.entry)
            if met is not None:
                tier = max(rule.tier, bound.tier, key=model.TIERS.index)
                found.append(Rule(met, tier, rule.origin, bound.origin))
    return found


class _ModuleIndex:
    """Finds lines for a module without comparing hundreds of names with hundreds."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._all = rules
        self._by_name: dict[str, list[Rule]] = {}
        self._below: dict[str, list[Rule]] = {}
        for rule in rules:
            assert isinstance(rule.entry, names.ModuleEntry)
            self._by_name.setdefault(rule.entry.name, []).append(rule)
            parts = rule.entry.name.split(".")
            for length in range(1, len(parts)):
                self._below.setdefault(".".join(parts[:length]), []).append(rule)

    def near(self, entry: names.ModuleEntry) -> Sequence[Rule]:
        """The lines for the module, for those above it, for those below it."""
        if entry.name == "*":
            return self._all
        parts = entry.name.split(".")
        found = list(self._by_name.get("*", ()))
        for length in range(1, len(parts) + 1):
            found += self._by_name.get(".".join(parts[:length]), ())
        return found + self._below.get(entry.name, [])


def _carved_out(
    refusals: Sequence[Refusal], places: Places, protected: paths.Canonical
) -> CarvedOut:
    """What is taken out of every grant of files: closed places, and unchangeable ones."""
    deny: set[paths.PathPattern] = set()
    read_only: set[paths.PathPattern] = set()
    for refusal in refusals:
        if isinstance(refusal.entry, files.FileEntry):
            (deny if refusal.entry.mode == "read" else read_only).add(refusal.entry.place)
    for target, own, canonical in (
        (deny, places.closed, places.canonical),
        (read_only, places.read_only, protected),
    ):
        for path in own:
            target.add(paths.literal(path, canonical))
            target.add(paths.literal(path, lambda same: same))
    return paths.ordered(deny), paths.ordered(read_only)


def _carve(
    entry: Entry,
    deny: tuple[paths.PathPattern, ...],
    read_only: tuple[paths.PathPattern, ...],
    refusals: Iterable[Refusal],
) -> Entry | None:
    """The entry without what is refused; None when nothing is left.

    What is refused inside a wider entry (one port of a range, one submodule) stays in
    `Rights.refusals`, where every decision looks first.
    """
    if isinstance(entry, files.FileEntry):
        return files.carve(entry, deny, read_only)
    for refusal in refusals:
        if _refuses(refusal.entry, entry):
            if not isinstance(entry, choices.DisplayEntry):
                return None
            lower = choices.LEVELS[entry.what]
            assert isinstance(refusal.entry, choices.DisplayEntry)
            at = lower.index(refusal.entry.level)
            if at == 0:
                return None
            entry = choices.DisplayEntry(entry.what, lower[at - 1])
    return entry


def _refuses(refused: Entry, entry: Entry) -> bool:
    """Whether a line of `[refuse]` takes the whole entry away.

    For display it is the refused level and every looser one.
    """
    if isinstance(refused, names.ModuleEntry) and isinstance(entry, names.ModuleEntry):
        return refused.covers(entry.name)
    if isinstance(refused, names.EnvironmentEntry) and isinstance(entry, names.EnvironmentEntry):
        return refused.covers(entry.name)
    if isinstance(refused, choices.DisplayEntry) and isinstance(entry, choices.DisplayEntry):
        return entry.covers(refused)
    if isinstance(refused, choices.ProcessEntry):
        return isinstance(entry, choices.ProcessEntry)
    if isinstance(refused, sockets.SocketEntry) and isinstance(entry, sockets.SocketEntry):
        return sockets.refuses(refused, entry)
    return False


def _name(entry: Entry, places: Places) -> str:
    told = written(entry, places)
    return f"{KIND_OF[type(entry)]} " + ", ".join(f"{key} {value}" for key, value in told.items())
