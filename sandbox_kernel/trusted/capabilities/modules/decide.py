"""May a cell import this module?

A name in the policy covers its submodules.  What an allowed module imports for itself is not
thereby allowed to cells.  Under `language = "full"` nothing enforces the list, so everything is
approved: saying no without a wall behind it would be a lie.
"""

from __future__ import annotations

from ....policy.kinds.names import ModuleEntry
from ....policy.model import RequestTable
from ....policy.rights import Rights
from .. import wording
from ..verdict import Approved, Denied, approve
from .schema import ModuleRequest


def decide(request: ModuleRequest, rights: Rights) -> Approved[ModuleRequest] | Denied:
    """Decide on one dotted name."""
    if rights.language == "full":
        return approve(request, None)
    for refusal in rights.refusals:
        entry = refusal.entry
        if isinstance(entry, ModuleEntry) and entry.covers(request.name):
            return wording.closed(
                "modules",
                "modules.refused",
                "import",
                request.name,
                f"[refuse] modules {entry.name}",
                refusal.origin,
                "ImportError",
            )
    for right in rights.of("modules"):
        if isinstance(right.entry, ModuleEntry) and right.entry.covers(request.name):
            return approve(request, right)
    # The library as a whole is what a person would want to ask for.
    wanted = ModuleEntry(request.name.partition(".")[0])
    covering = wording.covering(rights, wanted)
    if not covering:
        wanted = ModuleEntry(request.name)
        covering = wording.covering(rights, wanted)
    return wording.not_granted(
        rights,
        wanted,
        code="modules.not_granted",
        action="import",
        resource=request.name,
        request=RequestTable(modules=(wanted.name,)),
        covers=covering,
        exception="ImportError",
    )
