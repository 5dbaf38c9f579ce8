"""The live yeses of one kernel: granting, narrowing and taking back, as pure functions.

The book is immutable; each operation gives a new one.  After any of them the caller resolves
again and lets the doors act on the difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import msgspec

from ..policy import model
from ..policy.entries import entries, meet
from ..policy.problems import Origin
from ..policy.request import Request, Scope, parse_grant, parse_request
from ..policy.resolve import Grant, YesFrom
from ..policy.rights import Entry, Places, Rights
from .capabilities import wording
from .capabilities.verdict import Denied

_CODES: Mapping[str, str] = {kind: f"{kind}.not_granted" for kind in model.KINDS}


@dataclass(frozen=True)
class Refused:
    """Why an operation did nothing; `denied` has a refusal for each thing out of bounds."""

    code: str
    text: str
    denied: tuple[Denied, ...] = ()


@dataclass(frozen=True)
class GrantBook:
    """Grants that hold, and what was taken back of rights that are no grants."""

    grants: tuple[Grant, ...] = ()
    revoked: tuple[model.RequestTable, ...] = ()
    count: int = 0

    def get(self, grant_id: str) -> Grant | None:
        """The grant of this id."""
        return next((grant for grant in self.grants if grant.id == grant_id), None)

    def add(
        self,
        table: model.RequestTable,
        source: YesFrom,
        scope: Scope,
        *,
        now: float,
        grant_id: str | None = None,
    ) -> tuple[GrantBook, Grant]:
        """Add a yes; what it grants is no longer taken back."""
        number = self.count + 1
        grant = Grant(grant_id or f"g{number}", table, source, scope, now)
        revoked = tuple(
            rest for taken in self.revoked if (rest := _without(taken, table)) is not None
        )
        return GrantBook((*self.grants, grant), revoked, number), grant

    def grant(
        self, arguments: Mapping[str, object], rights: Rights, *, now: float
    ) -> tuple[GrantBook, Grant] | Refused:
        """The control command `grant`: all of it, or nothing and why.

        Each entry must lie within one line of the policy, of whatever tier.
        """
        request, scope = parse_grant(arguments, Origin("grant"))
        table = _checked(request)
        if isinstance(table, Refused):
            return table
        denied = out_of_bounds(table, rights)
        if denied:
            text = "\n".join(refusal.text for refusal in denied)
            return Refused("grant.out_of_bounds", text, denied)
        return self.add(table, "client", scope, now=now)

    def revoke(
        self, arguments: Mapping[str, object], rights: Rights
    ) -> tuple[GrantBook, tuple[str, ...]] | Refused:
        """The control command `revoke`: by `id`, or by what `grant` took.

        Gives the ids that ended or shrank.  What is a right without being a grant (given, or by
        metadata) is taken back for the session; then no id is among the answer.
        """
        if "id" in arguments:
            found = self.get(str(arguments["id"]))
            if found is None:
                return Refused("revoke.unknown", f"there is no grant {arguments['id']!r}")
            kept = tuple(grant for grant in self.grants if grant is not found)
            return replace(self, grants=kept), (found.id,)
        table = _checked(parse_request(_request_part(arguments), Origin("revoke")))
        if isinstance(table, Refused):
            return table
        kept_grants: list[Grant] = []
        touched: list[str] = []
        for grant in self.grants:
            rest = _without(grant.table, table)
            if rest is grant.table:
                kept_grants.append(grant)
                continue
            touched.append(grant.id)
            if rest is not None:
                kept_grants.append(replace(grant, table=rest))
        if touched:
            return replace(self, grants=tuple(kept_grants)), tuple(touched)
        if not _held(table, rights):
            text = "no grant and no right is just that; `status` lists them"
            return Refused("revoke.unknown", text)
        return replace(self, revoked=(*self.revoked, table)), ()

    def narrow(
        self, arguments: Mapping[str, object], places: Places
    ) -> tuple[GrantBook, Grant] | Refused:
        """The control command `narrow {id, …}`: the grant becomes what is named of it."""
        found = self.get(str(arguments.get("id", "")))
        if found is None:
            return Refused("narrow.unknown", f"there is no grant {arguments.get('id')!r}")
        rest = {key: value for key, value in arguments.items() if key != "id"}
        table = _checked(parse_request(rest, Origin("narrow")))
        if isinstance(table, Refused):
            return table
        have = found.entries(places)
        for entry, kind, index in entries(table, places, found.started):
            if not any(meet(entry, other) == entry for other in have):
                text = f"{kind}[{index}] names more than the grant {found.id} has"
                return Refused("narrow.wider", text)
        narrower = replace(found, narrowed=(*found.narrowed, table))
        kept = tuple(narrower if grant is found else grant for grant in self.grants)
        return replace(self, grants=kept), narrower

    def limits(
        self, arguments: Mapping[str, object], rights: Rights, *, now: float
    ) -> tuple[GrantBook, Grant] | Refused:
        """The control command `limits {memory: "3 GB"}`, up to what the policy lets."""
        table = _checked(parse_request({"limits": dict(arguments)}, Origin("limits")))
        if isinstance(table, Refused):
            return table
        for name in model.LimitSet.__struct_fields__:
            wanted = getattr(table.limits, name)
            limit = rights.limits.get(name)
            if wanted is not None and limit is not None and wanted.value > limit.most.value:
                text = f"{name}: {wanted} is above the most of {limit.most} ({limit.origin.place})"
                return Refused("limits.above_max", text)
        return self.add(table, "client", "session", now=now)

    def after_cell(self) -> GrantBook:
        """The book without what was for one cell."""
        return replace(self, grants=tuple(g for g in self.grants if g.scope != "cell"))

    def after_restart(self) -> GrantBook:
        """The book of a restarted kernel: what is remembered for the notebook stays."""
        kept = tuple(g for g in self.grants if g.source in ("approval", "ticket"))
        return GrantBook(kept, (), self.count)

    def without_source(self, source: YesFrom) -> GrantBook:
        """The book without the grants of one source, for reading them anew."""
        return replace(self, grants=tuple(g for g in self.grants if g.source != source))


def out_of_bounds(table: model.RequestTable, rights: Rights) -> tuple[Denied, ...]:
    """A refusal for each entry that no line of the policy covers, not even after a yes."""
    denied = []
    for entry, kind, index in entries(table, rights.places, rights.now):
        if any(_covers(rule.entry, entry) for rule in rights.rules):
            continue
        line = getattr(table, kind)[index]
        denied.append(
            wording.not_granted(
                rights,
                entry,
                code=_CODES[kind],
                action=_action(line),
                resource=wording.visible(_resource(line)),
                request=msgspec.structs.replace(model.RequestTable(), **{kind: (line,)}),
                covers=[],
            )
        )
    return tuple(denied)


def _covers(rule: Entry, entry: Entry) -> bool:
    """Whether a line covers an entry, its own meters and denials aside."""
    met = meet(rule, entry)
    if met is None or met == entry:
        return met is not None
    # The line may meter or close a part; what is left is still what was meant.
    same = ("places", "mode", "host", "ports", "use", "name", "level", "what", "spawn")
    return all(getattr(met, key, None) == getattr(entry, key, None) for key in same)


def _held(table: model.RequestTable, rights: Rights) -> bool:
    wanted = [entry for entry, _, _ in entries(table, rights.places, rights.now)]
    return bool(wanted) and all(
        any(meet(right.entry, entry) is not None for right in rights.rights) for entry in wanted
    )


def _without(table: model.RequestTable, taken: model.RequestTable) -> model.RequestTable | None:
    """`table` without the entries that `taken` names; itself if none, None if nothing is left."""
    changes: dict[str, object] = {}
    for kind in model.KINDS:
        have = getattr(table, kind)
        away = getattr(taken, kind) or ()
        if have and any(_same(line, other) for line in have for other in away):
            changes[kind] = tuple(
                line for line in have if not any(_same(line, other) for other in away)
            )
    if not changes:
        return table
    rest = msgspec.structs.replace(table, **changes)
    left = any(getattr(rest, kind) for kind in model.KINDS) or rest.limits is not None
    return rest if left else None


def _same(line: object, other: object) -> bool:
    """Whether two entries of requests name the same thing, reasons aside."""
    if isinstance(line, model.Table) and isinstance(other, model.Table):
        return type(line) is type(other) and _nameless(line) == _nameless(other)
    return line == other


def _nameless(line: model.Table) -> model.Table:
    return msgspec.structs.replace(line, reason="") if hasattr(line, "reason") else line


def _request_part(arguments: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in arguments.items() if key != "for"}


def _checked(request: Request) -> model.RequestTable | Refused:
    if request.table is None:
        text = "; ".join(problem.text for problem in request.problems)
        return Refused("request.malformed", text)
    table = request.table
    if all(not getattr(table, kind) for kind in model.KINDS) and table.limits is None:
        return Refused("request.empty", "the arguments name nothing")
    return table


def _action(line: object) -> str:
    if isinstance(line, model.RequestedFile):
        return line.mode
    if isinstance(line, model.RequestedSocket):
        return "connect" if line.connect else "listen" if line.listen else "udp"
    return "import" if isinstance(line, str) else "use"


def _resource(line: object) -> str:
    if isinstance(line, model.RequestedFile):
        return line.path
    if isinstance(line, model.RequestedSocket):
        return line.connect or line.listen or line.udp or ""
    if isinstance(line, model.RequestedDisplay):
        parts = {w: getattr(line, w) for w in ("html", "javascript", "widgets")}
        return "display " + ", ".join(f"{k} = {v}" for k, v in parts.items() if v)
    return str(line) if isinstance(line, str) else "processes"
