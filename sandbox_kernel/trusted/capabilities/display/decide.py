"""May output be shown at this level?"""

from __future__ import annotations

from ....policy.kinds.choices import DisplayEntry
from ....policy.model import RequestTable
from ....policy.request import display_table
from ....policy.rights import Rights
from .. import wording
from ..verdict import Approved, Denied, approve
from .schema import DisplayRequest


def decide(request: DisplayRequest, rights: Rights) -> Approved[DisplayRequest] | Denied:
    """Decide on one setting; a right to a looser level includes the stricter ones.

    Raises ValueError for a setting or a level that does not exist.
    """
    wanted = DisplayEntry(request.what, request.level)
    asked = RequestTable(display=(display_table(request.what, request.level),))
    shown = f"display {request.what} = {request.level}"
    for refusal in rights.refusals:
        if isinstance(refusal.entry, DisplayEntry) and wanted.covers(refusal.entry):
            return wording.closed(
                "display",
                "display.refused",
                "show",
                shown,
                f"[refuse] {request.what} = {refusal.entry.level}",
                refusal.origin,
                "PermissionError",
            )
    for right in rights.of("display"):
        if isinstance(right.entry, DisplayEntry) and right.entry.covers(wanted):
            return approve(request, right)
    return wording.not_granted(
        rights,
        wanted,
        code="display.not_granted",
        action="show",
        resource=shown,
        request=asked,
        covers=wording.covering(rights, wanted),
    )
