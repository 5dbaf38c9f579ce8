"""The part of a kernel's rights that the file doors work from, taken out of `policy.Rights`."""

from __future__ import annotations

from dataclasses import dataclass

from ...policy.kinds.files import FileEntry
from ...policy.kinds.paths import PathPattern, ordered
from ...policy.rights import Rights


@dataclass(frozen=True)
class FileRights:
    """Entries with the text that names each in reports, and what is carved out of all of them."""

    entries: tuple[tuple[FileEntry, str], ...] = ()
    deny: tuple[PathPattern, ...] = ()
    read_only: tuple[PathPattern, ...] = ()

    def closed(self, real: str) -> PathPattern | None:
        """The pattern that closes a resolved path to everything, or None."""
        return next((d for d in self.deny if d.covers_any_spelling(real)), None)

    def unchangeable(self, real: str) -> str | None:
        """The pattern, as written, that forbids changing a resolved path, or None."""
        for pattern in (*self.deny, *self.read_only):
            if pattern.covers_any_spelling(real):
                return pattern.written
        return None


def file_rights(rights: Rights) -> FileRights:
    """What `rights` say of files."""
    entries = tuple(
        (right.entry, right.origin.place)
        for right in rights.of("files")
        if isinstance(right.entry, FileEntry)
    )
    if not entries:
        return FileRights()  # Nothing is open that could be closed again.
    closed, unchangeable = rights.carved_out
    deny = {denial.pattern for denial in rights.denials}.union(*(e.deny for e, _ in entries))
    read_only = {pattern for entry, _ in entries for pattern in entry.read_only}
    return FileRights(
        entries,
        ordered((*closed, *deny)) if deny else closed,
        ordered((*unchangeable, *read_only)) if read_only else unchangeable,
    )
