"""The socket door: connect, bind, listen and datagrams of the worker, decided and done here.

| call                          | what happens                                              |
|-------------------------------|-----------------------------------------------------------|
| connect to 127.0.0.1:53       | a pair to our own name service takes the socket's place   |
| connect to a synthetic address| the name is decided and resolved, its addresses decided   |
| connect to another address    | the address is decided                                    |
| connect of a Unix socket      | see `local_sockets`                                       |
| bind to an address            | a listener of ours takes the place, where granted         |
| listen                        | only on such a listener, or on a Unix socket              |
| socket of datagrams, sendto   | see `datagrams`                                           |

The address that was checked is the one that is connected: it is the supervisor that connects, and
the worker gets the connected socket in the place of its own. Its options and flags are copied,
its place in epoll sets is kept. A non-blocking connect answers EINPROGRESS at once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from ...policy.kinds.sockets import SocketEntry
from ...policy.rights import Rights
from ..capabilities.sockets.decide import decide, decide_address, decide_name
from ..capabilities.sockets.schema import AddressRequest, NameRequest, SocketRequest
from ..capabilities.verdict import Denied
from . import name_service, worker_descriptors
from .calls import Call, Vanished, error_number
from .connections import Connections, Opened
from .datagrams import Datagrams
from .listeners import Listeners
from .local_sockets import LocalSockets
from .metered import Meter, Meters, pump, used_up
from .names import SyntheticNames
from .proxy import ProxyFor, no_proxy, tunnel
from .resolver import Resolver, addresses, system_resolver
from .sockaddr import (
    MAX_LENGTH,
    BadAddress,
    InetAddress,
    IpAddress,
    UnixAddress,
    Unspecified,
    parse,
)
from .sockets_copy import copy_options, take_place

NAME_SERVER = ("127.0.0.1", 53)
CONNECT_SECONDS = 120.0

Tell = Callable[[Denied], None]


class SocketDoor:
    """The socket door of one generation.

    pid: the worker's process id on this host. scratch: the worker's scratch, as it sees it.
    own_network: the worker has a network namespace of its own. tell: called for each refusal.
    wait: lets seconds pass while the worker's calls are answered.
    """

    NAMES = frozenset({"connect", "bind", "listen", "socket", "sendto"})

    def __init__(
        self,
        pid: int,
        scratch: str,
        *,
        own_network: bool,
        names: SyntheticNames,
        rights: Rights,
        tell: Tell,
        resolver: Resolver = system_resolver,
        proxy: ProxyFor = no_proxy,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.names = names
        self.rights = rights
        self.tell = tell
        self.resolver = resolver
        self._proxy = proxy
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pending: dict[asyncio.Task[None], Call] = {}
        self._meters = Meters()
        self.connections = Connections(pid, wait)
        self._local = LocalSockets(pid, scratch, own_network=own_network)
        self._datagrams = Datagrams(self)
        self._listeners = Listeners(self)

    # --- rights ------------------------------------------------------------------------------

    def follow(self, rights: Rights) -> tuple[Opened, ...]:
        """New rights: shut down what they do not cover any more; which sockets these were."""
        self.rights = rights
        return tuple(self.connections.shut(self._still_allowed))

    def _still_allowed(self, opened: Opened) -> bool:
        if opened.use == "listen":
            verdict = decide(SocketRequest("listen", opened.address, opened.port), self.rights)
            return not isinstance(verdict, Denied)
        return not isinstance(
            self.decide_address(opened.use, opened.name, opened.address, opened.port), Denied
        )

    def decide_address(self, use: Any, name: str | None, address: str, port: int) -> Any:
        """POLICY's decision on one address under the present rights."""
        return decide_address(AddressRequest(use, name, address, port), self.rights)

    def lookup(self, name: str) -> tuple[IpAddress, ...] | None:
        """Synthetic addresses of a name that some right covers; see dns.Lookup."""
        verdict = decide_name(NameRequest(name), self.rights)
        if isinstance(verdict, Denied):
            self.tell(verdict)
            return None
        return self.names.addresses(name)

    # --- calls -------------------------------------------------------------------------------

    def handle(self, call: Call) -> None:
        """Answer a call, or start a task that does. Raises OSError, Vanished: not answered."""
        if call.name == "connect":
            self._connect(call)
        elif call.name == "bind":
            target = self.read_address(call, call.arguments[1], call.int_argument(2))
            if isinstance(target, UnixAddress):
                self._local.bind(call, target)
            else:
                self._listeners.bind(call, target)
        elif call.name == "listen":
            self._listeners.listen(call)
        else:
            self._datagrams.handle(call)

    def interrupted(self) -> None:
        """The person interrupts the cell: calls that wait for the network fail with EINTR."""
        for task, call in list(self._pending.items()):
            task.cancel()
            call.refuse(errno.EINTR)

    def replaced(self, pid: int) -> None:
        """A copy with this process id goes on."""
        self.connections.pid = pid
        self._local.pid = pid

    def close(self) -> None:
        """The worker is gone."""
        for task in list(self._tasks):
            task.cancel()
        self._pending.clear()

    def read_address(self, call: Call, pointer: int, length: int) -> Any:
        """The socket address that a call points to. Raises OSError."""
        if length < 2 or length > MAX_LENGTH:
            raise OSError(errno.EINVAL, "length of an address")
        try:
            return parse(call.memory(pointer, length))
        except BadAddress as problem:
            raise OSError(errno.EAFNOSUPPORT, str(problem)) from None

    def refuse(self, call: Call, denied: Denied) -> None:
        """Refuse by a rule."""
        self.tell(denied)
        call.refuse(errno.EACCES)

    def spawn(self, work: Coroutine[Any, Any, None], call: Call | None = None) -> None:
        """Run something beside the loop. `call` is answered with EIO if it fails unforeseen."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        if call is not None:
            self._pending[task] = call

        def over(done: asyncio.Task[None]) -> None:
            self._tasks.discard(done)
            self._pending.pop(done, None)
            if not done.cancelled() and (error := done.exception()) is not None:
                if call is not None and isinstance(error, OSError):
                    call.refuse(error_number(error))
                elif not isinstance(error, (OSError, Vanished)):
                    if call is not None:
                        call.refuse(errno.EIO)
                    raise error

        task.add_done_callback(over)

    # --- connect -----------------------------------------------------------------------------

    def _connect(self, call: Call) -> None:
        target = self.read_address(call, call.arguments[1], call.int_argument(2))
        if isinstance(target, UnixAddress):
            self.spawn(self._local.connect(call, target), call)
            return
        if isinstance(target, Unspecified):
            raise OSError(errno.EACCES, "a connection is not taken apart")
        number = call.int_argument(0)
        inside = worker_descriptors.fetch_socket(call.task, number)
        kept = False
        try:
            if self._datagrams.owns(inside):
                self._datagrams.connect(call, inside, target)
                return
            if inside.family not in (socket.AF_INET, socket.AF_INET6):
                raise OSError(errno.EAFNOSUPPORT, "not an Internet socket")
            if inside.type != socket.SOCK_STREAM:
                raise OSError(errno.EACCES, "not a stream")
            if _is_connected(inside):
                raise OSError(errno.EISCONN, "connected already")
            if (str(target.host), target.port) == NAME_SERVER:
                self._to_name_service(call, inside, number)
                return
            name = self.names.name(target.host)
            if name is None:
                verdict = self.decide_address("connect", None, str(target.host), target.port)
            else:
                verdict = decide(SocketRequest("connect", name, target.port), self.rights)
            if isinstance(verdict, Denied):
                self.refuse(call, verdict)
                return
            kept = True
            self.spawn(self._reach(call, inside, number, name, target), call)
        finally:
            if not kept:
                inside.close()

    def _to_name_service(self, call: Call, inside: socket.socket, number: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            take_place(call, number, inside, theirs)
            call.result()
        self.spawn(name_service.serve(ours, self.lookup))

    async def _reach(
        self,
        call: Call,
        inside: socket.socket,
        number: int,
        name: str | None,
        target: InetAddress,
    ) -> None:
        with inside:
            blocking = not (worker_descriptors.flags_of(call.task, number) & os.O_NONBLOCK)
            allowed, entry = await self._allowed_addresses(call, name, target)
            if not allowed:
                return  # refused already
            outside, address, code = await self._open(inside, name, allowed, target, blocking)
            if outside is None:
                call.refuse(code)
                return
            with outside:
                if self._ended_meanwhile(call, name, target):
                    return
                if entry is not None and entry.max_bytes is not None:
                    # The pump needs a finished connection to carry its bytes.
                    opened = Opened(0, "connect", name, str(address), target.port)
                    await self._metered(call, inside, outside, number, entry, opened, target)
                    return
                outside.setblocking(blocking)
                inode = worker_descriptors.inode_of(outside.fileno())
                take_place(call, number, inside, outside)
                self.connections.add(Opened(inode, "connect", name, str(address), target.port))
                if code:
                    call.refuse(code)
                else:
                    call.result()

    def _ended_meanwhile(self, call: Call, name: str | None, target: InetAddress) -> bool:
        """Whether the right has ended while the connection was made; the call is refused then."""
        if name is None:
            verdict = self.decide_address("connect", None, str(target.host), target.port)
        else:
            verdict = decide(SocketRequest("connect", name, target.port), self.rights)
        if isinstance(verdict, Denied):
            self.refuse(call, verdict)
            return True
        return False

    async def _allowed_addresses(
        self, call: Call, name: str | None, target: InetAddress
    ) -> tuple[list[IpAddress], SocketEntry | None]:
        """The addresses that may be connected, and the right's entry."""
        candidates: list[IpAddress] = [target.host]
        if name is not None:
            try:
                candidates = await addresses(self.resolver, name, target.family)
            except (OSError, TimeoutError):
                if self._proxy(name, target.port) is None:
                    call.refuse(errno.EHOSTUNREACH)
                    return [], None
                # Only the proxy can resolve it; the name is granted and goes there as it is.
                verdict = decide(SocketRequest("connect", name, target.port), self.rights)
                return [target.host], _entry(verdict)
        allowed: list[IpAddress] = []
        entry: SocketEntry | None = None
        first: Denied | None = None
        for address in candidates:
            verdict = self.decide_address("connect", name, str(address), target.port)
            if isinstance(verdict, Denied):
                first = first or verdict
            else:
                allowed.append(address)
                entry = entry or _entry(verdict)
        if not allowed and first is not None:
            self.refuse(call, first)
        return allowed, entry

    async def _open(
        self,
        inside: socket.socket,
        name: str | None,
        allowed: list[IpAddress],
        target: InetAddress,
        blocking: bool,
    ) -> tuple[socket.socket | None, IpAddress, int]:
        """A socket to the first address that can be reached, and 0 or EINPROGRESS; or an errno."""
        proxy = None if name is None else self._proxy(name, target.port)
        if proxy is not None and name is not None:
            return await tunnel(proxy, name, target.port), allowed[0], 0
        code = errno.EHOSTUNREACH
        for address in allowed:
            family = socket.AF_INET if address.version == 4 else socket.AF_INET6
            outside = socket.socket(family, socket.SOCK_STREAM)
            outside.setblocking(False)
            copy_options(inside, outside)
            code = outside.connect_ex((str(address), target.port))
            if code == errno.EINPROGRESS and blocking:
                code = await self._finished(outside, _patience(inside))
            if code in (0, errno.EINPROGRESS):
                return outside, address, code
            outside.close()
        return None, target.host, code

    async def _finished(self, outside: socket.socket, seconds: float) -> int:
        """Wait until a connect is over; its errno."""
        ready = asyncio.Event()
        self._loop.add_writer(outside.fileno(), ready.set)
        try:
            await asyncio.wait_for(ready.wait(), seconds)
        except TimeoutError:
            return errno.ETIMEDOUT
        finally:
            self._loop.remove_writer(outside.fileno())
        return outside.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    async def _metered(
        self,
        call: Call,
        inside: socket.socket,
        outside: socket.socket,
        number: int,
        entry: SocketEntry,
        opened: Opened,
        target: InetAddress,
    ) -> None:
        """`opened` is what was decided on: with a proxy, no socket has that address."""
        code = await self._finished(outside, CONNECT_SECONDS)
        if code:
            call.refuse(code)
            return
        if self._ended_meanwhile(call, opened.name, target):
            return
        ours, theirs = socket.socketpair()
        blocking = not (worker_descriptors.flags_of(call.task, number) & os.O_NONBLOCK)
        with theirs:
            theirs.setblocking(blocking)
            inode = worker_descriptors.inode_of(theirs.fileno())
            take_place(call, number, inside, theirs)
            self.connections.add(replace(opened, inode=inode))
            call.result()
        meter = self._meters.of(entry)
        kept = socket.socket(fileno=outside.detach())
        self.spawn(pump(ours, kept, meter, lambda: self._used_up(entry)))

    def meter_of(self, verdict: Any) -> Meter | None:
        """The meter of the right behind an approval, None where it has none."""
        entry = _entry(verdict)
        return None if entry is None or entry.max_bytes is None else self._meters.of(entry)

    def _used_up(self, entry: SocketEntry) -> None:
        for right in self.rights.of("sockets"):
            if right.entry == entry:
                self.tell(used_up(entry, right.origin))


def _is_connected(inside: socket.socket) -> bool:
    try:
        inside.getpeername()
    except OSError:
        return False
    return True


def _patience(inside: socket.socket) -> float:
    """Seconds that a blocking connect may take: the worker's own send time-out, or the usual."""
    raw = inside.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16)
    seconds = int.from_bytes(raw[:8], "little") + int.from_bytes(raw[8:], "little") / 1e6
    return seconds or CONNECT_SECONDS


def _entry(verdict: Any) -> SocketEntry | None:
    right = verdict.right
    return right.entry if right is not None and isinstance(right.entry, SocketEntry) else None
