"""Dormant copies, seen from the supervisor: ordered, kept, given up, woken.

After each request that may have changed variables the worker is ordered to fork a copy of itself
(`sandboxed/snapshot.py`), if the rule below says so. When the worker dies, its copy takes over with
all variables of before the request that killed it.

What is trusted: nothing that the copy says. Its process id comes from the operating system
(SCM_CREDENTIALS, unix(7)), and the supervisor opens a pidfd for it. That it *is* a faithful copy
only matters to the session whose worker it was.

When one is made: `snapshot_rules.py`.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import logging
import os
import signal
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from ..shared.messages import CopyTaken, TakeCopy
from .limits import walls
from .limits.sampling import MonitorFailed, Sample, alone, number_inside
from .snapshot_rules import SECONDS_A_BYTE, Pace, Rule
from .worker_process import WorkerProcess

_log = logging.getLogger(__name__)

#: Seconds for a fresh copy to say that it sleeps, when it is needed at once.
WAKE_SECONDS = 2.0
#: Seconds between two exact looks at what a copy holds alone.
LOOK_EVERY = 0.1
_TOO_EARLY = "it ended before there was one with what the last cell did"
#: Bytes that a copy of before may hold alone and yet stay until the next one sleeps.
_SMALL = 32_000_000
#: Names of such threads. jemalloc (in pyarrow) stops and forgets its thread around a fork, and
#: starts it again when it is needed.
_HARMLESS = frozenset({b"jemalloc_bg_thd"})
_CREDENTIALS = struct.Struct("3i")


@dataclass
class Copy:
    """One copy, from the order on."""

    number: int
    link: socket.socket
    #: The worker that was to fork it, which is not its own copy.
    worker: int
    pid: int = 0
    number_inside: int = 0
    pidfd: int = -1
    taken: bool = False
    seconds: float = 0.0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    gone: bool = False
    #: The resource limits that it has when it is awake.
    walls: dict[int, tuple[int, int]] = field(default_factory=dict)
    #: Why it is not to be kept, where it was ordered only to end what cells left running.
    unwanted: str = ""

    @property
    def usable(self) -> bool:
        """The worker has forked it, nothing speaks against it, and it sleeps."""
        return self.taken and self.pid > 0 and not self.gone


@dataclass(frozen=True)
class Woken:
    """What the supervisor needs to go on with a copy; `number_inside` is its id where it lives."""

    pid: int
    number_inside: int
    pidfd: int
    channel: socket.socket
    stdout_fd: int
    stderr_fd: int


class Snapshots:
    """The copies of one kernel; at most one is kept."""

    def __init__(
        self, tell: Callable[[bool, str], None], sleeps: Callable[[int | None], None]
    ) -> None:
        """`tell` is called when the state changes: protected or not, and why not.

        `sleeps` is called with the process id of each copy that begins to sleep, and with None
        when there is none any more.
        """
        self.rule = Rule()
        self.pace = Pace()
        #: Whether what a cell has left running is ended with it (the policy's `background`).
        self.alone = False
        self.protected = False
        self.why = "no cell has run yet"
        self._tell = tell
        self._sleeps = sleeps
        self._copy: Copy | None = None
        #: True while `_copy` stands for what was before a request that has ended.
        self._stale = False
        #: Requests that have ended since the copy that is kept, by their execution count, None for
        #: those that have none: they came faster than `pace` lets copies be made.
        self.lacks: list[int | None] = []
        #: The copy of before, which goes when the next one sleeps.
        self._former: Copy | None = None
        self._number = 0
        self._last_look = 0.0
        #: How many copies were made, and how many took over.
        self.made = 0
        self.woken = 0
        #: Seconds for which the worker stood still for the last one.
        self.seconds = 0.0

    def order(self, worker: WorkerProcess, sample: Sample, allowed: float) -> bool:
        """A request is over: have a copy made if that is worth it. True when it was ordered.

        `allowed` bytes of memory are what the policy gives. The copy of before is of no use any
        more, whatever comes; where it is small it stays until the next one sleeps, so that the
        worker can see what it has written since (`sandboxed/written_pages.py`).
        """
        reason = self.rule.wants(sample.memory, allowed)
        if reason and not self.alone:
            self._discard()
            self._state(False, reason)
            return False
        self._discard_former()
        if sample.copy <= _SMALL and sample.memory <= allowed / 2:
            self._former, self._copy = self._copy, None
        else:
            self._discard()
        self._stale = False
        self.lacks = []
        self.pace.spend(sample.clock)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._number += 1
        self._copy = Copy(self._number, ours, worker.pid, unwanted=reason)
        asyncio.get_running_loop().add_reader(ours, self._heard, self._copy)
        worker.expect_fork(True)
        order = TakeCopy(self._number, harmless_threads(worker.pid), self.alone, not reason)
        worker.send(order, descriptors=(theirs.detach(),))
        return True

    def wait(self, now: float) -> float:
        """Seconds until the next copy may be made."""
        paced = self.rule.mode == "adaptive" and not self.alone
        return self.pace.wait(now) if paced else 0.0

    def leave_out(self, count: int | None) -> None:
        """Make no copy after the request of that execution count: the one of before stays."""
        if self._copy is not None:
            self._stale = False
            self.lacks.append(count)

    def on_taken(self, worker: WorkerProcess, message: CopyTaken) -> bool:
        """Called for the worker's answer to an order; False when it answers no order of ours."""
        if message.number != self._number:
            return False
        worker.expect_fork(False)
        copy = self._copy
        if copy is None:
            return True
        if message.obstacle:
            self._discard()
            self._state(False, copy.unwanted or message.obstacle[:300])
            return True
        copy.taken, copy.seconds = True, message.seconds
        self.seconds = message.seconds
        self.pace.took(message.seconds)
        if copy.gone:
            self._end(copy)
        self._settled(copy)
        return True

    def _heard(self, copy: Copy) -> None:
        """Called when the copy says that it sleeps, or has ended."""
        try:
            data, ancillary, _, _ = copy.link.recvmsg(64, socket.CMSG_SPACE(_CREDENTIALS.size))
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data or copy.pid:
            self._end(copy)
            return
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                pid, _, _ = _CREDENTIALS.unpack(value[: _CREDENTIALS.size])
                if pid == copy.worker:
                    break
                try:
                    copy.pidfd = os.pidfd_open(pid)
                except OSError:
                    break
                copy.number_inside = number_inside(pid)
                if not copy.number_inside:
                    break
                try:
                    copy.walls = walls.hold_still(pid)
                except MonitorFailed as failure:
                    _log.error("%s", failure)
                    break
                copy.pid = pid
                copy.changed.set()
                self._settled(copy)
                return
        self._end(copy)

    def _settled(self, copy: Copy) -> None:
        if copy.usable and copy is self._copy:
            self.made += 1
            self._discard_former()
            self._sleeps(copy.pid)
            self._state(True, "")

    def _end(self, copy: Copy) -> None:
        copy.gone = True
        copy.changed.set()
        asyncio.get_running_loop().remove_reader(copy.link)
        if copy is self._copy and copy.taken:  # Else the worker's answer will say why.
            self._discard()
            self._state(False, "the dormant copy has ended")

    def discard(self, why: str) -> None:
        """Give the copy up; nothing happens when there is none."""
        if self._copy is not None or self._former is not None:
            self._discard()
            self._state(False, why)

    def _discard(self) -> None:
        copy, self._copy = self._copy, None
        if copy is not None or self._former is not None:
            self._discard_former()
            self._sleeps(None)
        if copy is not None:
            _end_process(copy)

    def _discard_former(self) -> None:
        former, self._former = self._former, None
        if former is not None:
            _end_process(former)

    def looked(self, sample: Sample) -> None:
        """Called for each sample while a request runs: a copy that has become too dear goes.

        Raises `MonitorFailed`.
        """
        copy = self._copy
        if copy is None or not copy.usable or self.rule.mode != "adaptive":
            return
        over = sample.copy * SECONDS_A_BYTE > self.rule.budget
        if over and sample.clock - self._last_look >= LOOK_EVERY:
            self._last_look = sample.clock
            if self.rule.paid(copy.seconds, alone(copy.pid)):
                self.discard("the cell rewrites more memory than the snapshot budget allows")

    def request_over(self, sample: Sample) -> None:
        """Called when a request has ended, before `order`: what did its copy cost?

        Raises `MonitorFailed`.
        """
        copy = self._copy
        self._stale = True
        if copy is None or not copy.usable:
            return
        copied = float(sample.copy)
        if copied * SECONDS_A_BYTE > self.rule.budget:
            copied = min(copied, alone(copy.pid))
        self.rule.paid(copy.seconds, copied)

    async def wake(self) -> Woken | None:
        """The worker has died: wake the copy, or None when there is none that can take over."""
        copy = self._copy
        if copy is None or not copy.taken or self._stale:
            self._discard()
            if copy is not None:
                self._state(False, _TOO_EARLY)
            return None
        if not copy.usable:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAKE_SECONDS):
                    await copy.changed.wait()
        if not copy.usable or copy is not self._copy:
            self._discard()
            self._state(False, _TOO_EARLY)
            return None
        self._copy = None
        self._discard_former()
        asyncio.get_running_loop().remove_reader(copy.link)
        channel, its_channel = socket.socketpair()
        out, its_out = os.pipe()
        err, its_err = os.pipe()
        try:
            walls.let_go(copy.pid, copy.walls)
            copy.link.sendmsg([b"wake"], [_rights(its_channel.fileno(), its_out, its_err)])
        except (OSError, MonitorFailed) as error:
            _log.error("the copy cannot be woken: %s", error)
            for fd in (out, err, copy.pidfd):
                os.close(fd)
            channel.close()
            return None
        finally:
            copy.link.close()
            its_channel.close()
            os.close(its_out)
            os.close(its_err)
        self.woken += 1
        self._state(False, "the copy has taken over and there is no other yet")
        return Woken(copy.pid, copy.number_inside, copy.pidfd, channel, out, err)

    def close(self) -> None:
        """The kernel ends."""
        self._discard()

    def _state(self, protected: bool, why: str) -> None:
        if (protected, why) != (self.protected, self.why):
            self.protected, self.why = protected, why
            self._tell(protected, why)


def _end_process(copy: Copy) -> None:
    copy.gone = True
    copy.changed.set()
    asyncio.get_running_loop().remove_reader(copy.link)
    copy.link.close()
    if copy.pidfd >= 0:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(copy.pidfd, signal.SIGKILL)
        os.close(copy.pidfd)


def harmless_threads(pid: int) -> int:
    """How many threads of process `pid` belong to a library that comes through a fork unhurt."""
    count = 0
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/comm", "rb") as file:
                count += file.read().strip() in _HARMLESS
    except (FileNotFoundError, ProcessLookupError):
        return count  # A thread, or the whole process, ended meanwhile.
    return count


def _rights(*descriptors: int) -> tuple[int, int, array.array[int]]:
    return socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)
