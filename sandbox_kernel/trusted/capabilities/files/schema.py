"""What can be asked of files."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from ....policy.model import Mode


@dataclass(frozen=True)
class FileRequest:
    """One access to a path.

    `shown` is the path as the cell spelled it, for messages.  `real` is the absolute path with
    every symbolic link resolved by the trusted side (the parent's, where the file itself does
    not exist).  `exists` says whether there is something at `real`; opening for writing what does
    not exist is `create`.  Raises ValueError for a `real` that is not absolute and normal: a
    decision on such a path would be about another file.
    """

    shown: str
    real: str
    mode: Mode
    exists: bool

    def __post_init__(self) -> None:
        if not self.real.startswith("/") or posixpath.normpath(self.real) != self.real:
            raise ValueError(f"not an absolute, normal path: {self.real!r}")
