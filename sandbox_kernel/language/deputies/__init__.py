"""Deputies: trusted code that acts on a cell's behalf, held to what the cell itself may do.

A deputy evaluates text, follows names or calls back with powers of its own. Two means, in this
order: give the deputy the dialect's own compiler and attribute guard (it loses the power), or hand
the cell a version that refuses the dangerous use. Each module here is one family of deputies.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import evaluators, libraries, pickles, running, standard

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Deputies"]


class Deputies:
    """The deputies of one session.

    ``replacements`` is read by the facades: module, name, and what the cell gets for it.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._injected: set[str] = set()
        self.replacements: dict[str, dict[str, Any]] = {}
        self._makers: dict[str, Callable[[Session, Any], dict[str, Any]]] = {
            **standard.REPLACEMENTS,
            **running.REPLACEMENTS,
            **pickles.REPLACEMENTS,
            **libraries.REPLACEMENTS,
        }

    def settle(self) -> None:
        """Prepare the deputies of every module that came in since the last call."""
        for name in list(self._makers):
            module = sys.modules.get(name)
            if module is not None:
                maker = self._makers.pop(name)
                self.replacements[name] = maker(self._session, module)
        for name, inject in evaluators.INJECTIONS.items():
            module = sys.modules.get(name)
            if module is not None and name not in self._injected:
                self._injected.add(name)
                inject(self._session, module)
