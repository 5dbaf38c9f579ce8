"""The worker's view of its own rights: the dialect, the `sandbox` module, refusals in words.

The supervisor tells what holds, before the first cell and after every change. What a worker makes
of it is a courtesy: access is decided on the other side.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from IPython.core import interactiveshell

from ..language import DialectRules, Session
from . import api, dialect
from .denials import Denials
from .dialect_views import hide_own_frames

Ask = Callable[[str, dict[str, Any]], dict[str, Any]]


class OwnRights:
    """What one worker knows of its rights. `ask` puts a question to the supervisor."""

    def __init__(self, shell: Any, ask: Ask) -> None:
        self._shell = shell
        self._ask = ask
        self._modules: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self._installed = False
        self._session: Session | None = None
        #: Whether what runs now is a cell, or what a widget calls in it. Completion and inspection
        #: look for files that are not there (jedi's stubs); nobody is told or asked about those.
        self.cell_runs = False

    def follow(self, told: dict[str, Any]) -> None:
        """The supervisor tells what holds now; the first time, the cells' world is built."""
        gone = self._modules.keys() - told["modules"].keys()
        self._modules.clear()
        self._modules.update(told["modules"])
        self._refused.clear()
        self._refused.update(told["refused"])
        if not self._installed:
            self._installed = True
            self._install(told)
        elif self._session is not None:
            for name in gone:
                self._session.facades.forget(name)

    def _install(self, told: dict[str, Any]) -> None:
        api._connect(self._ask)
        sys.modules["sandbox"] = api
        Denials(self._tell, os.getcwd()).install()
        interactiveshell.io_open = io.open  # IPython kept the function of before.
        self._shell.register_magic_function(_show_rights, "line", "sandbox")
        rules = DialectRules(
            told["language"], self._modules, self._refused, told["policy"], told["processes"]
        )
        self._session = dialect.install(self._shell, rules)
        if self._session is None:
            hide_own_frames(self._shell)

    def _tell(self, action: str, resource: str) -> dict[str, Any]:
        if not self.cell_runs:
            return {}
        return self._ask("tried", {"action": action, "resource": resource})


def _show_rights(line: str) -> None:
    """`%sandbox` prints what this notebook may do, and which line of the policy says so."""
    print(api.describe())
