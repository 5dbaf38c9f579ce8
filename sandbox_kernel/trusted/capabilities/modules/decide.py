"""May a cell import this module?

A name in the policy covers its submodules.  What an allowed module imports for itself is not
thereby allowed to cells.  Under `language = "full"` nothing enforces the list, so everything is
approved: saying no without a wall behind it would be a lie.
"""

from __future__ import annotations

from ....policy.kinds.names import ModuleEntry
from ....policy.rights import Right, Rights
from .. import wording
from ..by_name import NamedKind, look_up, not_granted
from ..verdict import Approved, Denied, approve
from .schema import ModuleRequest

_MODULES = NamedKind("modules", ModuleEntry, "import", "ImportError", before="modules ")


def decide(request: ModuleRequest, rights: Rights) -> Approved[ModuleRequest] | Denied:
    """Decide on one dotted name."""
    if rights.language == "full":
        return approve(request, None)
    found = look_up(_MODULES, request.name, rights)
    if isinstance(found, Right):
        return approve(request, found)
    # The library as a whole is what a person would want to ask for.
    whole = request.name.partition(".")[0]
    asks_for = whole if wording.covering(rights, ModuleEntry(whole)) else request.name
    return found or not_granted(_MODULES, request.name, asks_for, rights)
