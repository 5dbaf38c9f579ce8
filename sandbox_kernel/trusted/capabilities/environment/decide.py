"""May a cell see this variable of the server's environment?  Only those that a line names."""

from __future__ import annotations

from collections.abc import Mapping

from ....policy.kinds.names import EnvironmentEntry
from ....policy.rights import Right, Rights
from ..by_name import NamedKind, look_up, not_granted
from ..verdict import Approved, Denied, approve
from .schema import EnvironmentRequest

_ENVIRONMENT = NamedKind("environment", EnvironmentEntry, "see", "KeyError")


def decide(request: EnvironmentRequest, rights: Rights) -> Approved[EnvironmentRequest] | Denied:
    """Decide on one variable."""
    found = look_up(_ENVIRONMENT, request.name, rights)
    if isinstance(found, Right):
        return approve(request, found)
    return found or not_granted(_ENVIRONMENT, request.name, request.name, rights)


def select(environ: Mapping[str, str], rights: Rights) -> dict[str, str]:
    """The part of an environment that a cell may see."""
    return {
        name: value
        for name, value in environ.items()
        if isinstance(decide(EnvironmentRequest(name), rights), Approved)
    }
