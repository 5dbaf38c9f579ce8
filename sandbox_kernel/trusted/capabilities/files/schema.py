"""What can be asked of files."""

from __future__ import annotations

from dataclasses import dataclass

from ....policy.model import Mode


@dataclass(frozen=True)
class FileRequest:
    """One access to a path.

    `shown` is the path as the cell spelled it, for messages.  `real` is the absolute path with
    every symbolic link resolved by the trusted side (the parent's, where the file itself does
    not exist).  `exists` says whether there is something at `real`; opening for writing what does
    not exist is `create`.
    """

    shown: str
    real: str
    mode: Mode
    exists: bool
