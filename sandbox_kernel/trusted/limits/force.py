"""What is done about a limit that was reached: it is told, raised in the cell, and enforced.

Each step is an event with the supervisor's monotonic clock in `at`. Which step is due is decided in
`escalation`; the words are those of `wording`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Protocol

from . import wording
from .sampling import MonitorFailed, Sample
from .verdict import Reached

_log = logging.getLogger(__name__)


class Host(Protocol):
    """What the monitor can have done; the supervisor does it."""

    def tell_cell(self, limit: str, text: str, used: float, allowed: float) -> None:
        """Raise `LimitExceeded` with this text in the running cell."""

    def kill_cell(self, why: str) -> None:
        """End the worker at once."""

    def drop_copy(self, why: str) -> None:
        """Give the dormant copy up; nothing happens when there is none."""

    def looked(self, sample: Sample) -> None:
        """There is a new sample. Raises `MonitorFailed`."""

    def event(self, kind: str, body: dict[str, Any]) -> None:
        """Publish a `sandbox_event`."""


@dataclass(frozen=True)
class Ended:
    """Why a cell's process was killed by the monitor: name and text of the error to show."""

    name: str
    text: str


class Force:
    """Tells and ends the cells of one kernel."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._ended: Ended | None = None
        #: Names of limits that were reached in this session, with how often.
        self.counts: dict[str, int] = {}

    def note(self, name: str) -> None:
        """A limit was reached once more."""
        self.counts[name] = self.counts.get(name, 0) + 1

    def tell(self, reached: Reached, now: float, looked_before: float) -> None:
        """Raise the exception in the cell; the look at `looked_before` did not show the breach."""
        kind, limit = reached.kind, reached.limit
        self.note(kind.name)
        text = wording.interrupted(kind.name, kind.unit, reached.used, limit, reached.scope)
        late = reached.used - limit.value if kind.name == "wall_time" else now - looked_before
        facts = {
            "at": now,
            # Seconds from the breach to the signal, at most.
            "late": late,
            "limit": kind.name,
            "used": reached.used,
            "allowed": limit.value,
            "set_by": limit.origin.place,
            "scope": reached.scope,
            "text": text,
        }
        self._host.event("limit", facts)
        self._host.tell_cell(kind.name, text, reached.used, limit.value)

    def kill(self, reached: Reached | None, grace: float) -> None:
        """End a cell that went on after the grace; `reached` is None for a person's interrupts."""
        if reached is None:
            text = (
                "The cell went on after two interrupts and the grace of "
                f"{wording.duration(grace)}, so its process was killed."
            )
            self._end("KeyboardInterrupt", text)
        else:
            kind, limit = reached.kind, reached.limit
            text = wording.killed(kind.name, kind.unit, reached.used, limit, reached.scope, grace)
            self._end("LimitExceeded", text)

    def kill_at_once(self, reached: Reached) -> None:
        """End a cell for which there is no time for a grace."""
        kind, limit = reached.kind, reached.limit
        text = wording.killed_at_once(kind.name, kind.unit, reached.used, limit, reached.scope)
        self._end("LimitExceeded", text)

    def tell_failure(self, failure: MonitorFailed) -> None:
        """What cannot be measured cannot be limited: the cell is to stop."""
        text = f"monitor: the cell's use of the machine cannot be measured: {failure}."
        self._host.event("limit", {"limit": "monitor", "text": text})
        self._host.tell_cell("monitor", text, 0.0, 0.0)

    def kill_for_failure(self, failure: MonitorFailed) -> None:
        """The cell went on although it cannot be measured."""
        self._ended = Ended("LimitExceeded", f"The monitor failed: {failure}.")
        self._host.kill_cell(f"the monitor failed: {failure}")

    def kill_unmeasured(self, failure: MonitorFailed, when: str) -> None:
        """Between two cells, or at the end of one, there is nobody to tell."""
        _log.error("the monitor failed %s: %s", when, failure)
        self._host.kill_cell(f"its use of the machine could not be measured: {failure}")

    def _end(self, name: str, text: str) -> None:
        self._ended = Ended(name, text)
        self._host.kill_cell(text)

    def take_ended(self) -> Ended | None:
        """Why the worker was killed, if it was; forgets it."""
        ended, self._ended = self._ended, None
        return ended
