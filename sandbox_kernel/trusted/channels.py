"""The kernel's five ZeroMQ sockets: the only place of it that makes messages, and signs them.

Wire format: https://jupyter-client.readthedocs.io/en/stable/messaging.html#wire-protocol. Sockets
are driven by the asyncio loop through their ZeroMQ descriptor, which is edge-triggered: after every
send and receive the events are looked at again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
import zmq

from ..shared.errors import BadConnection
from ..shared.wire import SIGNED, Author, Signer, decode
from .connection import Connection

#: Signatures remembered to refuse a message that is sent again.
_REMEMBERED = 1 << 16
#: IOPub messages that a slow client may lag behind before it loses some.
_IOPUB_BACKLOG = 100_000
#: Seconds between two tries to reach a client whose stdin socket is not connected.
_TRY_AGAIN = 0.05
#: As plain numbers: `|` and `&` of their enumerations are a good part of a small message's cost.
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_LAST, _MORE = int(zmq.NOBLOCK), int(zmq.NOBLOCK | zmq.SNDMORE)

_log = logging.getLogger(__name__)


def _prompt_named(parent: Any) -> str:
    """The `input_request` that a reply names; clients that name none send an empty header."""
    if not isinstance(parent, dict) or parent.get("msg_type") != "input_request":
        return ""
    named = parent.get("msg_id")
    return named if isinstance(named, str) else ""


def _readable(socket: zmq.Socket[bytes]) -> bool:
    return bool(int(socket.getsockopt(_EVENTS)) & _POLLIN)


class Incoming(msgspec.Struct, frozen=True):
    """A message from a client whose signature is right.

    `prompt` is the msg_id of the `input_request` that it names as its parent; empty for none.
    """

    channel: str
    identities: list[bytes]
    header: dict[str, Any]
    content: dict[str, Any]
    metadata: dict[str, Any]
    buffers: list[bytes]
    prompt: str = ""

    @property
    def type(self) -> str:
        """The Jupyter msg_type."""
        return str(self.header["msg_type"])

    @property
    def id(self) -> str:
        """The Jupyter msg_id, chosen by the client."""
        return str(self.header["msg_id"])


Handler = Callable[[Incoming], None]


class Channels:
    """Binds, receives, signs and sends. All methods belong to one thread, `listen` and what
    follows it to the loop's.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._signer = Signer(connection.key, connection.digest)
        self._author = Author(self._signer, "kernel")
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._handlers: dict[str, Handler] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._due: set[str] = set()
        self._undelivered: list[bytes] = []
        self._topic = f"kernel.{uuid.uuid4().hex}.".encode()

    def ports(self) -> dict[str, Any]:
        """Content of `connect_reply`: what every client has read in the connection file."""
        ports = {f"{name}_port": port for name, port in self._connection.ports.items()}
        return {"status": "ok", **ports}

    def bind(self) -> None:
        """Bind all sockets; what arrives from then on waits for `listen`.

        A client that finds a socket not bound yet tries again 100 to 200 ms later, so this comes
        early in a kernel's start. Raises `BadConnection` when an address is taken or impossible.
        """
        kinds = dict.fromkeys(("shell", "control", "stdin", "hb"), zmq.ROUTER)
        for name, kind in {**kinds, "iopub": zmq.XPUB}.items():
            socket = self._sockets[name] = self._context.socket(kind)
            socket.linger = 1000
            if kind == zmq.ROUTER:
                socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
                # A client connects each socket by itself: a cell may ask before its stdin is there.
                socket.setsockopt(zmq.ROUTER_MANDATORY, name == "stdin")
            else:
                socket.setsockopt(zmq.SNDHWM, _IOPUB_BACKLOG)
            if self._connection.curve is not None:
                socket.curve_publickey, socket.curve_secretkey = self._connection.curve
                socket.curve_server = True
            address = self._connection.address(name)
            try:
                socket.bind(address)
            except zmq.ZMQError as error:
                self.close()
                raise BadConnection(
                    f"the {name} channel cannot be bound to {address}: {error.strerror}. Is "
                    "another kernel running with this connection file? Each needs its own."
                ) from None

    def listen(self, handlers: Mapping[str, Handler]) -> None:
        """Give what arrives to `handlers`, by channel; on the running loop."""
        self._handlers = dict(handlers)
        loop = asyncio.get_running_loop()
        for name, socket in self._sockets.items():
            loop.add_reader(int(socket.getsockopt(zmq.FD)), self._receive, name)
            self._look_again(name)
        self.drain("iopub")  # Who has subscribed is welcomed before anything else is published.

    def close(self) -> None:
        """Send what waits (for a second at most) and close the sockets."""
        for socket in self._sockets.values():
            if self._handlers:
                loop = asyncio.get_running_loop()
                loop.remove_reader(int(socket.getsockopt(zmq.FD)))
            socket.close()
        self._sockets.clear()
        self._context.term()

    def drain(self, name: str) -> None:
        """Take in all that has already arrived on a channel, before the loop's next turn."""
        while (socket := self._sockets.get(name)) is not None and _readable(socket):
            self._receive(name)

    def _look_again(self, name: str) -> None:
        if name not in self._due:
            self._due.add(name)
            asyncio.get_running_loop().call_soon(self._receive, name)

    def _receive(self, name: str) -> None:
        self._due.discard(name)
        for _ in range(64):
            if name == "shell":
                self.drain("control")  # What was sent before a request is not read after it.
            socket = self._sockets.get(name)
            if socket is None or not _readable(socket):
                return
            try:
                self._dispatch(name, socket.recv_multipart(zmq.NOBLOCK))
            except BaseException:
                self._look_again(name)  # A fault of ours must not leave what comes next unread.
                raise
        self._look_again(name)  # More may wait; the others get their turn first.

    def _dispatch(self, name: str, frames: list[bytes]) -> None:
        if name == "hb":
            self._sockets["hb"].send_multipart(frames)
        elif name == "iopub":
            if frames[0][:1] == b"\x01":
                topic = frames[0][1:]
                body = {"subscription": topic.decode("utf-8", "replace")}
                self._transmit("iopub", [topic] if topic else [], "iopub_welcome", body, {})
        else:
            try:
                message = self._parse(name, frames)
            except (ValueError, KeyError, RecursionError) as error:
                _log.warning("a message on %s was dropped: %s", name, error)
                return
            self._handlers[name](message)

    def _parse(self, name: str, frames: list[bytes]) -> Incoming:
        cut, signature, parts = self._signer.checked(frames)
        if signature in self._seen:
            raise ValueError("it was sent before")
        self._seen[signature] = None
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        header, parent, metadata, content = map(decode, parts[:SIGNED])
        if not all(isinstance(x, dict) for x in (header, metadata, content)):
            raise ValueError("header, metadata and content are objects")
        for key in ("msg_id", "msg_type"):
            if not isinstance(header[key], str):
                raise ValueError(f"{key} is a text")
        prompt = _prompt_named(parent)
        buffers = list(parts[SIGNED:])
        return Incoming(name, frames[:cut], header, content, metadata, buffers, prompt)

    def _transmit(
        self,
        name: str,
        prefix: Sequence[bytes],
        kind: str,
        content: Mapping[str, Any],
        parent: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        buffers: Sequence[bytes] = (),
    ) -> str:
        message_id, signed = self._author.message(kind, content, parent, metadata or {})
        frames = [*prefix, *signed, *buffers]
        socket = self._sockets.get(name)
        if socket is None:
            return message_id  # Closing: there is nobody left to tell.
        if name == "stdin":
            self._undelivered = frames
            self._prompt_again(frames)
            return message_id
        try:
            for frame in frames[:-1]:
                socket.send(frame, _MORE)
            socket.send(frames[-1], _LAST)
        except zmq.Again:
            _log.warning("a %s message was dropped: the client does not read", kind)
        self._look_again(name)
        return message_id

    def withdraw_prompt(self) -> None:
        """Stop trying to deliver the last prompt: nobody waits for its answer any more."""
        self._undelivered = []

    def _prompt_again(self, frames: list[bytes]) -> None:
        """Send a prompt once its client can be reached, unless a newer one took its place."""
        socket = self._sockets.get("stdin")
        if socket is None or self._undelivered is not frames:
            return
        try:
            socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.ZMQError as error:
            if error.errno not in (errno.EHOSTUNREACH, errno.EAGAIN):
                raise
            asyncio.get_running_loop().call_later(_TRY_AGAIN, self._prompt_again, frames)
        else:
            self._undelivered = []
        self._look_again("stdin")

    def reply(
        self,
        to: Incoming,
        kind: str,
        content: Mapping[str, Any],
        metadata: Mapping[str, Any] | None = None,
        *,
        channel: str | None = None,
    ) -> str:
        """Send a message to the client that sent `to`, on its channel unless another is named.

        Returns its msg_id.
        """
        return self._transmit(
            channel or to.channel, to.identities, kind, content, to.header, metadata
        )

    def publish(
        self,
        kind: str,
        content: Mapping[str, Any],
        parent: Mapping[str, Any] | None,
        metadata: Mapping[str, Any] | None = None,
        buffers: Sequence[bytes] = (),
    ) -> None:
        """Send a message to all clients, on IOPub. `parent` is the header of what caused it."""
        topic = [self._topic + kind.encode()]
        self._transmit("iopub", topic, kind, content, parent or {}, metadata, buffers)

    def status(self, state: str, parent: Mapping[str, Any] | None) -> None:
        """Publish the kernel's state: `starting`, `busy` or `idle`."""
        self.publish("status", {"execution_state": state}, parent)
