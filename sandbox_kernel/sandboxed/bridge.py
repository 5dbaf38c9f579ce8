"""The worker's end of the channel to the supervisor.

The channel is one stream socket. Reads and writes are *guarded*: an interrupt that arrives in the
middle of one is held back until it is over, because half a frame would desynchronise the stream.
"""

from __future__ import annotations

import array
import fcntl
import itertools
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
from ..shared.messages import Answer, FromSupervisor, Question

_READ = 1 << 18


_NO_WAIT = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC


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


def receive(sock: socket.socket, into: bytearray, most: int, flags: int) -> tuple[int, list[int]]:
    """Fill `into` from a Unix socket: how many bytes came, and `most` descriptors at the most.

    `socket.recv_fds` ignores its flags before Python 3.12.
    """
    fds = array.array("i")
    room = socket.CMSG_LEN(most * fds.itemsize)
    size, ancillary, _, _ = sock.recvmsg_into([into], room, flags)
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return size, list(fds)


class Link:
    """Framed messages over the socket, in both directions; every method may be called anywhere.

    Whoever reads takes in what has arrived for all: a thread that waits for its answer and the
    main thread's loop share the queue of arrived messages.

    A worker may be full to the last byte. What has arrived is not lost by that: `poll` raises
    `MemoryError`, and the next one goes on where it stopped.
    """

    def __init__(self, sock: socket.socket, guard: Guard) -> None:
        self._socket = sock
        self._guard = guard
        self._writing = threading.RLock()
        self._reading = threading.Lock()
        self._read = bytearray(_READ)
        self._unfed = 0
        self._unpacker: codec.Unpacker[FromSupervisor] = codec.Unpacker(FromSupervisor)
        self._arrived: deque[tuple[FromSupervisor, list[bytes]]] = deque()
        self._numbers = itertools.count(1)
        #: Descriptors that came along, oldest first; whoever takes their message takes them.
        self.descriptors: deque[int] = deque()
        #: Called by a thread other than the main one when it took in messages for others.
        self.on_foreign: Callable[[], None] = lambda: None

    def fileno(self) -> int:
        """Descriptor to watch for readability."""
        return self._socket.fileno()

    def renew(self, sock: socket.socket) -> None:
        """Go on with another socket, in a process that was forked and has taken over.

        Nothing of the old one is left: neither half messages nor messages that came for others.
        """
        self._socket.close()
        self._socket = sock
        self._unfed = 0
        self._unpacker = codec.Unpacker(FromSupervisor)
        self._arrived.clear()
        self.descriptors.clear()
        self._reading = threading.Lock()

    @property
    def lock(self) -> threading.RLock:
        """Held while a message is written; a fork takes it so that no half message is copied."""
        return self._writing

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
        with self._guard.section(), self._writing:
            self._socket.sendall(data)

    def poll(self) -> None:
        """Take in whatever has arrived, without waiting.

        Raises `ChannelClosed`, or `MemoryError`; see the class.
        """
        with self._guard.section():
            if not self._reading.acquire(blocking=False):
                return  # Another thread reads; it tells about what is not for itself.
            try:
                self._take_in()
            finally:
                self._reading.release()

    def _take_in(self) -> None:
        while True:
            if not self._unfed:
                try:
                    self._unfed, fds = receive(self._socket, self._read, 4, _NO_WAIT)
                except BlockingIOError:
                    self._arrived.extend(self._unpacker)
                    return
                if not self._unfed:
                    raise ChannelClosed
                self.descriptors.extend(fds)
            with memoryview(self._read)[: self._unfed] as came:
                self._unpacker.feed(came)
            last, self._unfed = self._unfed < _READ, 0
            self._arrived.extend(self._unpacker)
            if last:
                return

    def wait(self, seconds: float | None = None) -> None:
        """Block until something arrives; an interrupt is raised from here."""
        select.select([self._socket], [], [], seconds)
        self.poll()

    def ask(self, command: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Ask the supervisor and wait for its answer, from any thread.

        An interrupt ends the waiting; the answer that comes later is dropped.
        """
        number = next(self._numbers)
        self.send(Question(number, command, arguments))
        main = threading.current_thread() is threading.main_thread()
        while True:
            for answer, _ in self.take(Answer, lambda answer: answer.number == number):
                return dict(answer.body)
            # Another thread may take the answer in between the look and the wait.
            self.wait(0.05)
            if not main and self._arrived:
                self.on_foreign()

    def take(
        self,
        kind: type | tuple[type, ...],
        wanted: Callable[[Any], bool] = lambda message: True,
    ) -> list[tuple[Any, list[bytes]]]:
        """Remove and give the arrived messages of this kind, oldest first; keep the others."""
        with self._guard.section():
            found = []
            for _ in range(len(self._arrived)):
                item = self._arrived.popleft()
                if isinstance(item[0], kind) and wanted(item[0]):
                    found.append(item)
                else:
                    self._arrived.append(item)
            return found

    def put_back(self, items: Sequence[tuple[Any, list[bytes]]]) -> None:
        """Return taken messages to the front of the queue, in their order."""
        self._arrived.extendleft(reversed(items))
