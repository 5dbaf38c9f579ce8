"""The lines of one session that could allow something, kept from one change of rights to the next.

They are the same as long as policies, places and what was taken back are, and every path that they
name leads where it led.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from . import model
from .kinds import paths
from .load import Policy
from .rights import Places, Refusal
from .rules import Bounded, lines_of, settle


class KnownLines:
    """Those of one session, which few changes of its rights change."""

    def __init__(self) -> None:
        #: Whether it is looked where the paths lead by now.
        self.looks = True
        self._given: Places | None = None
        self._settled: Places | None = None
        self._of: tuple[object, ...] = ()
        #: Paths that the lines name, as many as tell of all, and where they lead.
        self.led: dict[str, str] = {}
        #: Those of them that say more than which files nobody may change.
        self._led_reading: dict[str, str] = {}
        self._lines: tuple[tuple[Refusal, ...], Bounded] | None = None

    def settled(self, places: Places) -> Places:
        """As `settle`."""
        known = self._settled if self._given is places else None
        if known is None or (self.looks and places.canonical(places.folder) != known.folder):
            known = settle(places)
        self._given, self._settled = places, known
        return known

    def of(
        self,
        policy: Policy,
        system: Policy | None,
        settled: Places,
        revoked: Sequence[model.RequestTable],
        *,
        changes: bool = True,
    ) -> tuple[tuple[Refusal, ...], Bounded]:
        """As `lines_of`.

        changes: whether anybody asks to change files. Else it is not looked where the files lead
        that nobody may change.
        """
        wanted = (policy, system, settled, tuple(revoked))
        known = self._lines if self._of == wanted else None
        if known is not None and (not self.looks or self._lead_as_before(settled, known, changes)):
            return known
        led: dict[str, str] = {}
        protected: dict[str, str] = {}
        reading = replace(settled, canonical=_noting(settled.canonical, led))
        found = lines_of(policy, system, reading, revoked, _noting(settled.canonical, protected))
        self._of, self._lines = wanted, found
        self.led, self._led_reading = telling({**protected, **led}), telling(led)
        return found

    def _lead_as_before(
        self, places: Places, known: tuple[tuple[Refusal, ...], Bounded], changes: bool
    ) -> bool:
        led = self.led if changes or known[1].gives_changes else self._led_reading
        return all(places.canonical(path) == real for path, real in led.items())


def _noting(canonical: paths.Canonical, led: dict[str, str]) -> paths.Canonical:
    """The same, which writes down where each path leads."""

    def look(path: str) -> str:
        led[path] = real = canonical(path)
        return real

    return look


def telling(led: Mapping[str, str]) -> dict[str, str]:
    """Of paths and where they lead, those that tell of all: a path that is its own real path goes
    through no link, nor does any of those that it begins with.
    """
    plain = sorted((path for path, real in led.items() if path == real), reverse=True)
    longest: list[str] = []
    for path in plain:
        if not any(paths.is_below(other, path) for other in longest):
            longest.append(path)
    return {path: real for path, real in led.items() if path != real or path in longest}
