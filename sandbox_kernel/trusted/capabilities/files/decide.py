"""May this path be opened in this way?

1. A place that `[refuse]` or a `deny` closes stays closed, whatever is granted.
2. A protected file (the notebook itself, policies, the kernel's own) is not changed, or not
   opened at all.
3. A right that includes the path and the mode allows it.
4. Else it is refused.  Only inside what some line of the policy covers does the refusal of a
   missing file say that it is missing; elsewhere all paths are refused alike: in the cell's own
   spelling, not in that of where its links lead, and with the same word for making and changing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from ....policy.kinds import files, paths
from ....policy.model import Mode, RequestedFile, RequestTable
from ....policy.problems import Origin
from ....policy.rights import Right, Rights, Rule
from .. import wording
from ..verdict import Approved, Denied, approve
from .schema import FileRequest


def decide(request: FileRequest, rights: Rights) -> Approved[FileRequest] | Denied:
    """Decide on resolved paths; no I/O."""
    closed = _closed(request, rights)
    if closed is not None:
        return closed
    including = [right for right in rights.of("files") if _includes(right.entry, request.real)]
    for right in including:
        if _permits(right, request):
            return approve(request, right)
    return _refused(request, rights, including)


def _includes(entry: object, real: str) -> bool:
    return isinstance(entry, files.FileEntry) and entry.includes(real)


def _permits(right: Right, request: FileRequest) -> bool:
    entry = right.entry
    if not isinstance(entry, files.FileEntry) or not files.allows(entry.mode, request.mode):
        return False
    if entry.denial(request.real) is not None:
        return False
    return request.mode == "read" or entry.write_denial(request.real) is None


def _closed(request: FileRequest, rights: Rights) -> Denied | None:
    def refused(code: str, why: str, origin: Origin) -> Denied:
        action = _alike(request.mode)
        return wording.closed("files", code, action, request.shown, why, origin, "PermissionError")

    for refusal in rights.refusals:
        entry = refusal.entry
        # A refusal of `read` closes the place, one of `write` forbids changes only.
        if (
            isinstance(entry, files.FileEntry)
            and (entry.mode == "read" or request.mode != "read")
            and entry.place.covers_any_spelling(request.real)
        ):
            return refused("files.refused", f"[refuse] {entry.place.written}", refusal.origin)
    for path in rights.places.closed:
        if _protects(path, request.real, rights.places.canonical):
            why = "the kernel's own files are closed to cells"
            return refused("files.protected", why, Origin(rights.policy_file))
    for denial in rights.denials:
        if denial.pattern.covers_any_spelling(request.real):
            why = f"deny {denial.pattern.written}"
            return refused("files.denied", why, denial.origin)
    if request.mode != "read":
        for path in rights.places.read_only:
            if _protects(path, request.real, rights.places.canonical):
                why = "the notebook itself and policy files are not changed by cells"
                return refused("files.protected", why, Origin(rights.policy_file))
    return None


def _protects(path: str, real: str, canonical: Callable[[str], str]) -> bool:
    return any(
        paths.literal(path, resolve).covers_any_spelling(real)
        for resolve in (canonical, lambda same: same)
    )


def _refused(request: FileRequest, rights: Rights, including: list[Right]) -> Denied:
    covering = [rule for rule in rights.rules if _would_permit(rule, request)]
    if covering and request.mode == "read" and not request.exists:
        return Denied(
            code="files.missing",
            kind="files",
            action=request.mode,
            resource=wording.visible(request.shown),
            rule=f"possible by policy {covering[0].origin.place}, but there is no such file",
            origin=covering[0].origin,
            remedy="",
            exception="FileNotFoundError",
        )
    known = covering or including
    mode = request.mode if known else _alike(request.mode)
    folder = rights.places.folder
    spelled = posixpath.normpath(posixpath.join(folder, request.shown))
    path = files.shown(request.real if known else spelled, folder)
    asked = RequestTable(files=(RequestedFile(path=paths.escaped(path), mode=mode),))
    entry = files.FileEntry((paths.literal(request.real, lambda same: same),), request.mode)
    return wording.not_granted(
        rights,
        entry,
        code="files.mode" if including else "files.not_granted",
        action=mode,
        resource=request.shown,
        request=asked,
        covers=covering,
        partly=including[0].rule if including else None,
        real=request.real,
    )


def _alike(mode: Mode) -> Mode:
    """One word for making and changing a file: which of them it is tells whether it exists."""
    return "write" if mode == "create" else mode


def _would_permit(rule: Rule, request: FileRequest) -> bool:
    entry = rule.entry
    return (
        isinstance(entry, files.FileEntry)
        and entry.includes(request.real)
        and files.allows(entry.mode, request.mode)
        and entry.denial(request.real) is None
        and (request.mode == "read" or entry.write_denial(request.real) is None)
    )
