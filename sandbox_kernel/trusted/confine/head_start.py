"""The first worker's process, ahead of everything else that a kernel's start needs.

What it costs to bring up the worker's Python, with IPython and all, is most of a start; what the
policy has to say is needed only when the worker is sealed. So the order for it is the first thing
that a supervisor does, before it reads the connection file or imports what is not needed for this.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Iterable, Sequence

from . import environment
from .places import ENTRY, HOST_NAME, SCRATCH
from .warden_process import (
    Beginning,
    StartedWarden,
    WorkerEnds,
    begin,
    end_process,
    order_worker,
    start_process,
)


def beginning(
    python: str = sys.executable,
    entry: Sequence[str] = ENTRY,
    level: str | None = None,
    host_name: str = HOST_NAME,
    python_path: Iterable[str] = (),
) -> Beginning:
    """What a worker's process is before the policy is known. `python_path` is readable inside."""
    inherited = environment.scrub(os.environ, ()).environment
    full = environment.complete(
        inherited,
        home=f"{SCRATCH}/home",
        temporary=f"{SCRATCH}/tmp",
        python_path=python_path,
        library_path=os.environ.get("LD_LIBRARY_PATH", ""),
        user_base=(site.USER_BASE or "") if site.ENABLE_USER_SITE else "",
    )
    return Beginning((python, "-P", *entry, "3", "4"), full, level, host_name)


class HeadStart:
    """A warden that has been ordered to start a worker, perhaps. See `take`."""

    def __init__(self, process: StartedWarden) -> None:
        self.process = process
        self._beginning: Beginning | None = None
        self._ends: WorkerEnds | None = None

    @classmethod
    def start(cls, level: str | None = None) -> HeadStart:
        """Start the warden, and the worker's process where its environment is known by now.

        What of PYTHONPATH a worker can read is known only with the policy. Raises OSError.
        """
        ahead = cls(start_process())
        if not os.environ.get("PYTHONPATH"):
            ahead.order(beginning(level=level))
        return ahead

    def order(self, wanted: Beginning) -> None:
        """Start a worker like this, unless that is what was ordered last."""
        if wanted == self._beginning:
            return
        self._drop()
        self._beginning = wanted
        begin(self.process, wanted)
        self._ends = order_worker(self.process)

    def take(self) -> WorkerEnds:
        """The worker that was started ahead; another one after that. Raises OSError."""
        ends, self._ends = self._ends, None
        return ends or order_worker(self.process)

    def close(self) -> None:
        """End the warden and every worker. Idempotent."""
        self._drop()
        end_process(self.process)

    def _drop(self) -> None:
        if self._ends is not None:
            self._ends.close()
            self._ends = None
