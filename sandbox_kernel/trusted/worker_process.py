"""One generation of the worker, seen from the supervisor: its channel, its pipes, its end.

Order of what a cell puts out. Python's own streams come as messages, while C code and child
processes write into two pipes. A message says how many bytes stood unread in the pipes when it was
sent; so those are published first, and what is in the pipes beyond them came later. Before bytes
from a pipe are published, the messages that have arrived are taken in.
"""

from __future__ import annotations

import asyncio
import codecs
import logging
import math
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from ..shared import codec
from ..shared.errors import PeerViolation
from ..shared.messages import Finished, FromWorker, Output
from .confine.plan import Level

_log = logging.getLogger(__name__)

_READ = 1 << 18
#: Bytes that may wait for the worker to read them: the two biggest messages.
_MOST_UNSENT = 2 * codec.MAX_BYTES
#: Messages that may wait for it.
_MOST_WAITING = 20_000
#: Rounds of reading before the loop's other work gets its turn.
_ROUNDS = 16
#: The same, when the worker is dead: more than a channel holds, however fast another process that
#: has its end goes on writing.
_LAST_ROUNDS = 4
#: Seconds of handling messages before the loop's other work gets its turn: many small ones take
#: longer than their bytes.
_TURN = 0.02


def how_it_ended(status: int) -> str:
    """Words for an exit code, or for a signal number when it is negative."""
    if status >= 0:
        return f"exit code {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unnamed"
    return f"killed by signal {-status} ({name})"


class Generation(Protocol):
    """What the launcher hands over; see `confine.launch`."""

    channel: socket.socket
    stdout_fd: int
    stderr_fd: int
    pid: int
    pidfd: int
    level: Level
    #: The layers of confinement that this machine lacks.
    missing: tuple[str, ...]
    #: Parts of the installed environment that the worker cannot read.
    unreadable: tuple[str, ...]
    scratch: str

    @property
    def door(self) -> object:
        """What answers the system calls that the filter sends to the supervisor."""

    @property
    def exit_fd(self) -> int:
        """Readable when there is news of the worker's death."""

    def exit_status(self) -> int | None:
        """How it ended (`os.waitstatus_to_exitcode`), or None while it runs."""

    def send_signal(self, number: int) -> None:
        """Signal the worker by its pidfd; nothing happens when it has ended."""

    def expect_fork(self, expected: bool) -> None:
        """Let one fork of the worker through, or none any more."""

    def allow_forks(self, may_fork: Callable[[], bool]) -> None:
        """Cells may start processes as long as `may_fork` says so, asked at each fork."""

    def adopt(
        self,
        pid: int,
        number: int,
        pidfd: int,
        channel: socket.socket,
        stdout_fd: int,
        stderr_fd: int,
    ) -> None:
        """The worker is dead, and its dormant copy `pid` goes on in its place, with these ends.

        `number` is its process id where the worker lives.
        """

    def close(self) -> None:
        """Release descriptors and whatever else belongs to this generation."""


class Owner(Protocol):
    """Who is told what happens with a worker."""

    def on_message(self, message: FromWorker, buffers: list[bytes]) -> None:
        """Called for each message, in order."""

    def on_text(self, name: str, text: str) -> None:
        """Called for what came through the pipe of `stdout` or `stderr`."""

    def on_gone(self, worker: WorkerProcess, reason: str) -> None:
        """Called once, when the worker has ended or was ended for what it sent.

        The owner then calls the worker's `close`, or `hand_over`.
        """


class WorkerProcess:
    """Reads and writes one worker without ever blocking the loop."""

    def __init__(self, generation: Generation, owner: Owner) -> None:
        self._generation = generation
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._unpacker: codec.Unpacker[FromWorker] = codec.Unpacker(FromWorker)
        self._unsent: deque[tuple[memoryview, tuple[int, ...]]] = deque()
        self._unsent_bytes = 0
        self._pipes = {
            name: _Pipe(fd)
            for name, fd in (
                ("stdout", generation.stdout_fd),
                ("stderr", generation.stderr_fd),
            )
        }
        self._violation: str | None = None
        self._gone = False
        self._closed = False
        self._taking_in = False
        self._goes_on = False
        #: What has arrived so far: bytes through channel and pipes, and output messages.
        self.received_bytes = 0
        self.received_messages = 0
        self._socket = generation.channel
        self._socket.setblocking(False)
        self._loop.add_reader(self._socket, self._readable)
        for name, pipe in self._pipes.items():
            self._loop.add_reader(pipe.fd, self._pipe_readable, name)
        self._loop.add_reader(generation.exit_fd, self._ended)

    @property
    def pid(self) -> int:
        """Process id of the worker, as the supervisor sees it; to look at, never to signal."""
        return self._generation.pid

    @property
    def scratch(self) -> str:
        """Path of the scratch, as the worker sees it."""
        return self._generation.scratch

    @property
    def gone(self) -> bool:
        """True when this worker is over."""
        return self._gone

    # -- to the worker

    def send(
        self,
        message: msgspec.Struct,
        buffers: Sequence[bytes] = (),
        descriptors: tuple[int, ...] = (),
    ) -> None:
        """Queue a message. Raises `codec.MessageTooBig`; nothing is queued then.

        `descriptors` travel with it, and are closed here once they are sent.
        """
        if self._gone:
            _close(descriptors)
            return
        data = codec.pack(message, buffers)
        self._unsent_bytes += len(data)
        if self._unsent_bytes > _MOST_UNSENT or len(self._unsent) >= _MOST_WAITING:
            _close(descriptors)
            self.kill("it asks and does not read the answers")
            return
        self._unsent.append((memoryview(data), descriptors))
        if len(self._unsent) == 1:
            self._writable()

    def interrupt(self) -> None:
        """Raise KeyboardInterrupt in the cell, if one runs."""
        self._generation.send_signal(signal.SIGINT)

    def urge(self) -> None:
        """Have the worker look at its channel now, although a cell runs."""
        self._generation.send_signal(signal.SIGURG)

    def kill(self, why: str | None = None) -> None:
        """End it at once. `why` becomes the reason that `on_gone` is given."""
        self._violation = self._violation or why
        self._generation.send_signal(signal.SIGKILL)

    def expect_fork(self, expected: bool) -> None:
        """Let the worker fork once, because it was ordered to, or not any more."""
        self._generation.expect_fork(expected)

    def allow_forks(self, may_fork: Callable[[], bool]) -> None:
        """Cells may start processes as long as `may_fork` says so, asked at each fork."""
        self._generation.allow_forks(may_fork)

    def hand_over(self) -> Generation:
        """What is left of a worker that is gone, for its dormant copy to go on with."""
        self._closed = True
        return self._generation

    def close(self) -> None:
        """Stop watching, end the process, release its resources; `on_gone` is not called."""
        self._stop_watching()
        if not self._closed:
            self._closed = True
            self._generation.send_signal(signal.SIGKILL)
            self._generation.close()

    def _stop_watching(self) -> None:
        if self._gone:
            return
        self._gone = True
        for fd in (self._socket, self._generation.exit_fd):
            self._loop.remove_reader(fd)
        self._loop.remove_writer(self._socket)
        for pipe in self._pipes.values():
            self._loop.remove_reader(pipe.fd)
        self._drop_unsent()

    def _drop_unsent(self) -> None:
        for _, descriptors in self._unsent:
            _close(descriptors)
        self._unsent.clear()
        self._unsent_bytes = 0

    def _writable(self) -> None:
        try:
            while self._unsent:
                data, descriptors = self._unsent[0]
                if descriptors:
                    sent = socket.send_fds(self._socket, [data], descriptors)
                    _close(descriptors)
                else:
                    sent = self._socket.send(data)
                self._unsent_bytes -= sent
                if sent < len(data):
                    self._unsent[0] = data[sent:], ()
                else:
                    self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._writable)
            return
        except OSError:
            self._drop_unsent()  # It has ended; `_ended` comes.
        self._loop.remove_writer(self._socket)

    # -- from the worker

    def _readable(self, seconds: float = _TURN, rounds: int = _ROUNDS) -> bool:
        """Take in what has arrived, in its order, for about so many `seconds`.

        True when there is more than that.
        """
        if self._taking_in or self._gone or self._violation:
            return False
        self._taking_in = True
        end = self._loop.time() + seconds
        try:
            if self._take_messages(end):
                return True
            for _ in range(rounds):
                try:
                    data = self._socket.recv(_READ)
                except BlockingIOError:
                    return False
                except OSError:
                    data = b""
                if not data:
                    self._loop.remove_reader(self._socket)
                    return False
                self.received_bytes += len(data)
                self._unpacker.feed(data)
                if self._take_messages(end):
                    return True
                if self._violation:
                    return False
            return True
        except PeerViolation as violation:
            self._loop.remove_reader(self._socket)
            self.kill(f"it broke the protocol: {violation}")
            return False
        except Exception:
            # A fault of ours, set off by what the worker sent: it may not be half handled.
            _log.exception("a message of the worker could not be handled")
            self._loop.remove_reader(self._socket)
            self.kill("a message of it could not be handled; the server's log says why")
            return False
        finally:
            self._taking_in = False

    def _take_messages(self, end: float) -> bool:
        """Handle the messages that are complete; True when the loop's time `end` came before."""
        for message, buffers in self._unpacker:
            if self._violation:
                return False  # What is condemned says nothing more, not even that it is through.
            if isinstance(message, Output | Finished):
                self.received_messages += isinstance(message, Output)
                self._publish_pipes(message.pipes)
            self._owner.on_message(message, buffers)
            if self._loop.time() >= end:
                if not self._goes_on:
                    # The socket may have nothing more to say.
                    self._goes_on = True
                    self._loop.call_soon(self._go_on)
                return True
        return False

    def _go_on(self) -> None:
        self._goes_on = False
        self._readable()

    def _publish_pipes(self, sizes: tuple[int, int]) -> None:
        for (name, pipe), size in zip(self._pipes.items(), sizes, strict=True):
            if size > 0 and (text := pipe.read(min(size, 1 << 24))):
                self.received_bytes += len(text)
                self._owner.on_text(name, text)

    def _pipe_readable(self, name: str) -> None:
        if self._readable():
            return  # What the pipe holds came later.
        pipe = self._pipes[name]
        text = pipe.read(_READ)
        if text:
            self.received_bytes += len(text)
            self._owner.on_text(name, text)
        if pipe.ended:
            self._loop.remove_reader(pipe.fd)

    def _ended(self) -> None:
        status = self._generation.exit_status()
        if status is None or self._gone:
            return
        self._readable(math.inf, _LAST_ROUNDS)
        for name, pipe in self._pipes.items():
            if text := pipe.read(1 << 24):
                self._owner.on_text(name, text)
        reason = self._violation or how_it_ended(status)
        self._stop_watching()
        self._owner.on_gone(self, reason)


def _close(descriptors: tuple[int, ...]) -> None:
    for fd in descriptors:
        os.close(fd)


class _Pipe:
    """The reading end of a pipe of UTF-8 text; bytes that are none are shown as U+FFFD."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.ended = False
        os.set_blocking(fd, False)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def read(self, most: int) -> str:
        """What is there now, `most` bytes of it."""
        parts = []
        while most > 0:
            try:
                data = os.read(self.fd, min(most, _READ))
            except BlockingIOError:
                break
            if not data:
                self.ended = True
                break
            most -= len(data)
            parts.append(self._decoder.decode(data))
        return "".join(parts)
