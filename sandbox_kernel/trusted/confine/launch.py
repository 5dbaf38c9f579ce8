"""Start workers behind walls: the supervisor's side of the warden.

    warden = Warden.start(spec)        # or with a head start, before the policy is known
    generation = warden.launch()       # at once; the worker's Python is starting meanwhile
    await generation.sealed()          # plan sent, walls tried from inside and outside

Each launch has a socketpair, pipes and a scratch of its own. A worker that is not sealed gets no
cell: `sealed` raises ConfinementFailed with what is missing and how to get it, and kills it.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...shared.wire import decode, encode
from . import mounts, roots
from ._sys_affinity import SameProcessor
from .broker import Broker, DoorFactory
from .generation import Generation, memory_files
from .head_start import HeadStart, beginning
from .packets import Receiver, send
from .spec import WorkerSpec
from .warden_process import start_process

__all__ = ["Generation", "MountFailed", "Warden", "WardenLost"]

TRUSTED = str(Path(__file__).resolve().parents[1])
#: Seconds for the warden's answer to a mount command; it does a few system calls.
MOUNT_ANSWER_SECONDS = 5.0
#: Seconds for which it waits awake for an order that was announced (as `warden` has it).
ROUSED_SECONDS = 0.002
#: Seconds to wait awake for the answer of one that is awake.
AWAKE_SECONDS = 0.0005
#: Seconds from the worker's exec to its plan being applied: the imports lie between.
SEAL_SECONDS = 60.0


class MountFailed(OSError):
    """The warden could not carry out a mount command. `errno` is EBUSY for one in use."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(code, text)


class WardenLost(Exception):
    """The warden is gone, or what it did with an order is not known: no worker may go on then."""


class Warden:
    """The running warden process."""

    def __init__(self, spec: WorkerSpec, ahead: HeadStart) -> None:
        self.spec = spec
        self.pid = ahead.process.pid
        self._ahead = ahead
        self._control = ahead.process.control
        self._counter = 0
        self._answers = Receiver(self._control, 8)
        self._turns = SameProcessor()
        #: Whether it has answered since a worker was ordered.
        self._idle = False
        #: Whether it can be awake while we are.
        self._beside = len(os.sched_getaffinity(0)) > 1
        #: Until when it waits awake (time.monotonic).
        self._roused = 0.0
        self._roots = _roots(spec)
        self.warnings = self._roots.warnings
        level = spec.forced_level.value if spec.forced_level else None
        wanted = beginning(
            spec.python, spec.entry, level, spec.host_name, _python_path(self._roots)
        )
        ahead.order(wanted)
        inherited = wanted.environment
        self._environment = {n: v for n, v in spec.environment.items() if n not in inherited}
        self._send({"do": "plan", "tree": vars(_tree(spec, self._roots))})

    @classmethod
    def start(cls, spec: WorkerSpec, ahead: HeadStart | None = None) -> Warden:
        """Start the warden, or go on with one; returns before it is ready.

        Raises OSError when it cannot be run.
        """
        return cls(spec, ahead or HeadStart(start_process(spec.python)))

    def launch(self, door: DoorFactory = Broker) -> Generation:
        """Order a fresh worker; what is left of the last one is killed first."""
        self._idle = False
        ends = self._ahead.take()
        return Generation(self.spec, self._roots, self._environment, door, ends)

    def door(self, message: Mapping[str, object]) -> tuple[dict[str, Any], list[int]]:
        """Have an operation of `door_mounts` carried out; its answer and descriptors.

        Raises MountFailed, which is an OSError with the number that the warden met, and WardenLost.
        """
        return self._ask({**message, "do": "door"})

    def rouse(self, source: str | None = None) -> None:
        """Tell it that an operation comes within a millisecond, so that it is awake by then.

        To wake what sleeps takes longer than most operations do; meanwhile there is other work.
        source: what it may be about to mount, an absolute path.
        """
        if self._idle and self._beside:
            order = {"do": "rouse"} if source is None else {"do": "rouse", "source": source}
            with contextlib.suppress(OSError):  # It is gone: whoever needs it is told.
                send(self._control, encode(order))
                self._roused = time.monotonic() + ROUSED_SECONDS

    def close(self) -> None:
        """End the warden and with it every worker; their scratch is removed. Idempotent."""
        self._ahead.close()

    def _send(self, message: dict[str, Any]) -> None:
        send(self._control, encode(message))

    def _ask(self, message: dict[str, Any]) -> tuple[dict[str, Any], list[int]]:
        self._counter += 1
        # It must not be held while it makes a worker: what it has answered, it is through with.
        awake, self._roused = time.monotonic() < self._roused, 0.0
        held = self._idle and not awake and self._turns.hold(self.pid)
        try:
            try:
                self._send({**message, "re": self._counter})
            except OSError as error:
                raise WardenLost(f"the warden is gone: {error}") from None
            answer, got = self._answer(awake=awake)
        finally:
            if held:
                self._turns.let_go(self.pid)
            self._turns.release()
        self._idle = True
        if "error" in answer:
            raise MountFailed(answer["error"], answer["errno"])
        return answer, got

    def _answer(self, *, awake: bool) -> tuple[dict[str, Any], list[int]]:
        """The answer to the last order. Raises `WardenLost`."""
        while True:
            received = (awake and self._soon()) or self._later()
            if received is None:
                raise WardenLost(f"the warden did not answer for {MOUNT_ANSWER_SECONDS:g} s")
            data, fds = received
            if not data:
                raise WardenLost("the warden is gone")
            answer: dict[str, Any] = decode(data)
            if answer.get("re") == self._counter:
                return answer, fds
            for fd in fds:  # An answer that came too late: whoever waited for it has given up.
                os.close(fd)

    def _soon(self) -> tuple[bytes, list[int]] | None:
        """The answer of one that is awake, waited for awake: None when it takes longer."""
        end = time.monotonic() + AWAKE_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(BlockingIOError):
                return self._answers.receive(socket.MSG_DONTWAIT)
        return None

    def _later(self) -> tuple[bytes, list[int]] | None:
        """The answer, waited for asleep; None when none comes."""
        readable, _, _ = select.select([self._control], [], [], MOUNT_ANSWER_SECONDS)
        return self._answers.receive() if readable else None


def _roots(spec: WorkerSpec) -> roots.Roots:
    return roots.find_roots(
        roots.Interpreter.running(),
        home=os.path.expanduser("~"),
        library_path=os.environ.get("LD_LIBRARY_PATH", ""),
        extra=spec.read_roots,
        programs=spec.spawn,
    )


def _tree(spec: WorkerSpec, found: roots.Roots) -> mounts.Tree:
    return mounts.tree(
        found,
        working_directory=spec.working_directory,
        writable_points=spec.writable_points,
        masks=(TRUSTED,),
        memory_files=memory_files(),
        scratch_bytes=spec.scratch_bytes,
        shared_memory_bytes=spec.shared_memory_bytes,
    )


def _python_path(found: roots.Roots) -> list[str]:
    """The entries of our own PYTHONPATH that the worker can read."""
    readable = (*found.trees, *found.files, *found.listed)
    entries = [os.path.abspath(e) for e in os.environ.get("PYTHONPATH", "").split(":") if e]
    return [
        entry
        for entry in entries
        if any((os.path.realpath(entry) + "/").startswith(tree + "/") for tree in readable)
    ]
