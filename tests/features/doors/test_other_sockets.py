"""Listeners, datagrams and Unix sockets through the door."""

from __future__ import annotations

import os
import socket

import pytest

from sandbox_kernel.trusted.confine.level import Level
from tests.ports import unused_ports

from . import conftest
from .conftest import Raised, Start, Worker, World


def refused(worker: Worker, source: str) -> Raised:
    """The refusal of a connection: always a PermissionError."""
    return conftest.refused(worker, source, ("PermissionError",))


def test_only_a_granted_port_is_listened_on(world: World, start: Start, level: Level) -> None:
    mine, other = unused_ports(2)
    worker = start(world.sockets(f'listen = "127.0.0.1:{mine}"'), level)
    seen = worker.run(
        "it = []\n"
        f"for p in ({mine}, {other}, 0):\n"
        "    s = socket.socket()\n"
        "    try: s.bind(('127.0.0.1', p)); s.listen(); it.append('ok'); kept = s\n"
        "    except PermissionError: it.append('denied')\n"
        "    except OSError as error: it.append(str(error))"
    )
    assert seen == ["ok", "denied", "denied"]
    refused(worker, "socket.socket().listen()")
    worker.send("c, a = kept.accept(); it = c.recv(9).decode(); c.sendall(b'yes')")
    with socket.create_connection(("127.0.0.1", mine), 5) as client:
        client.sendall(b"hello")
        assert worker.answer() == "hello"
        assert client.recv(9) == b"yes"
    taken = worker.follow(world.rights(""))
    assert taken.shut == (f"127.0.0.1:{mine}",)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", mine), 5)


def test_granted_datagrams_go_and_come(world: World, start: Start, level: Level) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.settimeout(5)
        port = service.getsockname()[1]
        worker = start(world.sockets(f'udp = "127.0.0.1:{port}"'), level)
        worker.run(
            "u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"u.settimeout(5); it = u.sendto(b'one', ('127.0.0.1', {port}))"
        )
        data, peer = service.recvfrom(99)
        assert data == b"one"
        service.sendto(b"answer", peer)
        assert worker.value("u.recv(99).decode()") == "answer"
        worker.run(f"u.connect(('127.0.0.1', {port})); u.send(b'two')")
        assert service.recvfrom(99)[0] == b"two"
        refused(worker, f"u.sendto(b'x', ('127.0.0.1', {port + 1}))")
        refused(worker, "u.sendto(b'x', ('192.0.2.1', 53))")
        worker.follow(world.rights(""))
        worker.run("try: u.send(b'three')\nexcept OSError: pass")
        service.settimeout(0.3)
        with pytest.raises(TimeoutError):
            service.recvfrom(99)


def test_unix_sockets_of_the_host_are_not_reached(world: World, start: Start, level: Level) -> None:
    path = str(world.nb / "live.sock")
    with (
        socket.socket(socket.AF_UNIX) as by_path,
        socket.socket(socket.AF_UNIX) as by_name,
    ):
        by_path.bind(path)
        by_path.listen()
        by_path.setblocking(False)
        name = f"sandbox-test-{os.getpid()}"
        by_name.bind(f"\0{name}")
        by_name.listen()
        by_name.setblocking(False)
        worker = start(world.files('path = "."\nmode = "write"'), level)
        for address in (path, "live.sock", f"\\0{name}"):
            refused(
                worker,
                f"s = socket.socket(socket.AF_UNIX); s.settimeout(3); s.connect('{address}')",
            )
        for witness in (by_path, by_name):
            with pytest.raises(BlockingIOError):
                witness.accept()
        # The control: both can be reached from outside the walls.
        for address in (path, f"\0{name}"):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(address)


def test_unix_sockets_among_themselves(world: World, start: Start, level: Level) -> None:
    worker = start(world.rights(""), level)
    got = worker.run(
        "server = socket.socket(socket.AF_UNIX); server.bind(''); server.listen()\n"
        "client = socket.socket(socket.AF_UNIX); client.connect(server.getsockname())\n"
        "peer, _ = server.accept(); peer.sendall(b'hi'); it = client.recv(9).decode()"
    )
    assert got == "hi"
