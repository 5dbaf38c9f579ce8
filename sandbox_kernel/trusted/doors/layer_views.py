"""Directories that list what a private layer shows: names and kinds, without anything in them.

What the worker opens relative to one comes to the door, which knows what it stands for.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping

#: Listings that are kept: more than a worker may have open.
_MOST = 300


class Views:
    """The listings of one layer, in the private directory `base`, which is made here."""

    def __init__(self, base: str) -> None:
        self._base = base
        self._made = 0
        self._stands_for: dict[str, str] = {}
        os.mkdir(base, 0o700)

    def open(self, path: str, names: Mapping[str, bool]) -> int:
        """A directory that lists `names` (True for directories) and stands for `path`."""
        self._made += 1
        view = f"{self._base}/{self._made}"
        os.mkdir(view, 0o700)
        for name, directory in names.items():
            if directory:
                os.mkdir(f"{view}/{name}")
            else:
                os.close(os.open(f"{view}/{name}", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
        self._stands_for[view] = path
        while len(self._stands_for) > _MOST:
            oldest = next(iter(self._stands_for))
            del self._stands_for[oldest]
            shutil.rmtree(oldest)
        return os.open(view, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def behind(self, path: str) -> str | None:
        """What a path in one of the listings stands for."""
        prefix = f"{self._base}/"
        if not path.startswith(prefix):
            return None
        number, _, rest = path[len(prefix) :].partition("/")
        base = self._stands_for.get(prefix + number)
        return None if base is None else f"{base}/{rest}".strip("/")
