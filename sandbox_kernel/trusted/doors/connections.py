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
import time
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass

from . import _sys_descriptors as raw
from .holders import OUT_OF_REACH, Holders, end_holders, find_in_flight
from .worker_processes import listed, listed_processes, tasks_apart


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

    def __init__(self, pid: int, wait: Callable[[float], None] = time.sleep) -> None:
        """wait: lets seconds pass while the worker's calls are answered."""
        self.pid = pid
        self._wait = wait
        self._opened: dict[int, Opened] = {}
        self._since_pruned = 0

    def add(self, opened: Opened) -> None:
        """Remember a socket that was just handed over."""
        self._opened[opened.inode] = opened
        self._since_pruned += 1
        if self._since_pruned >= self.PRUNE_EVERY:
            self._since_pruned = 0
            self._prune(opened.inode)

    def _prune(self, newest: int) -> None:
        """Forget what is closed. What is on its way between two sockets exists; what is bound and
        does not listen yet is in no table; what a listener has accepted has its port.
        """
        held = {newest, *(each.inode for each in self._held())}
        exist = _sockets_of_host()
        ports = set(exist.values())
        self._opened = {
            inode: opened
            for inode, opened in self._opened.items()
            if inode in exist
            or inode in held
            or opened.use == "udp"  # Held here.
            or (opened.use == "listen" and opened.port in ports)
        }

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
        ports = {opened.port for opened in wrong.values() if opened.use == "listen"}
        if ports or wrong.keys() & _sockets_of_host().keys():
            end_holders(self.pid, lambda pids: self._shut_down(wrong, ports, pids), self._wait)
        return list(wrong.values())

    def _shut_down(self, wrong: Container[int], ports: Container[int], pids: list[int]) -> Holders:
        """Shut down these, and what was accepted at these ports, in stopped processes.

        Who holds one that cannot be reached is dangerous: in a table of one thread's own, or, where
        one exists and is in no table, on its way through a Unix socket.
        """
        exist = _sockets_of_host()
        end = {inode for inode, port in exist.items() if inode in wrong or port in ports}
        found: set[int] = set()
        apart = []
        for held in self._held(end, pids):
            if not held.shared:
                apart.append(held)
            elif _shut_down(held.process, held.number):
                found.add(held.inode)
        holders = find_in_flight(pids) if end - found else Holders()
        for held in apart:
            if held.inode not in found:
                holders.dangerous[held.process] = OUT_OF_REACH
        return holders

    def _held(
        self, wanted: Container[int] | None = None, pids: Iterable[int] | None = None
    ) -> Iterator[_Held]:
        """The worker's sockets that are `wanted`, or known here.

        pids: where to look. Without them some may be left out while others end.
        """
        wanted = self._opened if wanted is None else wanted
        for process in listed_processes(self.pid) if pids is None else pids:
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
