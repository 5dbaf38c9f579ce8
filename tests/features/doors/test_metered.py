"""Connections whose bytes are counted: known by their names, ended with their rights."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from sandbox_kernel.trusted.capabilities.sockets.decide import decide_address
from sandbox_kernel.trusted.capabilities.sockets.schema import AddressRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved, Denied
from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.doors.proxy import Proxy

from .conftest import Worker, World

Start = Callable[..., Worker]
TALK = "s.sendall(b'hello'); it = s.recv(9).decode()"


@pytest.fixture(params=[Level.FULL, Level.NO_NAMESPACES], ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    found: Level = request.param
    return found


class Service:
    """Sends back what it gets, in capitals; `ended` when a connection has come to its end."""

    def __init__(self, *, tunnel: bool = False) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        self.ended = threading.Event()
        self._tunnel = tunnel
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        try:
            connection, _ = self.server.accept()
        except OSError:
            return
        with connection:
            if self._tunnel:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += connection.recv(1)
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            try:
                while data := connection.recv(65536):
                    connection.sendall(data.upper())
            except OSError:
                pass  # Shut down in the midst: an end too.
        self.ended.set()


@pytest.fixture
def services() -> Iterator[Callable[..., Service]]:
    made: list[Service] = []

    def start(**options: bool) -> Service:
        made.append(Service(**options))
        return made[-1]

    yield start
    for service in made:
        service.server.close()


def metered(port: int) -> str:
    return f'connect = "far.test:{port}"\nprivate = true\nmax_bytes = "1 MB"'


def resolver(name: str) -> list[str]:
    return {"far.test": ["127.0.0.1"]}[name]


def test_a_metered_connection_is_held_to_the_right_of_its_name(
    world: World, start: Start, level: Level, services: Callable[..., Service]
) -> None:
    service = services()
    rights = world.sockets(metered(service.port))
    worker = start(rights, level, resolver=resolver)
    worker.run(f"s = socket.create_connection(('far.test', {service.port}), 5)")
    assert worker.run(TALK) == "HELLO"
    # Other rights come and go; the name is still covered, so the connection stays.
    assert worker.follow(world.sockets(metered(service.port), 'connect = "x.test:1"')).shut == ()
    assert worker.run(TALK) == "HELLO"
    # The control: its address alone is covered by no right.
    for name, kind in (("far.test", Approved), (None, Denied)):
        request = AddressRequest("connect", name, "127.0.0.1", service.port)
        assert isinstance(decide_address(request, rights), kind)
    taken = worker.follow(world.rights(""))
    assert taken.shut == (f"far.test:{service.port}",)
    assert service.ended.wait(5)
    assert worker.value("s.recv(9)") == "b''"


def test_a_metered_connection_through_a_proxy_is_one_to_its_name(
    world: World, start: Start, level: Level, services: Callable[..., Service]
) -> None:
    proxy = services(tunnel=True)
    where = Proxy("127.0.0.1", proxy.port)
    rights = world.sockets(metered(443))
    worker = start(rights, level, resolver=resolver, proxy=lambda host, port: where)
    worker.run("s = socket.create_connection(('far.test', 443), 5)")
    assert worker.run(TALK) == "HELLO"
    assert worker.follow(rights).shut == ()
    assert worker.run(TALK) == "HELLO"
    assert worker.follow(world.rights("")).shut == ("far.test:443",)
    assert proxy.ended.wait(5)
