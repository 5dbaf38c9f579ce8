"""The decision on what is known by its name alone: modules, and variables of the environment.

1. A name that `[refuse]` covers stays closed, whatever is granted.
2. A right that covers the name allows it.
3. Else it is refused, with what a person could be asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ...policy.kinds.names import EnvironmentEntry, ModuleEntry
from ...policy.model import RequestTable
from ...policy.rights import Right, Rights
from . import wording
from .verdict import Denied


@dataclass(frozen=True)
class NamedKind:
    """A kind whose entries are names: what a cell does with one, and what it meets where it may
    not. `before` stands before the name in a line of `[refuse]`.
    """

    name: str
    entry: type[ModuleEntry] | type[EnvironmentEntry]
    action: str
    exception: str
    before: str = ""


def look_up(kind: NamedKind, name: str, rights: Rights) -> Right | Denied | None:
    """The right to a name, the refusal of one that is closed, or None for neither."""
    for refusal in rights.refusals:
        entry = refusal.entry
        if isinstance(entry, kind.entry) and entry.covers(name):
            return wording.closed(
                kind.name,
                f"{kind.name}.refused",
                kind.action,
                name,
                f"[refuse] {kind.before}{entry.name}",
                refusal.origin,
                kind.exception,
            )
    for right in rights.of(kind.name):
        if isinstance(right.entry, kind.entry) and right.entry.covers(name):
            return right
    return None


def not_granted(kind: NamedKind, name: str, asks_for: str, rights: Rights) -> Denied:
    """The refusal of a name that no right covers; `asks_for` is what a person would be asked."""
    wanted = kind.entry(asks_for)
    return wording.not_granted(
        rights,
        wanted,
        code=f"{kind.name}.not_granted",
        action=kind.action,
        resource=name,
        request=msgspec.structs.replace(RequestTable(), **{kind.name: (asks_for,)}),
        covers=wording.covering(rights, wanted),
        exception=kind.exception,
    )
