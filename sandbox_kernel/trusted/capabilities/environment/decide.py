"""May a cell see this variable of the server's environment?  Only those that a line names."""

from __future__ import annotations

from collections.abc import Mapping

from ....policy.kinds.names import EnvironmentEntry
from ....policy.model import RequestTable
from ....policy.rights import Rights
from .. import wording
from ..verdict import Approved, Denied, approve
from .schema import EnvironmentRequest


def decide(request: EnvironmentRequest, rights: Rights) -> Approved[EnvironmentRequest] | Denied:
    """Decide on one variable."""
    for refusal in rights.refusals:
        entry = refusal.entry
        if isinstance(entry, EnvironmentEntry) and entry.covers(request.name):
            return wording.closed(
                "environment",
                "environment.refused",
                "see",
                request.name,
                f"[refuse] {entry.name}",
                refusal.origin,
                "KeyError",
            )
    for right in rights.of("environment"):
        if isinstance(right.entry, EnvironmentEntry) and right.entry.covers(request.name):
            return approve(request, right)
    wanted = EnvironmentEntry(request.name)
    return wording.not_granted(
        rights,
        wanted,
        code="environment.not_granted",
        action="see",
        resource=request.name,
        request=RequestTable(environment=(request.name,)),
        covers=wording.covering(rights, wanted),
        exception="KeyError",
    )


def select(environ: Mapping[str, str], rights: Rights) -> dict[str, str]:
    """The part of an environment that a cell may see."""
    return {
        name: value
        for name, value in environ.items()
        if isinstance(decide(EnvironmentRequest(name), rights), Approved)
    }
