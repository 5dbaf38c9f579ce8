"""Packets with descriptors between supervisor and warden, received into room that is made once.

`socket.recv_fds` makes a megabyte anew for each.
"""

from __future__ import annotations

import array
import socket

PACKET = 1 << 20


class Receiver:
    """Receives from one SOCK_SEQPACKET socket."""

    def __init__(self, link: socket.socket, most_fds: int) -> None:
        self._link = link
        self._room = bytearray(PACKET)
        self._space = socket.CMSG_SPACE(most_fds * array.array("i").itemsize)

    def receive(self, flags: int = 0) -> tuple[bytes, list[int]]:
        """The next packet and its descriptors; empty when the other end is closed.

        `flags` as of recvmsg(2).
        """
        length, messages, _, _ = self._link.recvmsg_into([self._room], self._space, flags)
        fds = array.array("i")
        for level, kind, data in messages:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        return bytes(memoryview(self._room)[:length]), list(fds)
