"""Which part of a request can no yes grant?  For `grant`, before anything is changed.

Each entry of the request must lie within one line of the policy, of whatever tier; the answer has
an ordinary refusal, with rule and remedy, for each entry that does not.
"""

from __future__ import annotations

import msgspec

from ...policy import model
from ...policy.entries import as_asked, entries, meet
from ...policy.rights import Entry, Rights
from . import wording
from .verdict import Denied


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
                code=f"{kind}.not_granted",
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
    return met is not None and as_asked(met, entry)


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
