"""Listeners by grant: made by the supervisor on the host, put in the place of the worker's own."""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from ..capabilities.sockets.decide import decide
from ..capabilities.sockets.schema import SocketRequest
from ..capabilities.verdict import Denied
from . import worker_descriptors
from .calls import Call
from .connections import Opened
from .sockaddr import InetAddress, Unspecified
from .sockets_copy import copy_options, take_place

if TYPE_CHECKING:
    from .socket_calls import SocketDoor


class Listeners:
    """What `bind` and `listen` of Internet sockets come to, for one generation."""

    def __init__(self, door: SocketDoor) -> None:
        self._door = door

    def bind(self, call: Call, target: InetAddress | Unspecified) -> None:
        """Answer bind(2). Raises OSError, Vanished: not answered."""
        if isinstance(target, Unspecified):
            raise OSError(errno.EACCES, "no address")
        number = call.int_argument(0)
        with worker_descriptors.fetch_socket(call.task, number) as inside:
            if inside.type != socket.SOCK_STREAM:
                raise OSError(errno.EACCES, "only streams listen")
            request = SocketRequest("listen", str(target.host), target.port)
            verdict = decide(request, self._door.rights)
            if isinstance(verdict, Denied):
                self._door.refuse(call, verdict)
                return
            family = socket.AF_INET if target.host.version == 4 else socket.AF_INET6
            with socket.socket(family, socket.SOCK_STREAM) as outside:
                copy_options(inside, outside)
                outside.bind((str(target.host), target.port))
                blocking = not (worker_descriptors.flags_of(call.task, number) & os.O_NONBLOCK)
                outside.setblocking(blocking)
                inode = worker_descriptors.inode_of(outside.fileno())
                port = outside.getsockname()[1]
                # Which one it is shows only now, when any free one was asked for.
                verdict = decide(SocketRequest("listen", str(target.host), port), self._door.rights)
                if isinstance(verdict, Denied):
                    self._door.refuse(call, verdict)
                    return
                take_place(call, number, inside, outside)
                opened = Opened(inode, "listen", None, str(target.host), port)
                self._door.connections.add(opened)
                call.result()

    def listen(self, call: Call) -> None:
        """Answer listen(2): only on such a listener, or on a Unix socket. Raises as `bind`."""
        with worker_descriptors.fetch_socket(call.task, call.int_argument(0)) as inside:
            if inside.family != socket.AF_UNIX:
                known = self._door.connections.get(worker_descriptors.inode_of(inside.fileno()))
                if known is None or known.use != "listen":
                    denied = decide(SocketRequest("listen", "0.0.0.0", 0), self._door.rights)
                    if isinstance(denied, Denied):
                        self._door.tell(denied)
                    call.refuse(errno.EACCES)
                    return
            call.check()  # What was fetched is the caller's, if it still waits.
            inside.listen(call.int_argument(1))
            call.result()
