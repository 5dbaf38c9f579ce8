"""Packets with descriptors between supervisor and warden, received into room that is made once.

`socket.recv_fds` makes its room anew for each. The kernel takes no packet that is longer than the
sender's buffer, whose size the administrator bounds (`net.core.wmem_max`, socket(7)): what is long
goes in a file of memory beside a packet that says so.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Sequence

#: Bytes of the longest packet from and to a worker that starts.
PACKET = 1 << 20
#: Bytes of the longest message that is a packet by itself between supervisor and warden.
MOST_INLINE = 1 << 16
#: The packet of any other. No message is like it: they are JSON objects.
_IN_FILE = b"in a file"


def send(link: socket.socket, message: bytes, fds: Sequence[int] = ()) -> None:
    """Send a message and at most 252 descriptors (SCM_MAX_FD, unix(7)). Raises OSError."""
    if len(message) <= MOST_INLINE:
        if fds:
            socket.send_fds(link, [message], fds)
        else:
            link.send(message)
        return
    file = os.memfd_create("message", os.MFD_CLOEXEC)
    try:
        with open(file, "wb", closefd=False) as out:
            out.write(message)
        socket.send_fds(link, [_IN_FILE], [file, *fds])
    finally:
        os.close(file)


class Receiver:
    """Receives from one SOCK_SEQPACKET socket."""

    def __init__(self, link: socket.socket, most_fds: int) -> None:
        self._link = link
        self._room = bytearray(MOST_INLINE)
        self._space = socket.CMSG_SPACE((most_fds + 1) * array.array("i").itemsize)

    def receive(self, flags: int = 0) -> tuple[bytes, list[int]]:
        """The next message and its descriptors; empty when the other end is closed.

        `flags` as of recvmsg(2).
        """
        length, messages, _, _ = self._link.recvmsg_into([self._room], self._space, flags)
        fds = array.array("i")
        for level, kind, data in messages:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
        message = bytes(memoryview(self._room)[:length])
        if message == _IN_FILE:
            file, *others = fds
            with open(file, "rb") as long:
                long.seek(0)
                return long.read(), others
        return message, list(fds)
