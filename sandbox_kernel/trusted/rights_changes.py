"""What clients and people order of a kernel's rights while it runs: grant, revoke, narrow, limits.

Each order is checked against what the policy allows, put in force, written to the audit log, and
told to the clients.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..policy import Grant, Origin, Request, Rights, parse_grant, parse_request
from ..policy.request import plain_request
from ..shared.errors import Denied as Refused
from .access import accesses, decide
from .approvals import StoreError
from .audit import Event
from .capabilities.out_of_bounds import out_of_bounds
from .capabilities.verdict import Denied

if TYPE_CHECKING:
    from .permissions import Permissions
    from .supervisor import Supervisor

#: Of an event that is told to the clients: its content, and what the audit log says.
_News = tuple[dict[str, Any], list[dict[str, Any]]]

_KINDS = ("files", "sockets", "modules", "environment", "display", "processes")


class RightsChanges:
    """The orders to one kernel."""

    def __init__(self, supervisor: Supervisor, permissions: Permissions) -> None:
        self._supervisor = supervisor
        self._permissions = permissions
        self._news: list[Callable[[], None]] | None = None

    @contextmanager
    def news_after(self) -> Iterator[None]:
        """Within, a change of rights is recorded and told to the clients at the end: whoever
        ordered it has the reply first.
        """
        self._news = []
        try:
            yield
        finally:
            news, self._news = self._news, None
            for tell in news:
                tell()

    def _renew(self, kind: str, event: Event, news: Callable[[], _News]) -> dict[str, Any]:
        """Have all follow what the session has by now; what it took to take access away.

        That it was changed is recorded and told also when following fails.
        """
        taken: dict[str, Any] = {}

        def tell() -> None:
            body, records = news()
            for fields in records:
                self._permissions.record(event, **fields)
            self._supervisor.event(kind, {**body, **taken})

        try:
            taken = self._permissions.renew()
        finally:
            if self._news is None:
                tell()
            else:
                self._news.append(tell)
        return taken

    def grant(self, arguments: dict[str, Any], source: Any = "client") -> dict[str, Any]:
        """Put a client's grant in force; gives its id. Raises `shared.errors.Denied`."""
        request, scope = parse_grant(arguments, Origin("the grant"))
        table = _well_formed(request)
        if not any(getattr(table, kind) for kind in _KINDS):
            raise Refused('the grant names nothing; write e.g. {"files": [{"path": "data"}]}')
        session = self._permissions.session
        grant = session.new_grant(request, source, scope)
        would = session.would(grant)
        left_out: list[str] = []
        if grant.id in would.in_part:
            denied = out_of_bounds(table, self._permissions.rights)
            left_out = [each.text for each in denied]
            before = {(right.entry, right.rule) for right in session.rights.rights}
            if left_out and before >= {(right.entry, right.rule) for right in would.rights}:
                raise Refused("nothing of that can be granted: " + "; ".join(left_out))
        self.put_in_force(grant, would)
        return {"ids": [grant.id], "left_out": left_out}

    def put_in_force(self, grant: Grant, would: Rights | None = None) -> None:
        """Let a yes hold from now on, for the running cell too.

        `would`: what the session has just said would hold with it.
        """
        self._permissions.session.add(grant, would)
        source, lasts = grant.source, grant.scope

        def news() -> _News:
            wanted = plain_request(grant.table)
            record = {"grant": grant.id, "who": source, "lasts": lasts, "text": as_text(wanted)}
            return {"id": grant.id, "by": source, "for": lasts, **wanted}, [record]

        self._renew("granted", "granted", news)

    def revoke(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Take a grant back, by its id or by what `grant` took. Raises `shared.errors.Denied`."""
        ids = arguments.get("id", arguments.get("ids"))
        if ids is not None:
            named = [ids] if isinstance(ids, str) else ids
            if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
                raise Refused("an id is a text; `ids` is a list of them")
            removed = [grant.id for grant in self._permissions.session.remove(named)]
        else:
            request, _ = parse_grant(arguments, Origin("the revocation"))
            _well_formed(request)
            removed = self._permissions.session.remove_by_words(request)
        self._forget_approvals(removed)
        records = [{"grant": identity, "who": "client"} for identity in removed]
        taken = self._renew("revoked", "revoked", lambda: ({"ids": removed}, records))
        return {"revoked": removed, **taken}

    def _forget_approvals(self, removed: list[str]) -> None:
        stored = [i.removeprefix("approval:") for i in removed if i.startswith("approval:")]
        if stored:
            try:
                self._permissions.store.revoke(now=self._permissions.clock(), ids=stored)
            except StoreError as error:
                self._permissions.problem(f"the remembered answer could not be forgotten: {error}")

    def narrow(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Leave less of a grant. Raises `shared.errors.Denied`."""
        rest = {key: value for key, value in arguments.items() if key != "id"}
        request = parse_request(rest, Origin("the narrowing"))
        _well_formed(request)
        grant = self._permissions.session.narrow(str(arguments.get("id")), request)
        record = {"grant": grant.id, "who": "client", "text": as_text(rest)}
        taken = self._renew("narrowed", "narrowed", lambda: ({"id": grant.id}, [record]))
        return {"id": grant.id, **plain_request(grant.table), **taken}

    def change_limits(self, wanted: dict[str, Any]) -> None:
        """Other limits hold, for the running cell too. Raises `shared.errors.Denied`."""
        self._supervisor.watch.check_change(wanted)
        self._permissions.session.change_limits(wanted)
        record = {"kind": "limits", "who": "client", "text": as_text(wanted)}
        self._renew("limits", "granted", lambda: ({"limits": wanted}, [record]))

    def explain(self, arguments: dict[str, Any]) -> list[dict[str, Any]]:
        """Whether each thing that a request names would be allowed, by which rule, and if not
        what would help. Raises `shared.errors.Denied` for a request that is malformed.
        """
        request = parse_request(arguments, Origin("the question"))
        _well_formed(request)
        answers = []
        for wanted in accesses(request, self._permissions.clock()):
            verdict = decide(wanted, self._permissions.rights)
            told: dict[str, Any] = {
                "kind": wanted.kind,
                "action": wanted.action,
                "resource": wanted.resource,
                "allowed": not isinstance(verdict, Denied),
            }
            if isinstance(verdict, Denied):
                told |= {"rule": verdict.rule, "remedy": verdict.remedy, "code": verdict.code}
                told["askable"] = verdict.askable
            elif verdict.right is not None:
                told |= {"rule": verdict.right.origin.place, "through": verdict.right.through}
            answers.append(told)
        return answers


def as_text(wanted: object) -> str:
    """What was ordered, for the audit log: a path may have bytes that are no text."""
    return json.dumps(wanted, default=str)


def _well_formed(request: Request) -> Any:
    if request.table is None:
        raise Refused("; ".join(map(str, request.problems)))
    return request.table
