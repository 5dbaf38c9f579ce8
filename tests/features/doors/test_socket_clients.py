"""Unmodified clients behind the socket door: requests, TLS, asyncio, a proxy, an interrupt."""

from __future__ import annotations

import http.server
import socket
import ssl
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.doors.proxy import Proxy
from tests.ports import unused_ports

from . import conftest
from .conftest import Raised, Start, Worker, World
from .services import Echo, Pages, names


def refused(worker: Worker, source: str) -> Raised:
    """The refusal of a connection: always a PermissionError."""
    return conftest.refused(worker, source, ("PermissionError",))


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
    (port,) = unused_ports(1)
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
