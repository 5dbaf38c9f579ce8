"""What the doors do for a kernel's rights, and what the person is told of it.

The doors open and close; here their reports become problems, which are said at the next cell, and
answers of a grant or a revocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..policy import Rights
from .doors import Doors, Problem

if TYPE_CHECKING:
    from .supervisor import Supervisor

#: Files that were not committed and are named, for one cell.
_MOST_TOLD = 50


class OpenedRights:
    """The doors of one kernel, as the supervisor uses them; `doors` is None without any."""

    def __init__(self, supervisor: Supervisor, doors: Doors | None) -> None:
        self._supervisor = supervisor
        self._doors = doors

    def follow(self, rights: Rights) -> dict[str, Any]:
        """Open and close what these rights open and close; what it took, empty when nothing."""
        if self._doors is None or self._supervisor.worker is None:
            return {}
        taken = self._doors.follow(rights)
        told = {"killed": taken.killed, "still_open": taken.still_open, "shut": taken.shut}
        return {name: value for name, value in told.items() if value}

    def end_cell(self) -> None:
        """Bring what the cell staged to the host, and end the rights that were for it alone."""
        permissions = self._supervisor.permissions
        if permissions is None:
            return
        if self._doors is not None:
            done = self._doors.end_cell()
            self._supervisor.watch.committed(done.bytes, done.files)
            for refusal in done.refused[:_MOST_TOLD]:
                permissions.problem(f"{refusal.path} was not written: {refusal.reason}")
            if len(done.refused) > _MOST_TOLD:
                more = len(done.refused) - _MOST_TOLD
                permissions.problem(f"{more} more files were not written")
        permissions.end_cell()
        self.tell_problems()

    def tell_problems(self) -> None:
        """Say once, with a cell, what was left out of the rights that were asked for."""
        supervisor = self._supervisor
        if supervisor.permissions is not None:
            for text in supervisor.permissions.take_untold():
                told = {"name": "stderr", "text": f"sandbox: {text}\n"}
                supervisor.channels.publish("stream", told, supervisor.last_parent)

    def not_opened(self, problem: Problem) -> None:
        """Called for a right that a door could not open."""
        if self._supervisor.permissions is not None:
            text = f"{problem.what} could not be granted: {problem.why}"
            self._supervisor.permissions.problem(text)
