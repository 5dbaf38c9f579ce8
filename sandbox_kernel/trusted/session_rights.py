"""The rights of one kernel's notebook over time: what was asked, said yes to, and taken back.

`policy.resolve` computes what follows from all of it; here is the state that it is computed from.
Nothing here opens or closes anything: the supervisor compares the rights before and after a change
and has the doors follow.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from ..policy import Grant, Origin, Places, Request, Rights, parse_request, resolve
from ..policy.entries import entries, meet
from ..policy.known_lines import KnownLines
from ..policy.model import RequestTable
from ..policy.resolve import YesFrom
from ..policy.rights import KIND_OF, Entry, written
from ..shared.errors import Denied
from .limits.change import changed
from .policy_files import PolicyFiles
from .real_path import one_moment

NOTEBOOK = "the notebook's metadata"
LIVE = "the control command limits"


class NoSuchGrant(Denied):
    """There is nothing to revoke or to narrow under that id or by those words."""

    code = "no-such-grant"


class SessionRights:
    """The rights of one kernel. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        policies: PolicyFiles,
        places: Places,
        request: Request,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.policies = policies
        self.places = places
        self._began = clock()
        self.request = replace(request, since=self._began)
        self.grants: dict[str, Grant] = {}
        self._revoked: list[RequestTable] = []
        self._limits: dict[str, object] = {}
        self._clock = clock
        self._numbers = itertools.count(1)
        self._lines = KnownLines()
        self._kept: Rights | None = None
        #: The same places, where it is noted which paths are looked at and where they lead: just
        #: now, and for the kept rights.
        self._watched: Places | None = None
        self._looked: dict[str, str] = {}
        #: What `_looked` is about.
        self._last: Rights | None = None
        self._led: dict[str, str] = {}
        #: Whether all that has changed since the last look at the paths is that grants ended.
        self._only_less = False
        #: When the kept rights end (seconds since the epoch).
        self._ends = math.inf

    @property
    def rights(self) -> Rights:
        """What holds now, outside of any cell's own narrowing."""
        if self._kept is None or self._clock() >= self._ends:
            self._lines.looks = not self._only_less
            try:
                self._keep(self._resolved(None))
            finally:
                self._lines.looks = True
        assert self._kept is not None
        return self._kept

    def _keep(self, rights: Rights) -> None:
        self._kept = rights
        self._ends = math.inf if rights.next_expiry is None else rights.next_expiry
        before = self._led if self._only_less else {}
        self._led = {**before, **self._lines.led, **self._looked}
        self._only_less = False

    def look_again(self) -> None:
        """Have the rights be about the places to which all paths lead by now."""
        if any(self.places.canonical(path) != real for path, real in self._led.items()):
            self._lines = KnownLines()
            self._changed()

    def _look(self, path: str) -> str:
        self._looked[path] = real = self.places.canonical(path)
        return real

    def for_cell(self, metadata: object, since: float | None = None) -> Rights:
        """What holds in a cell with this `metadata.sandbox`; it narrows and never adds.

        `since` is when the cell began, now by default.
        """
        if metadata is None:
            return self.rights
        request = parse_request(metadata, Origin("the cell's metadata"))
        return self._resolved(replace(request, since=since))

    def _resolved(self, cell: Request | None) -> Rights:
        self._looked = {}
        if self._watched is None:
            self._watched = replace(self.places, canonical=self._look)
        with one_moment():
            rights = resolve(
                self.policies.chosen,
                self._watched,
                now=self._clock(),
                system=self.policies.system,
                request=self.request,
                grants=tuple(self.grants.values()),
                revoked=self._revoked,
                cell=cell,
                began=self._began,
                known=self._lines,
            )
        if self._limits:
            own = _own_limits(cell)
            wanted = {name: value for name, value in self._limits.items() if name not in own}
            limits = changed(rights.limits, wanted, Origin(LIVE))
            rights = replace(rights, limits=limits)
        self._last = rights
        return rights

    def change_limits(self, wanted: Mapping[str, object]) -> None:
        """Other limits from now on, within `limits.max`. Raises `Denied`, and changes nothing."""
        before, self._limits = self._limits, {**self._limits, **wanted}
        try:
            self._resolved(None)
        except Denied:
            self._limits = before
            raise
        self._changed()

    def _changed(self, *, only_less: bool = False) -> None:
        """Resolve anew. What is left when grants end is what it was: no path is looked at again."""
        self._only_less = only_less and (self._kept is not None or self._only_less)
        self._kept = None

    def set_request(self, metadata: object) -> bool:
        """The notebook was saved with these wishes; True when they differ from before."""
        request = parse_request(metadata, Origin(NOTEBOOK))
        if request == self.request:
            return False
        self.request = replace(request, since=self._clock())
        self._changed()
        return True

    def move(self, places: Places) -> None:
        """The notebook lies somewhere else now."""
        self.places, self._watched = places, None
        self._changed()

    def would(self, grant: Grant) -> Rights:
        """What would hold with a grant, without adding it."""
        revoked = self._revoked
        self._revoked = self._still_revoked(grant)
        self.grants[grant.id] = grant
        try:
            return self._resolved(None)
        finally:
            del self.grants[grant.id]
            self._revoked = revoked

    def new_grant(self, request: Request, source: YesFrom, scope: Any = "session") -> Grant:
        """A grant with a fresh id, not yet in force. The request must be well-formed."""
        assert request.table is not None
        identity = f"grant-{next(self._numbers)}"
        return Grant(identity, request.table, source, scope, self._clock())

    def add(self, grant: Grant, would: Rights | None = None) -> None:
        """Put a grant in force; what it touches is no longer taken back.

        `would`: what `would` has just said of it.
        """
        self._revoked = self._still_revoked(grant)
        self.grants[grant.id] = grant
        self._changed()
        if would is not None and would is self._last:
            self._keep(would)

    def _still_revoked(self, grant: Grant) -> list[RequestTable]:
        """What was taken back and is not touched by a new yes."""
        if not self._revoked:
            return []
        given = grant.entries(self.places)

        def touched(table: RequestTable) -> bool:
            gone = [entry for entry, _, _ in entries(table, self.places, self._clock())]
            return any(meet(e, g) for e in gone for g in given)

        return [table for table in self._revoked if not touched(table)]

    def remove(self, ids: Iterable[str]) -> list[Grant]:
        """Take grants back. Raises `NoSuchGrant`, and then has changed nothing."""
        wanted = list(ids)
        for identity in wanted:
            if identity not in self.grants:
                known = ", ".join(self.grants) or "there is none"
                raise NoSuchGrant(f"no grant has the id {identity!r}; known: {known}")
        removed = [self.grants.pop(identity) for identity in wanted]
        self._changed(only_less=True)
        return removed

    def remove_by_words(self, request: Request) -> list[str]:
        """Take back what `grant` took, or what the notebook has by itself.

        Gives a name for each thing taken back. Raises `NoSuchGrant` when nothing fits.
        """
        assert request.table is not None
        wanted = [e for e, _, _ in entries(request.table, self.places, self._clock())]
        taken = []
        for identity, grant in list(self.grants.items()):
            mine = grant.entries(self.places)
            if mine and all(any(_covers(w, e) for w in wanted) for e in mine):
                del self.grants[identity]
                taken.append(identity)
        # No grant is just that: close it for the session, also as a part of a wider right.
        held = [w for w in wanted if any(meet(r.entry, w) for r in self.rights.rights)]
        if held and not taken:
            self._revoked.append(request.table)
            taken = [f"{KIND_OF[type(w)]} {written(w, self.places)}" for w in held]
        self._changed()
        if not taken:
            raise NoSuchGrant("nothing of that is granted; `status` lists what is")
        return taken

    def narrow(self, identity: str, request: Request) -> Grant:
        """Leave of a grant only what `request` says too. Raises `NoSuchGrant`."""
        if identity not in self.grants:
            raise NoSuchGrant(f"no grant has the id {identity!r}")
        assert request.table is not None
        grant = self.grants[identity]
        grant = replace(grant, narrowed=(*grant.narrowed, request.table))
        self.grants[identity] = grant
        self._changed()
        return grant

    def end_cell(self) -> list[Grant]:
        """Drop the grants that were for one cell."""
        ids = [identity for identity, grant in self.grants.items() if grant.scope == "cell"]
        return self.remove(ids) if ids else []


def _covers(wide: Entry, narrow: Entry) -> bool:
    return type(wide) is type(narrow) and meet(wide, narrow) == narrow


def _own_limits(cell: Request | None) -> frozenset[str]:
    """The limits that a cell's own metadata names."""
    if cell is None or cell.table is None or cell.table.limits is None:
        return frozenset()
    limits = cell.table.limits
    return frozenset(n for n in limits.__struct_fields__ if getattr(limits, n) is not None)
