"""Live services on the host, with which the tests of sockets talk."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading
from collections.abc import Callable, Sequence


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


def names(**table: Sequence[str]) -> Callable[[str], Sequence[str]]:
    """A resolver that knows just these names; `_` stands for a dot."""
    known = {name.replace("_", "."): addresses for name, addresses in table.items()}

    def resolve(name: str) -> Sequence[str]:
        if name not in known:
            raise socket.gaierror(-2, "unknown")
        return known[name]

    return resolve


TALK = "s.sendall(b'hello'); it = s.recv(9).decode()"
