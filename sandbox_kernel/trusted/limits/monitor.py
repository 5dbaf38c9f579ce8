"""The monitor: looks at the worker while a cell runs, and acts when a limit is reached.

It costs nothing between cells but a slow look at what background threads do, and about 60 µs for
each look. Everything that it decides stands in `verdict` and `escalation`; everything that it says,
in `wording`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ...policy.rights import Limit
from . import between_cells, walls, wording
from .answers import Answers
from .between_cells import BetweenCells
from .escalation import Escalation
from .force import Force, Host
from .person import PersonsKernels
from .sampling import MonitorFailed, Sample
from .slack import COPY_MATTERS, Slack
from .symptoms import cause, is_symptom
from .table import LIMITS
from .tree import Tree, end_children
from .turns import Turns
from .usage import numbers, together
from .verdict import Reached, exceeded, next_look, used

#: Seconds between two looks while a cell runs.
PERIOD = 0.025
#: Share of the memory limit from which shared pages are counted exactly.
NEAR = 0.85
#: Share of the memory limit at which the dormant copy is given up.
COPY_GOES = 0.97
#: Seconds between two `usage` events while a cell runs.
PUBLISH_EVERY = 1.0
#: Bytes by which the wall may stand lower and higher than where it should. It must not follow when
#: the worker lets its ballast go: that is memory for its own code, behind a cell that is full.
_WALL_STEP_UP, _WALL_STEP_DOWN = 4_000_000, 3_500_000
#: Seconds of grace where no policy says.
GRACE = 2.0

_log = logging.getLogger(__name__)


class Monitor:
    """Holds the limits of one kernel. All methods belong to the loop's thread."""

    def __init__(
        self,
        host: Host,
        limits: Mapping[str, Limit],
        session: Mapping[str, Limit] | None = None,
    ) -> None:
        """`limits` hold for a cell, `session` for all cells together; both come from a policy."""
        self.host, self.force = host, Force(host)
        self.standing = dict(limits)
        self._limits = dict(limits)
        self._session = dict(session or {})
        #: Limits for all kernels of the person, and those kernels; None where nobody counts them.
        self._person: dict[str, Limit] = {}
        self._kernels: PersonsKernels | None = None
        self.turns = Turns()
        self._spent: dict[str, float] = {}
        self._meters: dict[str, Callable[[], float]] = {}
        self.tree: Tree | None = None
        self._slack: Slack | None = None
        self._beside = 0
        self._timer: asyncio.Handle | None = None
        self._begin: Sample | None = None
        self._last: Sample | None = None
        self._at_end: Sample | None = None
        self._escalation = Escalation()
        self._failure: MonitorFailed | None = None
        self._pause = BetweenCells(self)
        self._answers = Answers()
        self._published = 0.0
        self._looked_before = self._met_at = 0.0
        self.peak_memory = 0
        self._cell_peak = 0
        self._refused: set[str] = set()

    # -- what is counted elsewhere

    def count(self, name: str, meter: Callable[[], float]) -> None:
        """Have `meter` read at each look; it only ever grows, or is a number that is held now.

        Names in use: output, messages, open_files, scratch, scratch_files, created_files, written,
        read, connections. Later calls replace earlier ones.
        """
        self._meters[name] = meter

    def _read_meters(self) -> dict[str, float]:
        return {name: meter() for name, meter in self._meters.items()}

    # -- generations and cells

    def attach(self, tree: Tree) -> None:
        """A worker came up: set its walls.

        Raises `MonitorFailed` when the operating system does not let us.
        """
        self.tree = tree
        self._last = None
        self.turns.attach(tree)
        sample = self._look()
        self._slack = Slack(sample)
        self._fit_wall(sample, always=True)
        self._choose_processors()
        self._idle()

    def join(self, kernels: PersonsKernels, limits: Mapping[str, Limit]) -> None:
        """The person has other kernels too, and `limits` hold for all of them together."""
        self._kernels, self._person = kernels, dict(limits)

    def _choose_processors(self) -> None:
        """Raises `MonitorFailed`."""
        assert self.tree is not None
        place = -1 if self._kernels is None else self._kernels.place
        self.turns.choose(self.tree, self._limits, self._person, place)

    def detach(self) -> None:
        """The worker is gone: nothing to look at until the next one."""
        self._stop_timer()
        if self._begin is not None and self._last is not None:
            self._add_up(self._last)
        if self._kernels is not None and self.tree is not None:
            try:
                self._kernels.publish(Sample(self._now()))  # A worker that is gone uses nothing.
            except MonitorFailed as failure:
                _log.error("at the end of a worker: %s", failure)
        self.tree = self._begin = self._at_end = None

    def close(self) -> None:
        """The kernel ends."""
        self.detach()
        if self._kernels is not None:
            self._kernels.close()
            self._kernels = None

    def begin_cell(self, narrowed: Mapping[str, Limit] | None = None) -> None:
        """A request goes to the worker. `narrowed`: the limits of this cell alone."""
        self._escalation, self._failure = Escalation(), None
        self.force.take_ended()
        self._answers.stop()
        if self.tree is None:
            return
        self._last, self._at_end, self._cell_peak, self._met_at = None, None, 0, 0.0
        self._refused.clear()
        self._published = self._now()
        try:
            if narrowed is not None and dict(narrowed) != self._limits:
                self._set(dict(narrowed))
            self.turns.come_back(self.tree)
            self._begin = self._last = self._look(closely=False)
        except MonitorFailed as failure:
            self._begin = self._last = Sample(self._now())
            self._fail(failure)
        begin = self._begin
        self._schedule(next_look(begin, begin, self._limits, PERIOD, person=self._person))

    def look_at_end(self) -> bool:
        """The worker says that the request is over. True when it is killed for what it would leave:
        that leaves no room for any other cell. Its request ends with it then.
        """
        if self._begin is None or self.tree is None:
            return False
        try:
            self.turns.come_back(self.tree)
            self._at_end = self.watch_copy(self._look(closely=False), self._begin)
        except MonitorFailed as failure:
            self._stop_timer()
            self.force.kill_unmeasured(failure, "at the end of a cell")
            return True
        far = self._beyond_memory(self._at_end, self._begin)
        if far is None or not far.at_once:
            return False
        self._stop_timer()
        self.force.kill_at_once(far)
        return True

    def _beyond_memory(self, sample: Sample, begin: Sample) -> Reached | None:
        memory = {n: limit for n, limit in self._limits.items() if n == "memory"}
        return exceeded(sample, begin, memory, {}, {})

    def end_cell(self) -> Sample | None:
        """The request is over; what the worker uses now, when it could be measured."""
        self._stop_timer()
        last, at_end = None, self._at_end
        if self._begin is not None and self.tree is not None:
            try:
                last = at_end
                if last is None:
                    self.turns.come_back(self.tree)
                    last = self._look(closely=False)
                self._last = last
                self._add_up(last)
                self._leave_room(last)
            except MonitorFailed as failure:
                last = None
                self.force.kill_unmeasured(failure, "at the end of a cell")
        self._begin = self._at_end = None
        self._escalation = Escalation()
        if self._limits != self.standing:
            self._set(self.standing)
        self._idle()
        return last

    def _add_up(self, last: Sample) -> None:
        assert self._begin is not None
        for kind in LIMITS:
            if kind.total:
                amount = max(used(kind, last, self._begin), 0.0)
                self._spent[kind.name] = self._spent.get(kind.name, 0.0) + amount

    def may_fork(self) -> bool:
        """Called at each fork of a cell: is there room for one more process?"""
        limit, whole = self._limits.get("processes"), self._person.get("processes")
        if self.tree is None or (limit is None and whole is None):
            return self.tree is not None
        try:
            own = self.tree.count_children()
            allowed = limit is None or own < limit.value
            if whole is not None and self._kernels is not None:
                allowed &= own + self._kernels.others().processes < whole.value
        except MonitorFailed as failure:
            _log.error("a fork was refused: %s", failure)
            return False
        if not allowed:
            self._refused.add("processes")
        return allowed

    def waits_for_person(self, waits: bool) -> None:
        """The cell has asked a person something, or has the answer: its clock stands meanwhile."""
        self._answers.wait(waits, self._now())

    def interrupted(self) -> None:
        """The person interrupts the running cell."""
        if self._begin is None:
            return
        if self._escalation.interrupt(self._now(), self.grace):
            self.host.event("interrupt", {"grace": self.grace})
            self._schedule(self.grace)

    def explain(self, name: str, text: str) -> tuple[str, str] | None:
        """The limit that an error of a cell comes from, and what to say; None for other errors."""
        if not is_symptom(name, text):
            return None
        try:
            last = self.look()
        except MonitorFailed as failure:
            _log.error("an error of a cell cannot be explained: %s", failure)
            return None
        found = cause(name, text, last, self._limits, self._refused)
        if found is None:
            return None
        kind, limit = found
        self.force.note(kind.name)
        peak = float(self._cell_peak) if kind.name == "memory" else 0.0
        return kind.name, wording.symptom(kind.name, kind.unit, kind.measure(last), peak, limit)

    # -- changing limits

    @property
    def limits(self) -> Mapping[str, Limit]:
        """What holds for the running cell, or for the next one."""
        return self._limits

    def change(self, standing: Mapping[str, Limit], running: Mapping[str, Limit]) -> None:
        """Other limits hold from now on: `running` for the cell that runs, `standing` after it.

        Raises `MonitorFailed` when the operating system does not let us set a wall.
        """
        self.standing = dict(standing)
        self._set(dict(running))
        if self._begin is not None and self._escalation.told_at is None:
            self._schedule(0.0)

    def change_session(self, session: Mapping[str, Limit]) -> None:
        """Other totals hold for the session."""
        self._session = dict(session)

    def _set(self, limits: dict[str, Limit]) -> None:
        before, self._limits = self._limits, limits
        if self.tree is not None:
            walls.apply(self.tree.worker, limits, self._beside)
            if before.get("cpus") != limits.get("cpus"):
                self._choose_processors()

    @property
    def grace(self) -> float:
        limit = self._limits.get("grace")
        return GRACE if limit is None or math.isinf(limit.value) else limit.value

    # -- looking

    def look_at_once(self, since: float) -> None:
        """What is counted elsewhere went beyond its limit at the loop's time `since`.

        Whoever takes in a flood keeps the next look waiting.
        """
        if self._begin is not None and self._escalation.told_at is None and not self._met_at:
            self._met_at = since
            self._schedule(0.0)

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _look(self, *, closely: bool = True) -> Sample:
        assert self.tree is not None
        now = self._now()
        waited = self._answers.waited(now)
        memory = self._limits.get("memory")
        near = math.inf if memory is None else memory.value * NEAR
        whole = self._person.get("memory")
        if whole is not None and self._kernels is not None:
            near = min(near, (whole.value - self._kernels.others().memory) * NEAR)
        sample = self.tree.sample(now, waited, self._read_meters, near, closely=closely)
        if sample is not None and self._kernels is not None and closely:
            self._kernels.publish(sample)
            if self._person:
                sample = replace(sample, others=vars(self._kernels.others()))
        if sample is None:  # It has just ended: what it had used is what was seen last.
            return replace(self._last or Sample(now), clock=now, waited=waited)
        self.peak_memory = max(self.peak_memory, sample.memory)
        self._cell_peak = max(self._cell_peak, sample.memory)
        return sample

    def _tick(self) -> None:
        self._timer = None
        if self.tree is None or self._begin is None:
            return
        try:
            sample = self._look()
        except MonitorFailed as failure:
            self._fail(failure)
            self._schedule(PERIOD)
            return
        before, self._last = self._last, sample
        self._looked_before = before.clock if before is not None else sample.clock
        if self._met_at:
            self._looked_before, self._met_at = self._met_at, 0.0
        try:
            sample = self._last = self.watch_copy(sample, self._begin)
            self.host.looked(sample)
            self._fit_wall(sample)
            self.turns.hold(self.tree)
            self.turns.give_way(self.tree, sample, self._begin)
        except MonitorFailed as failure:
            self._fail(failure)
        reached = exceeded(
            sample, self._begin, self._limits, self._spent, self._session, self._person
        )
        if reached is not None and self._escalation.reach(reached, sample.clock):
            self.force.tell(reached, sample.clock, self._looked_before)
        ends_at = self._escalation.ends_at(self.grace)
        if reached is not None and reached.at_once:
            self.force.kill_at_once(reached)
            return
        if ends_at is not None and sample.clock >= ends_at:
            if self._failure is not None and self._escalation.reached is None:
                self.force.kill_for_failure(self._failure)
            else:
                self.force.kill(self._escalation.reached, self.grace)
            return
        if sample.clock - self._published >= PUBLISH_EVERY:
            self._published = sample.clock
            self.host.event("usage", self.usage())
        wait = next_look(sample, self._begin, self._limits, PERIOD, before, self._person)
        if ends_at is not None:
            wait = max(min(PERIOD, ends_at - sample.clock), 0.001)
        self._schedule(wait)

    def _fit_wall(self, sample: Sample, *, always: bool = False) -> None:
        """Keep the wall where memory in use would meet the limit, whatever else is reserved."""
        assert self.tree is not None
        assert self._slack is not None
        memory = self._limits.get("memory")
        beside = self._slack.bytes(sample, math.inf if memory is None else memory.value)
        if always or not -_WALL_STEP_DOWN < beside - self._beside < _WALL_STEP_UP:
            self._beside = beside
            walls.apply(self.tree.worker, self._limits, beside)

    def _leave_room(self, sample: Sample) -> None:
        """Raises `MonitorFailed`."""
        memory = self._limits.get("memory")
        if memory is not None and self._slack is not None:
            moved = self._slack.leave_room(sample, memory.value)
            self._fit_wall(sample, always=moved)

    def watch_copy(self, sample: Sample, begin: Sample) -> Sample:
        """Give up a copy that is none or too dear; what is used then. Raises `MonitorFailed`.

        begin: what was used when the cell began, or the time between two. A worker that alone has
        gone so far that it is about to end keeps its copy, which is to go on.
        """
        assert self.tree is not None
        memory = self._limits.get("memory")
        if sample.copy_runs:
            self.host.drop_copy("the dormant copy did not sleep")
        elif self.tree.overdue(sample.clock):
            self.host.drop_copy("there was no copy in time")
            end_children(self.tree)
        elif (
            memory is not None
            and sample.copy >= memory.value * COPY_MATTERS  # Else it would gain next to nothing.
            and sample.memory > memory.value * COPY_GOES
        ):
            alone = replace(sample, memory=sample.memory - sample.copy, copy=0)
            beyond = self._beyond_memory(alone, begin)
            # A cell ends within the grace; between two only what is far beyond is ended.
            if beyond is not None and (self._begin is not None or beyond.at_once):
                return alone
            self.host.drop_copy(
                f"worker and copy together came to {wording.size(sample.memory)} of the "
                f"{memory.amount} that are allowed"
            )
        else:
            return sample
        return self._look()

    def _fail(self, failure: MonitorFailed) -> None:
        """What cannot be measured cannot be limited: the cell stops."""
        self._failure = failure
        ends_at = self._escalation.ends_at(self.grace)
        if ends_at is None:
            _log.error("the monitor failed: %s", failure)
            self._escalation.told_at = self._now()
            self.force.tell_failure(failure)
        elif self._now() >= ends_at:
            self.force.kill_for_failure(failure)

    # -- between cells

    def _idle(self) -> None:
        if self.tree is not None and self._begin is None:
            self._pause = BetweenCells(self)
            self._schedule(between_cells.FIRST, idle=True)

    def _idle_tick(self) -> None:
        self._timer = None
        if self.tree is not None and self._begin is None:
            wait = self._pause.look()
            if wait is not None:
                self._schedule(wait, idle=True)

    # -- numbers

    def usage(self) -> dict[str, Any]:
        """Numbers for `status` and the `usage` event: seconds, bytes, pieces."""
        body = numbers(self._limits, self._last, self._begin, self.peak_memory)
        if self._person and self._last is not None:
            body["person"] = together(self._person, self._last)
        return body

    def look(self) -> Sample:
        """Look now, so that `usage` is of this moment. Raises `MonitorFailed`."""
        if self.tree is not None:
            self._last = self._look()
        return self._last or Sample(self._now())

    # -- the timer

    def _schedule(self, wait: float, *, idle: bool = False) -> None:
        self._stop_timer()
        callback = self._idle_tick if idle else self._tick
        loop = asyncio.get_running_loop()
        # What is due now goes before what has arrived meanwhile.
        self._timer = loop.call_later(wait, callback) if wait > 0 else loop.call_soon(callback)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
