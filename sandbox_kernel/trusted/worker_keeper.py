"""Keeps a worker running: starts one, replaces a dead one, says when none can be had.

A dead worker is replaced by its dormant copy where there is one, with the variables of before, else
by a fresh worker. After `START_ATTEMPTS` in vain the reason is a fault, told to each cell, and each
cell is another attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ..shared.errors import KernelFault
from ..shared.messages import Ready
from .worker_process import Generation, WorkerProcess

if TYPE_CHECKING:
    from .supervisor import Supervisor

_log = logging.getLogger(__name__)

#: Seconds that a worker may take from its launch until it is ready for cells.
_START_TIME = 60.0
#: Seconds that a dormant copy may take to be ready for cells.
_WAKE_TIME = 5.0
#: Workers that may fail to come up in a row before cells are refused with the reason.
START_ATTEMPTS = 3
_NOT_ALONE = ("WorkerDied", "What the cell left running could be ended only with the process.")

Launch = Callable[[], Awaitable[Generation]]


class WorkerKeeper:
    """The workers of one supervisor, one after another."""

    def __init__(self, supervisor: Supervisor, launch: Launch) -> None:
        """`launch` gives a sealed worker, or raises `KernelFault`."""
        self._supervisor = supervisor
        self._launch = launch
        self.worker: WorkerProcess | None = None
        self.generation = 0
        self.restarts = 0
        #: The walls of the worker: their level, and what the machine lacks for a better one.
        self.level = "none yet"
        self.missing: tuple[str, ...] = ()
        self._ready = False
        self._failed_starts = 0
        self._fault: KernelFault | None = None
        #: Name and text of the error of a request whose worker died, while its copy wakes up.
        self._death: tuple[str, str] | None = None
        #: True while a copy takes the place of a worker.
        self._waking = False

    @property
    def takes_requests(self) -> bool:
        """True when a request can be worked on, or refused with a reason."""
        settling = self._supervisor.watch.copies.settling
        return self._fault is not None or (self._ready and not settling)

    def take_fault(self) -> KernelFault | None:
        """Why there is no worker, if there is none; another attempt is begun then."""
        fault, self._fault = self._fault, None
        if fault is not None:
            self._failed_starts = 0
            self._supervisor.spawn(self.start())
        return fault

    async def start(self) -> None:
        """Start a fresh worker."""
        supervisor = self._supervisor
        self._ready = False
        self.generation += 1
        try:
            generation = await self._launch()
        except KernelFault as fault:
            _log.error("the worker could not be started: %s", fault)
            self._fault = fault
            supervisor.queue.next()
            return
        self.level, self.missing = generation.level.value, generation.missing
        for path in generation.unreadable:
            supervisor.warn(f"the worker cannot read {path}, which Python needs")
        worker = self.worker = WorkerProcess(generation, supervisor)
        if supervisor.doors is not None and supervisor.permissions is not None:
            supervisor.doors.open_for(generation, supervisor.permissions.rights)
        if supervisor.permissions is not None:
            supervisor.permissions.tell_worker()  # It reads that as soon as it can.
        supervisor.watch.worker_sealed(worker)
        asyncio.get_running_loop().call_later(_START_TIME, self._check_ready, worker)

    def _check_ready(self, worker: WorkerProcess) -> None:
        if worker is self.worker and not self._ready:
            worker.kill("it was not ready in time")

    def on_ready(self, message: Ready) -> None:
        """Called when a worker says, once, that it is ready."""
        if self._ready or self.worker is None:
            return
        self._ready, self._failed_starts = True, 0
        death, self._death = self._death, None
        waking, self._waking = self._waking, False
        watch = self._supervisor.watch
        watch.worker_ready(self.worker, restored=waking)
        if waking and self._supervisor.permissions is not None:
            self._supervisor.permissions.tell_worker()
        if death is not None:
            self._supervisor.tell_death(death, watch.copies.kept(message.lost))
        self._supervisor.worker_is_ready()

    def on_gone(self, worker: WorkerProcess, reason: str) -> None:
        """Called when the worker has ended: have it replaced."""
        supervisor = self._supervisor
        was_ready, self._ready, self.worker = self._ready, False, None
        if supervisor.doors is not None:
            supervisor.doors.worker_gone()
        death, self._death = self._death, None
        waking, self._waking = self._waking, False
        if waking:
            worker.close()
            lost = supervisor.watch.copies.lost("the copy that took over ended too")
            supervisor.tell_death(death or _NOT_ALONE, lost)
        elif not was_ready:
            worker.close()
            self._failed_starts += 1
            if self._failed_starts >= START_ATTEMPTS:
                self._fault = KernelFault(f"the worker ended while it started, {reason}")
                supervisor.queue.next()
                return
        else:
            death = supervisor.watch.worker_gone(reason)
            self.restarts += death is not None
            supervisor.spawn(self._replace(worker, death))
            return
        supervisor.spawn(self.start())

    async def _replace(self, worker: WorkerProcess, death: tuple[str, str] | None) -> None:
        """Go on with the dormant copy of a worker that has died, or with a fresh worker.

        `death` is None for a worker that was ended because of what cells had left running in it.
        """
        supervisor = self._supervisor
        generation = await supervisor.watch.copies.wake(worker)
        if generation is None:
            worker.close()
            supervisor.tell_death(death or _NOT_ALONE, supervisor.watch.copies.lost())
            await self.start()
            return
        self._death, self._waking = death, True
        self.generation += 1
        if supervisor.doors is not None:
            supervisor.doors.worker_replaced(generation)
        copy = self.worker = WorkerProcess(generation, supervisor)
        asyncio.get_running_loop().call_later(_WAKE_TIME, self._check_ready, copy)
