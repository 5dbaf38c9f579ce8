"""Sockets through the door, with live services on the host as witnesses."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.doors.proxy import Proxy

from .conftest import Raised, Worker, World, run_as_nobody

Start = Callable[..., Worker]
LEVELS = [Level.FULL, Level.NO_NAMESPACES]


@pytest.fixture(params=LEVELS, ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    found: Level = request.param
    return found


class Echo:
    """A service that counts who came and sends back what it gets, in capitals."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.server = socket.create_server((host, 0), family=family)
        self.port = self.server.getsockname()[1]
        self.contacts = 0
        self._counted = threading.Condition()
        self.ended = threading.Event()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with self._counted:
                self.contacts += 1
                self._counted.notify_all()
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def has_contacts(self, number: int) -> bool:
        """Whether there are so many, soon: a connection stands before the server has taken it."""
        with self._counted:
            return self._counted.wait_for(lambda: self.contacts >= number, 10) and (
                self.contacts == number
            )

    def _talk(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                connection.sendall(data.upper())
        self.ended.set()

    def close(self) -> None:
        self.server.close()


@pytest.fixture
def echo() -> Iterator[Echo]:
    service = Echo()
    yield service
    service.close()


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers every GET with the host that was asked for."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"pong {self.headers['Host'].split(':')[0]}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def names(**table: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """A resolver that knows just these names; `_` stands for a dot."""
    known = {name.replace("_", "."): addresses for name, addresses in table.items()}

    def resolve(name: str) -> Sequence[str]:
        if name not in known:
            raise socket.gaierror(-2, "unknown")
        return known[name]

    return resolve


def refused(worker: Worker, source: str) -> Raised:
    with pytest.raises(Raised) as caught:
        worker.run(source)
    assert caught.value.kind == "PermissionError", caught.value
    return caught.value


TALK = "s.sendall(b'hello'); it = s.recv(9).decode()"


# --- what is not granted -----------------------------------------------------------------------


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


# --- names -------------------------------------------------------------------------------------


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


# --- libraries ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "get",
    [
        "import urllib.request; it = urllib.request.urlopen('http://web.test:PORT/').read().decode()",
        "import requests; it = requests.get('http://web.test:PORT/').text",
        "import httpx; it = httpx.get('http://web.test:PORT/').text",
        "import httpx, asyncio\n"
        "async def get():\n"
        "    async with httpx.AsyncClient() as c:\n"
        "        return (await c.get('http://web.test:PORT/')).text\n"
        "it = asyncio.run(get())",
        "import asyncio\n"
        "async def get():\n"
        "    r, w = await asyncio.open_connection('web.test', PORT)\n"
        "    w.write(b'GET / HTTP/1.0\\r\\nHost: web.test\\r\\n\\r\\n'); await w.drain()\n"
        "    text = (await r.read()).decode(); w.close(); return text[-13:]\n"
        "it = asyncio.run(get())",
    ],
    ids=["urllib", "requests", "httpx", "httpx async", "asyncio"],
)
def test_unmodified_clients_work(
    world: World,
    start: Start,
    level: Level,
    web: http.server.ThreadingHTTPServer,
    get: str,
) -> None:
    rights = world.sockets(f'connect = "web.test:{web.server_port}"\nprivate = true')
    worker = start(rights, level, resolver=names(web_test=["127.0.0.1"]))
    assert worker.run(get.replace("PORT", str(web.server_port))) == "pong web.test"


def test_tls_sees_the_real_host_name(
    world: World, start: Start, level: Level, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        + ["-keyout", key, "-out", certificate, "-subj", "/CN=tls.test"]
        + ["-addext", "subjectAltName=DNS:tls.test"],
        capture_output=True,
    )
    if made.returncode:
        pytest.skip("no openssl command")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        rights = world.rights(
            f'[[given.sockets]]\nreason = "t"\nconnect = "tls.test:{server.server_port}"\n'
            "private = true\n"
            f'[[given.files]]\nreason = "t"\npath = "{certificate}"\nmode = "read"'
        )
        worker = start(rights, level, resolver=names(tls_test=["127.0.0.1"]))
        got = worker.run(
            "import ssl, urllib.request\n"
            f"context = ssl.create_default_context(cadata={certificate.read_text()!r})\n"
            f"it = urllib.request.urlopen('https://tls.test:{server.server_port}/',"
            " context=context).read().decode()"
        )
        assert got == "pong tls.test"
    finally:
        server.shutdown()
        server.server_close()


def test_a_waiting_connect_in_an_epoll_set_stays_in_it(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
    seen = worker.run(
        "import select, errno\n"
        "s = socket.socket(); s.setblocking(False); s.setsockopt(socket.SOL_SOCKET,"
        " socket.SO_KEEPALIVE, 1); s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)\n"
        "d = os.dup(s.fileno())\n"
        "ep = select.epoll(); ep.register(s.fileno(), select.EPOLLOUT)\n"
        f"code = s.connect_ex(('127.0.0.1', {echo.port}))\n"
        "ready = ep.poll(5)\n"
        "it = [code in (0, errno.EINPROGRESS), [n == s.fileno() for n, e in ready],"
        " s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), s.getblocking(),"
        " s.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE),"
        " s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)]"
    )
    assert seen == [True, [True], 0, False, 1, 1]
    got = worker.run(
        "ep.modify(s.fileno(), select.EPOLLIN); os.write(d, b'via the duplicate')\n"
        "ep.poll(5); it = s.recv(99).decode(); ep.unregister(s.fileno())"
    )
    assert got == "VIA THE DUPLICATE"


def test_a_refused_connection_is_refused_as_anywhere(
    world: World, start: Start, level: Level
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    worker = start(world.sockets(f'connect = "localhost:{port}"'), level)
    for wait in ("None", "3"):
        with pytest.raises(Raised) as caught:
            worker.run(
                f"s = socket.socket(); s.settimeout({wait}); s.connect(('127.0.0.1', {port}))"
            )
        assert caught.value.kind == "ConnectionRefusedError"


def test_the_peer_sees_the_end_of_the_connection(
    world: World, start: Start, level: Level, echo: Echo
) -> None:
    worker = start(world.sockets(f'connect = "localhost:{echo.port}"'), level)
    worker.run(f"s = socket.create_connection(('127.0.0.1', {echo.port})); s.close()")
    assert echo.ended.wait(5)


# --- taking away -------------------------------------------------------------------------------


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


# --- listening ---------------------------------------------------------------------------------


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


def test_only_a_granted_port_is_listened_on(world: World, start: Start, level: Level) -> None:
    mine, other = _free_ports(2)
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


# --- datagrams ---------------------------------------------------------------------------------


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


# --- Unix sockets ------------------------------------------------------------------------------


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


# --- the site's proxy --------------------------------------------------------------------------


def test_a_granted_name_is_reached_through_the_sites_proxy(
    world: World, start: Start, level: Level, web: http.server.ThreadingHTTPServer
) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.settimeout(5)

        def serve() -> None:
            client, _ = proxy.accept()
            with client, socket.create_connection(("127.0.0.1", web.server_port)) as onward:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += client.recv(1)
                asked.append(head.splitlines()[0])
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                onward.sendall(client.recv(65536))
                while data := onward.recv(65536):  # The client asked for one answer only.
                    client.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        where = Proxy("127.0.0.1", proxy.getsockname()[1])
        worker = start(
            world.sockets('connect = "far.test:80"'),
            level,
            resolver=names(),
            proxy=lambda host, port: where,
        )
        got = worker.run(
            "import urllib.request; it = urllib.request.urlopen('http://far.test/').read().decode()"
        )
        assert got == "pong far.test"
        assert asked == [b"CONNECT far.test:80 HTTP/1.1"]
        refused(worker, f"socket.create_connection(('127.0.0.1', {where.port}), 5)")
        thread.join(5)


# --- interrupts --------------------------------------------------------------------------------


def test_a_connect_that_waits_can_be_interrupted(world: World, start: Start, level: Level) -> None:
    begun = threading.Event()
    go_on = threading.Event()

    def slow(name: str) -> Sequence[str]:
        begun.set()
        go_on.wait(10)
        return ["127.0.0.1"]

    worker = start(world.sockets('connect = "slow.test:80"'), level, resolver=slow)
    worker.send(
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "socket.create_connection(('slow.test', 80))"
    )
    assert begun.wait(5)
    worker.on_loop(worker.generation.send_signal, 2)
    worker.on_loop(worker.doors.interrupted)
    with pytest.raises(Raised) as caught:
        worker.answer()
    assert caught.value.kind == "KeyboardInterrupt"
    go_on.set()
    assert worker.value("1 + 1") == 2


# --- as another user ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(420)
@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_all_of_this_as_an_unprivileged_user() -> None:
    run_as_nobody(__file__)
