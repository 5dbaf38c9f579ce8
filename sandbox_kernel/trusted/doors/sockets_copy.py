"""Put one socket in the place of another that the worker holds, alike in all that it can see."""

from __future__ import annotations

import errno
import os
import socket

from . import worker_descriptors
from .calls import Call

_FLAGS = (
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.SOL_SOCKET, socket.SO_OOBINLINE),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    (socket.IPPROTO_TCP, socket.TCP_QUICKACK),
)
_STRUCTURES = (
    (socket.SOL_SOCKET, socket.SO_LINGER, 8),
    (socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16),
    (socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16),
)
_BUFFERS = (socket.SO_RCVBUF, socket.SO_SNDBUF)


def copy_options(inside: socket.socket, outside: socket.socket) -> None:
    """Give a new socket of ours the options that the worker's own has."""
    for level, option in _FLAGS:
        value = inside.getsockopt(level, option)
        if value != outside.getsockopt(level, option):
            outside.setsockopt(level, option, value)
    for level, option, length in _STRUCTURES:
        packed = inside.getsockopt(level, option, length)
        if packed != outside.getsockopt(level, option, length):
            outside.setsockopt(level, option, packed)
    for option in _BUFFERS:
        value = inside.getsockopt(socket.SOL_SOCKET, option)
        if value != outside.getsockopt(socket.SOL_SOCKET, option):
            # The kernel doubles what is set (socket(7)).
            outside.setsockopt(socket.SOL_SOCKET, option, value // 2)
    only_six = (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    if inside.family == outside.family == socket.AF_INET6:
        outside.setsockopt(*only_six, inside.getsockopt(*only_six))


def take_place(call: Call, number: int, inside: socket.socket, outside: socket.socket) -> None:
    """Put `outside` wherever the caller has `inside`, in its epoll sets too.

    Raises Vanished, and OSError (EBADF) when the caller has closed `number` meanwhile.
    """
    numbers = worker_descriptors.numbers_of_socket(
        call.task, worker_descriptors.inode_of(inside.fileno())
    )
    if number not in numbers:
        raise OSError(errno.EBADF, "the socket was closed meanwhile")
    entries = worker_descriptors.registrations(call.task, numbers)
    for place in numbers:
        flags = worker_descriptors.flags_of(call.task, place)
        call.put(outside.fileno(), place, close_on_exec=bool(flags & os.O_CLOEXEC))
    # Only now: the old file leaves the sets by itself when its last descriptor is gone.
    inside.close()
    worker_descriptors.put_back(call.task, entries, outside.fileno())
