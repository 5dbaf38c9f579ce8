"""The worker's end of the channel to the supervisor.

The channel is one stream socket. Reads and writes are *guarded*: an interrupt that arrives in the
middle of one is held back until it is over, because half a frame would desynchronise the stream.
"""

from __future__ import annotations

import fcntl
import select
import socket
import struct
import termios
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from ..shared import codec
from ..shared.messages import FromSupervisor


class ChannelClosed(EOFError):
    """The supervisor is gone; the worker has nothing left to do."""


class Guard:
    """A section that an interrupt must not break.

    A signal handler asks `held` first; when it is true, it leaves with `after` what it wanted to
    do. Leaving the outermost section does it.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._after: Callable[[], None] | None = None

    @property
    def held(self) -> bool:
        """True while the main thread is inside a guarded section."""
        return self._depth > 0

    def after(self, action: Callable[[], None]) -> None:
        """Do `action` when the outermost section is left; a later one replaces it."""
        self._after = action

    @contextmanager
    def section(self) -> Iterator[None]:
        """Hold interrupts back; only the main thread takes part (signals run nowhere else)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            if not self._depth and self._after is not None:
                action, self._after = self._after, None
                action()


def unread(descriptor: int) -> int:
    """Bytes that stand unread in the pipe behind `descriptor` (0 when it is no pipe any more)."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0])
    except OSError:
        return 0


class Link:
    """Framed messages over the socket, in both directions.

    `send` may be called from any thread; `poll` and `wait` from the main thread only.
    """

    def __init__(self, sock: socket.socket, guard: Guard) -> None:
        self._socket = sock
        self._guard = guard
        self._lock = threading.RLock()
        self._unpacker: codec.Unpacker[FromSupervisor] = codec.Unpacker(FromSupervisor)
        self._arrived: deque[tuple[FromSupervisor, list[bytes]]] = deque()

    def fileno(self) -> int:
        """Descriptor to watch for readability."""
        return self._socket.fileno()

    @property
    def lock(self) -> threading.RLock:
        """Held while a message is written; a fork takes it so that no half message is copied."""
        return self._lock

    def send(
        self,
        message: msgspec.Struct,
        buffers: Sequence[codec.Buffer] = (),
        enc_hook: Callable[[Any], Any] | None = None,
    ) -> None:
        """Write one message.

        Raises `codec.MessageTooBig` (nothing was written) or `OSError` when the supervisor is gone.
        """
        data = codec.pack(message, buffers, enc_hook)
        with self._guard.section(), self._lock:
            self._socket.sendall(data)

    def poll(self) -> None:
        """Take in whatever has arrived, without waiting. Raises `ChannelClosed`."""
        with self._guard.section():
            while True:
                try:
                    data = self._socket.recv(1 << 18, socket.MSG_DONTWAIT)
                except BlockingIOError:
                    break
                if not data:
                    raise ChannelClosed
                self._unpacker.feed(data)
                self._arrived.extend(self._unpacker)
                if len(data) < 1 << 18:
                    break

    def wait(self) -> None:
        """Block until something arrives; an interrupt is raised from here."""
        select.select([self._socket], [], [])
        self.poll()

    def take(self, kind: type | tuple[type, ...]) -> Iterator[tuple[Any, list[bytes]]]:
        """Remove and give the arrived messages of this kind, oldest first; keep the others."""
        kept: deque[tuple[FromSupervisor, list[bytes]]] = deque()
        found = []
        while self._arrived:
            item = self._arrived.popleft()
            (found if isinstance(item[0], kind) else kept).append(item)
        self._arrived = kept
        return iter(found)

    def put_back(self, items: Iterator[tuple[Any, list[bytes]]]) -> None:
        """Return taken messages to the front of the queue, in their order."""
        self._arrived.extendleft(reversed(list(items)))

    @property
    def has_arrived(self) -> bool:
        """True when messages wait to be taken."""
        return bool(self._arrived)
