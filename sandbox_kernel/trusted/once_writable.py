"""Folders that cells could once write to, remembered over kernels.

A cell with the right to write can leave a symbolic link behind. When that right is gone, a line of
the policy that happens to name the link would lead wherever the cell wanted. So the folders are
remembered, and no right leads out of one through a link that lies in it (see `policy.resolve`).

One folder a line, in a file of the person's own (0600), only ever added to.
"""

from __future__ import annotations

import os
from pathlib import Path

from ..policy import Rights

#: A longer file is not read further (bytes); it would hold tens of thousands of folders.
_MOST_BYTES = 4_000_000


class OnceWritable:
    """The folders in the file `path`; it need not exist yet."""

    def __init__(self, path: str | Path) -> None:
        """Raises OSError when there is a file that cannot be read."""
        self._path = Path(path)
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            lines: list[bytes] = []
        else:
            with open(descriptor, "rb") as file:
                lines = file.read(_MOST_BYTES).split(b"\n")
        self.folders = {os.fsdecode(line) for line in lines if line.startswith(b"/")}

    def add(self, rights: Rights) -> bool:
        """Note what cells may write to now; True when there was something new. Raises OSError."""
        new = sorted(_writable(rights) - self.folders)
        if not new:
            return False
        self.folders.update(new)
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        with open(descriptor, "ab") as file:
            file.write(b"".join(os.fsencode(folder) + b"\n" for folder in new))
        return True


def _writable(rights: Rights) -> set[str]:
    return {
        place.fixed_prefix
        for entry in rights.file_entries
        if entry.mode != "read"
        for place in entry.places
        if "\n" not in place.fixed_prefix
    }
