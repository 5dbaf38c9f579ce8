"""One facade for the supervisor: rights in, access out. See the package's docstring."""

from __future__ import annotations

import ipaddress
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...policy.rights import Rights
from ..capabilities.verdict import Denied
from ..confine.broker import Listener
from ..confine.level import Level
from .call_door import Dispatcher
from .connections import Opened
from .file_door import FileDoor
from .file_rights import file_rights
from .mount import Warden
from .mounted_files import MountedFiles
from .names import SyntheticNames
from .proxy import ProxyFor, no_proxy
from .resolver import Resolver, system_resolver
from .socket_calls import SocketDoor
from .staged_places import STAGING_BYTES
from .staged_review import Refusal
from .taken import Taken as FilesTaken

MOST_REMEMBERED = 256


@dataclass(frozen=True, slots=True)
class Problem:
    """A right that could not be opened, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What the end of a cell wrote to the host.

    written: absolute paths that were made, changed or removed. refused: what did not reach the
    host, and why. bytes, files: for the limits `written` and `created_files`.
    """

    written: tuple[str, ...] = ()
    refused: tuple[Refusal, ...] = ()
    bytes: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What taking rights away came to.

    killed: why the worker, or a process of it, was ended; empty when it was not.
    still_open: regular files that stay readable through descriptors that were open before.
    shut: `host:port` of connections and listeners that were shut down.
    """

    killed: tuple[str, ...] = ()
    still_open: tuple[str, ...] = ()
    shut: tuple[str, ...] = ()


class Generation(Protocol):
    """The launcher's generation, as far as the doors need it."""

    level: Level
    pid: int
    scratch: str

    @property
    def door(self) -> object: ...


class Doors:
    """The doors of one kernel.

    warden: the running warden. staging_bytes: room for staged changes of a grant that has no
    meter of its own. problem: called for a right that could not be opened. denied: called for
    each access that a door refused by a rule. resolver, proxy: how granted names are reached.
    """

    def __init__(
        self,
        warden: Warden,
        *,
        staging_bytes: int = STAGING_BYTES,
        problem: Callable[[Problem], None] = lambda problem: None,
        denied: Callable[[Denied], None] = lambda denied: None,
        resolver: Resolver = system_resolver,
        proxy: ProxyFor = no_proxy,
    ) -> None:
        self._warden = warden
        self._staging_bytes = staging_bytes
        self._problem = problem
        self._denied = denied
        self._fault: Callable[[str], None] = lambda what: None
        self._resolver = resolver
        self._proxy = proxy
        self._names = SyntheticNames()
        self._calls: Dispatcher | None = None
        self._files: FileDoor | None = None
        self._sockets: SocketDoor | None = None
        self._recent: dict[str, Denied] = {}
        self._gone = False

    def tell(
        self,
        denied: Callable[[Denied], None],
        problem: Callable[[Problem], None],
        fault: Callable[[str], None],
    ) -> None:
        """Whom to tell of refusals, of rights that could not be opened, and of faults after which
        no worker may go on, from now on.
        """
        self._denied, self._problem, self._fault = denied, problem, fault

    def door_factory(self, listener: Listener) -> Dispatcher:
        """What to launch a generation with: `warden.launch(doors.door_factory)`."""
        if self._calls is not None:
            self._calls.close()  # That of a worker that has died.
        self._calls = Dispatcher(listener)
        return self._calls

    def open_for(self, generation: Generation, rights: Rights) -> None:
        """Called once for a generation that has sealed itself, before its first cell."""
        calls = self._calls
        self._gone = False
        self._close_doors()
        self._calls = calls
        if generation.level is Level.FULL:
            self._files = MountedFiles(
                self._warden,
                generation.pid,
                staging_bytes=self._staging_bytes,
                problem=self._tell_problem,
                wait=self._wait,
                fault=lambda what: self._fault(what),
            )
        elif calls is not None and generation.level is Level.NO_NAMESPACES:
            from .notified_files import NotifiedFiles  # A start at `full` does without.

            files = NotifiedFiles(
                generation.pid,
                rest=calls.rest,
                problem=self._tell_problem,
                wait=self._wait,
                fault=lambda what: self._fault(what),
            )
            calls.attach(files.door)
            # Landlock decides again, on what is really opened.
            trees = tuple(os.fsencode(tree) for tree in calls.listener.trees)
            door = files.door
            calls.answer_at_once(trees, door.OPENS, door.LOOKS, door.open_for_reading)
            self._files = files
        if calls is not None:
            self._sockets = SocketDoor(
                generation.pid,
                generation.scratch,
                own_network=generation.level is Level.FULL,
                names=self._names,
                rights=rights,
                tell=self._tell_denied,
                resolver=self._resolver,
                proxy=self._proxy,
                wait=self._wait,
            )
            calls.attach(self._sockets)
        self.follow(rights)

    def rouse(self, place: str | None = None) -> None:
        """Rights are about to change: whoever carries it out may wake up meanwhile.

        place: an absolute path that may be granted, as it is spelled.
        """
        if isinstance(self._files, MountedFiles):
            self._warden.rouse(place)

    def follow(self, rights: Rights) -> Taken:
        """Rights have changed: a grant, a revocation, a narrowing. What it took to take away."""
        self._recent.clear()
        files = FilesTaken()
        if self._files is not None:
            files = self._files.follow(file_rights(rights))
        return self._taken(files, rights)

    def begin_cell(self, rights: Rights) -> Taken:
        """A cell is about to run with these rights."""
        files = FilesTaken()
        if self._files is not None:
            files = self._files.begin_cell(file_rights(rights))
        return self._taken(files, rights)

    def _taken(self, files: FilesTaken, rights: Rights) -> Taken:
        opened: tuple[Opened, ...] = ()
        if self._sockets is not None:
            opened = self._sockets.follow(rights)
        shut = tuple(f"{o.name or o.address}:{o.port}" for o in opened)
        return Taken(files.killed, files.still_open, shut)

    def end_cell(self) -> CommitReport:
        """The cell has ended: commit what it staged, unless the worker died in it."""
        if self._files is None or self._gone:
            return CommitReport()
        done = self._files.end_cell()
        return CommitReport(
            tuple(change.path for change in done.changes),
            done.refused,
            done.bytes,
            done.files,
        )

    def open_connections(self) -> int:
        """Connections that the worker holds now; for the limit of that name."""
        return 0 if self._sockets is None else self._sockets.connections.alive()

    def staged_beyond(self) -> int:
        """Bytes of the host's disk that staged changes take beyond the room they may have."""
        return (
            0 if self._files is None else max(self._files.staged_bytes() - self._staging_bytes, 0)
        )

    def interrupted(self) -> None:
        """A cell is being interrupted: calls that wait for the network fail with EINTR.

        To be called after the signal was sent, so that the worker sees it first.
        """
        if self._sockets is not None:
            self._sockets.interrupted()

    def name_of(self, address: str) -> str | None:
        """The granted name that a synthetic address stands for, None for any other text.

        For whatever a cell tells of its connections: it knows names by these addresses only.
        """
        try:
            return self._names.name(ipaddress.ip_address(address))
        except ValueError:
            return None

    def last_refusal(self, resource: str) -> Denied | None:
        """Why the latest access to a name or `host:port` was refused, told once.

        The cell's exception is worded from it: the address that a granted name leads to is known
        to this side alone.
        """
        return self._recent.pop(resource, None)

    def worker_gone(self) -> None:
        """The worker has ended: nothing that it staged is committed any more."""
        self._gone = True

    def worker_replaced(self, generation: Generation) -> None:
        """A dormant copy goes on in the dead worker's place, behind the same walls.

        What the dead one had staged is dropped. To be called before the copy runs anything.
        """
        self._gone = False
        if self._files is not None:
            self._files.replaced(generation.pid)
        if self._sockets is not None:
            self._sockets.replaced(generation.pid)

    def worker_died(self) -> None:
        """No worker goes on: what it staged is dropped, its doors are closed."""
        self._close_doors()
        if self._calls is not None:
            self._calls.close()
            self._calls = None

    def close(self) -> None:
        """The kernel ends."""
        self.worker_died()

    def _close_doors(self) -> None:
        if self._files is not None:
            self._files.close()
            self._files = None
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    def _wait(self, seconds: float) -> None:
        """Let time pass; the worker's calls are answered meanwhile."""
        if self._calls is None:
            time.sleep(seconds)
        else:
            self._calls.serve_for(seconds)

    def _tell_problem(self, what: str, why: str) -> None:
        self._problem(Problem(what, why))

    def _tell_denied(self, denied: Denied) -> None:
        # `name:port (address)` is remembered as `name:port`.
        self._recent[denied.resource.partition(" ")[0]] = denied
        while len(self._recent) > MOST_REMEMBERED:
            del self._recent[next(iter(self._recent))]
        self._denied(denied)
