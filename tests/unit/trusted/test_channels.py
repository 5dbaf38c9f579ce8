"""The kernel's sockets: in which order what has arrived is read."""

import asyncio
import time

import pytest
import zmq
from jupyter_client.session import Session

from sandbox_kernel.trusted.channels import Channels
from sandbox_kernel.trusted.connection import CHANNELS, Connection

KEY = b"k"
#: All of them are to be read, whatever becomes of those before.
KINDS = [
    "good_request",
    "bad_request",
    "good_request",
    "bad_request",
    "bad_request",
    "good_request",
]


@pytest.fixture
def connection(tmp_path):
    ports = {name: number for number, name in enumerate(CHANNELS, 1)}
    return Connection("ipc", str(tmp_path / "kernel"), ports, KEY, "sha256")


def has_arrived(channels: Channels, *names: str) -> bool:
    """Whether each of these sockets has something to read."""
    poller = zmq.Poller()
    for name in names:
        poller.register(channels._sockets[name], zmq.POLLIN)
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if len(poller.poll(100)) == len(names):
            return True
    return False


def test_control_is_read_before_the_requests_that_wait_beside_it(connection):
    """An interrupt that was sent before a cell does not end that cell."""
    channels = Channels(connection)
    channels.bind()
    context = zmq.Context()
    session = Session(key=KEY)
    read = []

    async def read_both() -> None:
        both = asyncio.Event()

        def on(message) -> None:
            read.append(message.type)
            if len(read) == 2:
                both.set()

        channels.listen(dict.fromkeys(("shell", "control", "stdin"), on))
        await asyncio.wait_for(both.wait(), 30)
        channels.close()

    try:
        for name, kind in (("control", "interrupt_request"), ("shell", "execute_request")):
            client = context.socket(zmq.DEALER)
            client.connect(connection.address(name))
            session.send(client, kind, {})
        assert has_arrived(channels, "control", "shell")
        asyncio.run(read_both())
    finally:
        context.destroy(linger=0)
    assert read == ["interrupt_request", "execute_request"]


def test_what_comes_after_a_message_that_cannot_be_handled_is_read(connection):
    channels = Channels(connection)
    channels.bind()
    context = zmq.Context()
    session = Session(key=KEY)
    client = context.socket(zmq.DEALER)
    client.connect(connection.address("control"))
    read, faults = [], []

    async def read_all() -> None:
        came = asyncio.Event()

        def on(message) -> None:
            read.append(message.type)
            came.set()
            if message.type == "bad_request":
                raise RuntimeError("a fault of ours")

        asyncio.get_running_loop().set_exception_handler(
            lambda loop, told: faults.append(str(told["exception"]))
        )
        channels.listen(dict.fromkeys(("shell", "control", "stdin"), on))
        for kind in KINDS:  # ZeroMQ tells only those who had found that there is nothing more.
            came.clear()
            session.send(client, kind, {})
            await asyncio.wait_for(came.wait(), 30)
        channels.close()

    try:
        asyncio.run(read_all())
    finally:
        context.destroy(linger=0)
    assert read == KINDS
    assert faults == ["a fault of ours"] * KINDS.count("bad_request")
