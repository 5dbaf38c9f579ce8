"""What the socket door has let through and may have to take back: sockets by inode.

The supervisor keeps no duplicate of a connection: that would hide its end of file from the peer.
It keeps the inode, finds the descriptor in the worker's tables when it must, fetches it, and shuts
the socket down, which ends it for every holder.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass

from . import _sys_descriptors as raw
from .holders import processes


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

    _PRUNE_EVERY = 256

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._opened: dict[int, Opened] = {}
        self._since_pruned = 0

    def add(self, opened: Opened) -> None:
        """Remember a socket that was just handed over."""
        self._opened[opened.inode] = opened
        self._since_pruned += 1
        if self._since_pruned >= self._PRUNE_EVERY:
            self._since_pruned = 0
            alive = {inode for inode, _, _ in self._held()}
            # Datagram sockets are held here, not by the worker.
            self._opened = {i: o for i, o in self._opened.items() if i in alive or o.use == "udp"}

    def get(self, inode: int) -> Opened | None:
        """What is known of a socket."""
        return self._opened.get(inode)

    def forget(self, inode: int) -> None:
        """A socket of ours is closed."""
        self._opened.pop(inode, None)

    def alive(self) -> int:
        """How many connections the worker holds now."""
        if not self._opened:
            return 0
        held = {inode for inode, _, _ in self._held()}
        return sum(o.use == "connect" and inode in held for inode, o in self._opened.items())

    def shut(self, allowed: Callable[[Opened], bool]) -> list[Opened]:
        """Shut down every socket that is not allowed any more; which these were."""
        wrong = {inode: o for inode, o in self._opened.items() if not allowed(o)}
        if not wrong:
            return []
        for inode, process, number in self._held():
            if inode in wrong:
                _shut_down(process, number)
        for inode in wrong:
            del self._opened[inode]
        return list(wrong.values())

    def _held(self) -> list[tuple[int, int, int]]:
        """(inode, process, number) of the worker's sockets that are known here."""
        found: list[tuple[int, int, int]] = []
        for process in processes(self.pid):
            try:
                names = os.listdir(f"/proc/{process}/fd")
            except OSError:
                continue  # ended meanwhile
            for name in names:
                try:
                    link = os.readlink(f"/proc/{process}/fd/{name}")
                except OSError:
                    continue
                if link.startswith("socket:["):
                    inode = int(link[8:-1])
                    if inode in self._opened:
                        found.append((inode, process, int(name)))
        return found


def _shut_down(process: int, number: int) -> None:
    try:
        pidfd = os.pidfd_open(process)
    except ProcessLookupError:
        return
    try:
        descriptor = raw.pidfd_getfd(pidfd, number)
    except OSError:
        return  # closed or ended meanwhile
    finally:
        os.close(pidfd)
    with socket.socket(fileno=descriptor) as connection:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # not connected (any more)
