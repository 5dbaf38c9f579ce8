"""Datagrams by grant: the worker holds one end of a pair, we send and receive for it.

A real datagram socket in the worker could be pointed elsewhere by `sendmsg`, whose address the
filter cannot see. So the worker gets one end of a pair of message sockets in its place; `connect`
and `sendto` come here with their address, and what is answered from there is handed back. One
socket of the worker talks to one address at a time.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import TYPE_CHECKING

from ...policy.kinds.sockets import SocketEntry
from ..capabilities.sockets.decide import decide
from ..capabilities.sockets.schema import SocketRequest
from ..capabilities.verdict import Denied
from . import worker_descriptors
from .calls import Call
from .connections import Opened
from .metered import Meter
from .resolver import addresses
from .sockaddr import InetAddress

if TYPE_CHECKING:
    from .socket_calls import SocketDoor

LARGEST = 65_535
_NONBLOCK, _CLOEXEC = socket.SOCK_NONBLOCK, socket.SOCK_CLOEXEC


class _Peer:
    """One datagram socket of the worker: our end of its pair, and where it talks to."""

    def __init__(self, ours: socket.socket) -> None:
        self.ours = ours
        self.target: InetAddress | None = None
        self.outside: socket.socket | None = None
        self.meter: Meter | None = None
        self.carrier: asyncio.Task[None] | None = None


class Datagrams:
    """The datagram sockets of one generation."""

    def __init__(self, door: SocketDoor) -> None:
        self._door = door
        self._peers: dict[int, _Peer] = {}

    def handle(self, call: Call) -> None:
        """`socket` of a datagram kind, or `sendto` with an address."""
        if call.name == "socket":
            self._make(call)
        else:
            self._send_to(call)

    def owns(self, inside: socket.socket) -> bool:
        """Whether a socket of the worker is one of these."""
        return worker_descriptors.inode_of(inside.fileno()) in self._peers

    def connect(self, call: Call, inside: socket.socket, target: InetAddress) -> None:
        """Fix the address of a datagram socket."""
        peer = self._peers[worker_descriptors.inode_of(inside.fileno())]
        self._door.spawn(self._aim(call, peer, target, None), call)

    def _make(self, call: Call) -> None:
        kind = call.int_argument(1)
        if not any(
            isinstance(right.entry, SocketEntry) and right.entry.use == "udp"
            for right in self._door.rights.of("sockets")
        ):
            denied = decide(SocketRequest("udp", "0.0.0.0", 1), self._door.rights)
            if isinstance(denied, Denied):
                self._door.tell(denied)
            call.refuse(errno.EACCES)
            return
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            theirs.setblocking(not kind & _NONBLOCK)
            ours.setblocking(False)
            inode = worker_descriptors.inode_of(theirs.fileno())
            call.give(theirs.fileno(), close_on_exec=bool(kind & _CLOEXEC))
        peer = _Peer(ours)
        self._peers[inode] = peer
        self._door.spawn(self._outgoing(inode, peer))

    def _send_to(self, call: Call) -> None:
        target = self._door.read_address(call, call.arguments[4], call.int_argument(5))
        if not isinstance(target, InetAddress):
            raise OSError(errno.EACCES, "not an Internet address")
        with worker_descriptors.fetch_socket(call.task, call.int_argument(0)) as inside:
            peer = self._peers.get(worker_descriptors.inode_of(inside.fileno()))
            if peer is None:
                raise OSError(errno.EISCONN, "the address of a stream is fixed")
        length = call.arguments[2]
        if length > LARGEST:
            raise OSError(errno.EMSGSIZE, "datagram too long")
        data = call.memory(call.arguments[1], length) if length else b""
        self._door.spawn(self._aim(call, peer, target, data), call)

    async def _aim(self, call: Call, peer: _Peer, target: InetAddress, data: bytes | None) -> None:
        """Point a socket at an address, if it may go there, and send `data` unless None."""
        # The same address again is decided again, if the right to it has ended since.
        if peer.target != target or peer.outside is None or not self._allowed(peer.outside):
            opened = await self._open(call, target)
            if opened is None:
                return  # refused already
            if peer.outside is not None:
                self._door.connections.forget(worker_descriptors.inode_of(peer.outside.fileno()))
                peer.outside.close()
            peer.outside, peer.meter = opened
            peer.target = target
            if peer.carrier is not None:
                peer.carrier.cancel()
            peer.carrier = asyncio.ensure_future(self._incoming(peer.outside, peer))
        if data is not None:
            _send(peer, data)
        call.result(0 if data is None else len(data))

    async def _open(
        self, call: Call, target: InetAddress
    ) -> tuple[socket.socket, Meter | None] | None:
        door = self._door
        name = door.names.name(target.host)
        candidates = [target.host]
        if name is not None:
            try:
                candidates = await addresses(door.resolver, name, target.family)
            except (OSError, TimeoutError):
                call.refuse(errno.EHOSTUNREACH)
                return None
        first: Denied | None = None
        for address in candidates:
            verdict = door.decide_address("udp", name, str(address), target.port)
            if isinstance(verdict, Denied):
                first = first or verdict
                continue
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            outside = socket.socket(family, socket.SOCK_DGRAM)
            outside.setblocking(False)
            outside.connect((str(address), target.port))
            inode = worker_descriptors.inode_of(outside.fileno())
            door.connections.add(Opened(inode, "udp", name, str(address), target.port))
            return outside, door.meter_of(verdict)
        if first is not None:
            door.refuse(call, first)
        return None

    async def _outgoing(self, inode: int, peer: _Peer) -> None:
        """What the worker sends on a connected socket, until it closes it."""
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(peer.ours, LARGEST):
                if peer.outside is not None and self._allowed(peer.outside):
                    _send(peer, data)
        except ConnectionError:
            return
        finally:
            self._peers.pop(inode, None)
            peer.ours.close()
            if peer.carrier is not None:
                peer.carrier.cancel()
            if peer.outside is not None:
                peer.outside.close()

    async def _incoming(self, outside: socket.socket, peer: _Peer) -> None:
        """What comes back from there."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(outside, LARGEST)
                if not self._allowed(outside):
                    return
                if peer.meter is not None:
                    if len(data) > peer.meter.left:
                        return
                    peer.meter.left -= len(data)
                if data:
                    await loop.sock_sendall(peer.ours, data)
            except ConnectionRefusedError:
                continue  # Nobody listens there at present (ICMP).
            except OSError:
                return

    def _allowed(self, outside: socket.socket) -> bool:
        """Whether the present rights still cover where a socket talks to."""
        known = self._door.connections.get(worker_descriptors.inode_of(outside.fileno()))
        return known is not None


def _send(peer: _Peer, data: bytes) -> None:
    assert peer.outside is not None
    if peer.meter is not None:
        if len(data) > peer.meter.left:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        peer.meter.left -= len(data)
    try:
        peer.outside.send(data)
    except BlockingIOError:
        return  # Full: a datagram may be lost.
