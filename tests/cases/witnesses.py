"""Live services on the host that count who contacts them.

A witness stands outside every wall: where a case says that nothing went out, these saw nothing.
A contact is a connection made or a datagram that arrived, whatever was said over it.
"""

from __future__ import annotations

import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.cases.world import inside

DATAGRAM_BYTES = 4096


class Witness:
    """One service; `contacts` tells in a few words who came."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port: int | None = None
        self.contacts: list[str] = []

    def saw(self, contact: object) -> None:
        """Note one contact. Called from the threads of the service."""
        self.contacts.append(str(contact))


class _Stream(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Accepts, notes, says nothing and closes."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True

    def __init__(self, witness: Witness, family: int, address: Any, handler: type) -> None:
        self.witness = witness
        self.address_family = family
        super().__init__(address, handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        self.witness.saw(f"connection from {peer or 'a local socket'}")
        return connection, peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A peer that hangs up or that refuses our certificate is no fault of the witness."""


class _Silent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.settimeout(5)
        while self.request.recv(DATAGRAM_BYTES):
            pass


class _Web(_Stream):
    """HTTP over `_Stream`; the TLS handshake is made in the connection's own thread."""

    def __init__(
        self,
        witness: Witness,
        family: int,
        address: Any,
        routes: Mapping[str, Mapping[str, Any]],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.routes = routes
        self.tls = tls
        super().__init__(witness, family, address, _Route)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.tls is not None:
            request.settimeout(10)
            with self.tls.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
            return
        super().finish_request(request, client_address)


class _Route(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    do_PUT = do_POST
    do_DELETE = do_GET

    def _answer(self) -> None:
        server = self.server
        assert isinstance(server, _Web)
        server.witness.saw(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        route = server.routes.get(self.path) or server.routes.get(path)
        body = (route.get("text", "") if route else "no such page").encode()
        self.send_response(int(route.get("status", 200)) if route else 404)
        headers = dict(route.get("headers", {})) if route else {}
        headers.setdefault("Content-Type", "text/plain; charset=utf-8")
        headers.setdefault("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The witness keeps its own list."""


class _Datagrams(socketserver.UDPServer):
    """Notes every datagram and answers nothing."""

    max_packet_size = DATAGRAM_BYTES

    def __init__(self, witness: Witness, family: int, address: Any) -> None:
        self.witness = witness
        self.address_family = family
        super().__init__(address, socketserver.BaseRequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.witness.saw(f"{request[0][:60]!r} from {client_address}")


class Witnesses(ExitStack):
    """The services of one case, live from `start` to the end of the ``with`` block."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: dict[str, Witness] = {}
        self.dns: tuple[str, int] | None = None
        self._certificates: list[tuple[str, bytes]] = []

    def start(self, service: Mapping[str, Any], world: Path, scratch: Path) -> None:
        """Start one service. `scratch` takes the keys of a TLS service.

        Raises `OSError` where the address is taken, `CalledProcessError` from openssl.
        """
        witness = Witness(service["name"])
        kind = service["kind"]
        server: socketserver.BaseServer
        if kind == "unix":
            server = _Stream(witness, socket.AF_UNIX, _unix_address(service, world), _Silent)
        else:
            host = service.get("host", "127.0.0.1")
            port = service.get("port", "auto")
            address = (host, 0 if port == "auto" else int(port))
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            if kind == "tcp":
                server = _Stream(witness, family, address, _Silent)
            elif kind == "http":
                tls = self._tls(service["tls"], scratch) if "tls" in service else None
                server = _Web(witness, family, address, service.get("routes", {}), tls)
            else:
                server = _Datagrams(witness, family, address)
            witness.port = server.server_address[1]
            if kind == "dns":
                self.dns = (host, witness.port)
        self.callback(server.server_close)
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        self.callback(server.shutdown)
        self.by_name[witness.name] = witness

    def write_certificates(self, world: Path) -> None:
        """Put the CA certificates where the case asks for them, over any fixture there."""
        for path, certificate in self._certificates:
            target = inside(world, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(certificate)

    def _tls(self, tls: Mapping[str, str], scratch: Path) -> ssl.SSLContext:
        context, certificate = _tls_context(tls["name"], scratch)
        self._certificates.append((tls["ca"], certificate))
        return context

    def placeholder_names(self) -> dict[str, str]:
        """``NAME.port`` for every service that has a port."""
        return {
            f"{name}.port": str(witness.port)
            for name, witness in self.by_name.items()
            if witness.port is not None
        }

    def check(self, after: Mapping[str, Any]) -> list[str]:
        """The reasons why ``contact`` and ``no_contact`` do not hold."""
        reasons = []
        for name in after.get("no_contact", ()):
            contacts = self.by_name[name].contacts
            if contacts:
                reasons.append(f"no_contact: {name} saw {'; '.join(contacts[:3])}")
        for name in after.get("contact", ()):
            if not self.by_name[name].contacts:
                reasons.append(f"contact: nobody came to {name}")
        return reasons


def _unix_address(service: Mapping[str, Any], world: Path) -> str:
    path = str(service["path"])
    if path.startswith("@"):
        return f"\0{path[1:]}"
    target = inside(world, path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return str(target)


def _tls_context(name: str, scratch: Path) -> tuple[ssl.SSLContext, bytes]:
    """A server context with a certificate for `name`, and the certificate of the CA behind it."""
    ca, leaf = scratch / f"ca-{name}", scratch / f"leaf-{name}"
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    _openssl(
        ["req", "-x509", *key, "-keyout", f"{ca}.key", "-out", f"{ca}.pem"]
        + ["-subj", "/CN=acceptance case CA", "-addext", "keyUsage=critical,keyCertSign"]
    )
    _openssl(
        ["req", "-x509", *key, "-keyout", f"{leaf}.key", "-out", f"{leaf}.pem"]
        + ["-subj", f"/CN={name}", "-addext", f"subjectAltName={_alternative_name(name)}"]
        + ["-addext", "basicConstraints=critical,CA:FALSE"]
        + ["-CA", f"{ca}.pem", "-CAkey", f"{ca}.key"]
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{leaf}.pem", f"{leaf}.key")
    return context, Path(f"{ca}.pem").read_bytes()


def _alternative_name(name: str) -> str:
    numeric = name.replace(".", "").isdigit() or ":" in name
    return f"{'IP' if numeric else 'DNS'}:{name}"


def _openssl(arguments: list[str]) -> None:
    subprocess.run(
        ["openssl", *arguments],
        check=True,
        capture_output=True,
        timeout=30,
        env={"PATH": os.environ.get("PATH", os.defpath)},
    )
