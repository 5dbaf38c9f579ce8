"""The working directory of the cells, in which the worker stands only while one runs.

Between cells the supervisor may mount the notebook's folder anew, or take it away. A process whose
working directory lies in it would keep the old tree, and a revocation ends whoever does. So the
worker steps out when a request is over and back in, to what is there by then, before the next.
Relative paths of background threads between cells therefore start at `/`.
"""

from __future__ import annotations

import contextlib
import os

#: The plain call: the one that cells see asks the supervisor when it fails.
_plain_change = os.chdir


def _change(path: str) -> None:
    """As the plain call; a signal may interrupt it where the notify door has it to decide."""
    while True:
        try:
            return _plain_change(path)
        except InterruptedError:
            continue


class Folder:
    """Remembers where the cells are."""

    def __init__(self) -> None:
        self.path = os.getcwd()
        self._inside = True

    def enter(self) -> None:
        """Go to where the cells were; where that is gone, stay outside."""
        try:
            _change(self.path)
        except OSError:
            return
        self._inside = True

    def leave(self) -> None:
        """Remember where the cell went and step out."""
        if not self._inside:
            return
        # Where the cell has removed it, the last known path stays.
        with contextlib.suppress(FileNotFoundError):
            self.path = os.getcwd()
        _change("/")
        self._inside = False
