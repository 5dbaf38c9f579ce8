"""May a cell make a child process?  How many at once is a matter of `limits.processes`."""

from __future__ import annotations

from ....policy.kinds.choices import ProcessEntry
from ....policy.model import RequestedProcesses, RequestTable
from ....policy.rights import Rights
from .. import wording
from ..verdict import Approved, Denied, approve
from .schema import ProcessRequest


def decide(request: ProcessRequest, rights: Rights) -> Approved[ProcessRequest] | Denied:
    """Decide on one child process."""
    shown = f"processes ({request.detail or request.operation})"
    for refusal in rights.refusals:
        if isinstance(refusal.entry, ProcessEntry):
            return wording.closed(
                "processes",
                "processes.refused",
                request.operation,
                shown,
                "[refuse] processes",
                refusal.origin,
                "PermissionError",
            )
    for right in rights.of("processes"):
        if isinstance(right.entry, ProcessEntry) and right.entry.spawn:
            return approve(request, right)
    wanted = ProcessEntry(True)
    return wording.not_granted(
        rights,
        wanted,
        code="processes.not_granted",
        action=request.operation,
        resource=shown,
        request=RequestTable(processes=(RequestedProcesses(spawn=True),)),
        covers=wording.covering(rights, wanted),
    )
