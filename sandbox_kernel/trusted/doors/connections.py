"""What the socket door has let through and may have to take back: sockets by inode.

The supervisor keeps no duplicate of a connection: that would hide its end of file from the peer.
It keeps the inode, finds the descriptor in the worker's tables when it must, fetches it, and shuts
the socket down, which ends it for every holder.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass

from . import _sys_descriptors as raw
from .holders import with_descriptors_in_flight
from .worker_processes import Stopped, listed, processes, tasks_apart


@dataclass(frozen=True, slots=True)
class _Held:
    """A socket in a process. shared: in the table that the process's tasks have in common, which
    alone can be reached from outside.
    """

    inode: int
    process: int
    number: int
    shared: bool


@dataclass(frozen=True, slots=True)
class Opened:
    """A socket that the worker holds.

    use: connect, listen or udp. name: the granted name, None where the program named the address.
    """

    inode: int
    use: str
    name: str | None
    address: str
    port: int


class Connections:
    """The sockets of one generation; `pid` is the worker's process id on this host."""

    PRUNE_EVERY = 256

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._opened: dict[int, Opened] = {}
        self._since_pruned = 0

    def add(self, opened: Opened) -> None:
        """Remember a socket that was just handed over."""
        self._opened[opened.inode] = opened
        self._since_pruned += 1
        if self._since_pruned >= self.PRUNE_EVERY:
            self._since_pruned = 0
            # Also what is on its way between two sockets exists. Datagram sockets are held here.
            exist = _sockets_of_host()
            self._opened = {i: o for i, o in self._opened.items() if i in exist or o.use == "udp"}

    def get(self, inode: int) -> Opened | None:
        """What is known of a socket."""
        return self._opened.get(inode)

    def forget(self, inode: int) -> None:
        """A socket of ours is closed."""
        self._opened.pop(inode, None)

    def alive(self) -> int:
        """How many connections the worker has now, those on their way between two sockets too."""
        known = {inode for inode, opened in self._opened.items() if opened.use == "connect"}
        if not known:
            return 0
        unseen = known - {each.inode for each in self._held()}
        closed = unseen - _sockets_of_host().keys() if unseen else unseen
        for inode in closed:
            del self._opened[inode]
        return len(known - closed)

    def shut(self, allowed: Callable[[Opened], bool]) -> list[Opened]:
        """Shut down every socket that is not allowed any more; which these were."""
        wrong = {inode: o for inode, o in self._opened.items() if not allowed(o)}
        if not wrong:
            return []
        for inode in wrong:
            del self._opened[inode]
        exist = _sockets_of_host()
        ports = {o.port for o in wrong.values() if o.use == "listen"}
        # What a listener has accepted goes with it.
        end = {inode for inode, port in exist.items() if inode in wrong or port in ports}
        if end:
            self._end(end)
        return list(wrong.values())

    def _end(self, inodes: set[int]) -> None:
        """Shut these down, while nobody can move them out of sight.

        One that exists and is in no table is on its way through a Unix socket, out of reach:
        whoever has descriptors under way is killed.
        """
        with Stopped(self.pid) as stopped:
            if stopped.restless:
                stopped.kill(self.pid)
            found = set()
            for held in self._held(inodes):
                if held.shared and _shut_down(held.process, held.number):
                    found.add(held.inode)
                elif not held.shared:
                    stopped.kill(held.process)
            if inodes - found:
                for process in with_descriptors_in_flight(stopped.pids):
                    stopped.kill(process)

    def _held(self, wanted: Container[int] | None = None) -> Iterator[_Held]:
        """The worker's sockets that are `wanted`, or known here."""
        wanted = self._opened if wanted is None else wanted
        for process in processes(self.pid):
            for number, task in enumerate(tasks_apart(process)):
                try:
                    names = listed(f"{task}/fd")
                except PermissionError:
                    continue  # It is ending, or counts as one that has some under way.
                for name in names:
                    try:
                        link = os.readlink(f"{task}/fd/{name}")
                    except OSError:
                        continue
                    if link.startswith("socket:[") and int(link[8:-1]) in wanted:
                        yield _Held(int(link[8:-1]), process, int(name), number == 0)


def _sockets_of_host() -> dict[int, int]:
    """Inode and local port (-1: a Unix socket) of the sockets that exist (proc_pid_net(5)).

    The worker's are among them: they were made here. A connection that nobody holds has no inode.
    """
    found: dict[int, int] = {}
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/self/net/{table}", "rb") as lines:
            for fields in map(bytes.split, itertools.islice(lines, 1, None)):
                found[int(fields[9])] = int(fields[1].rpartition(b":")[2], 16)
    with open("/proc/self/net/unix", "rb") as lines:
        for fields in map(bytes.split, itertools.islice(lines, 1, None)):
            found[int(fields[6])] = -1
    found.pop(0, None)
    return found


def _shut_down(process: int, number: int) -> bool:
    """False when the process has closed it, or ended, meanwhile. Raises OSError."""
    try:
        pidfd = os.pidfd_open(process)
    except ProcessLookupError:
        return False
    try:
        descriptor = raw.pidfd_getfd(pidfd, number)
    except OSError as error:
        if error.errno not in (errno.EBADF, errno.ESRCH):
            raise
        return False
    finally:
        os.close(pidfd)
    with socket.socket(fileno=descriptor) as connection:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return True  # not connected (any more)
    return True
