"""The live services: each notes who came, and nobody when nobody did."""

from __future__ import annotations

import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cases.launch import resolver
from tests.cases.needs import unmet
from tests.cases.witnesses import Witness, Witnesses
from tests.cases.world import inside

ROUTES = {"/ping": {"status": 203, "text": "pong", "headers": {"X-Case": "yes"}}}


class Noting(Witness):
    """A witness whose contacts can be waited for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.came = threading.Event()

    def saw(self, contact: object) -> None:
        super().saw(contact)
        self.came.set()


@pytest.fixture
def witnesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Witnesses]:
    monkeypatch.setattr("tests.cases.witnesses.Witness", Noting)
    (tmp_path / "outside").mkdir()
    with Witnesses() as live:
        yield live


def start(witnesses: Witnesses, tmp_path: Path, **service: Any) -> Noting:
    """Start one service; its witness."""
    witnesses.start({"name": "it", **service}, tmp_path, tmp_path)
    witness = witnesses.by_name["it"]
    assert isinstance(witness, Noting)
    return witness


def tcp(witness: Witness, _: Path) -> None:
    socket.create_connection(("127.0.0.1", witness.port or 0), 5).close()


def udp(witness: Witness, _: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"leak", ("127.0.0.1", witness.port or 0))


def dns(witness: Witness, _: Path) -> None:
    with pytest.raises(socket.gaierror):
        resolver({}, ("127.0.0.1", witness.port or 0))("secret.evil.test")


def unix_path(_: Witness, world: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(world / "outside/live.sock"))


def unix_abstract(_: Witness, __: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0case_test_abstract")


SERVICES: list[tuple[dict[str, Any], Callable[[Witness, Path], None]]] = [
    ({"kind": "tcp", "host": "127.0.0.1", "port": "auto"}, tcp),
    ({"kind": "http", "host": "127.0.0.1", "port": "auto"}, tcp),
    ({"kind": "udp", "host": "127.0.0.1", "port": "auto"}, udp),
    ({"kind": "dns", "host": "127.0.0.1", "port": "auto"}, dns),
    ({"kind": "unix", "path": "outside/live.sock"}, unix_path),
    ({"kind": "unix", "path": "@case_test_abstract"}, unix_abstract),
]


@pytest.mark.parametrize(("service", "contact"), SERVICES, ids=[s[1].__name__ for s in SERVICES])
def test_a_service_notes_a_contact(
    witnesses: Witnesses,
    tmp_path: Path,
    service: dict[str, Any],
    contact: Callable[[Witness, Path], None],
) -> None:
    witness = start(witnesses, tmp_path, **service)
    assert witnesses.check({"no_contact": ["it"]}) == []
    assert witnesses.check({"contact": ["it"]}) != []
    contact(witness, tmp_path)
    assert witness.came.wait(5)
    assert witnesses.check({"no_contact": ["it"]}) != []
    assert witnesses.check({"contact": ["it"]}) == []


def test_http_routes(witnesses: Witnesses, tmp_path: Path) -> None:
    witness = start(witnesses, tmp_path, kind="http", port="auto", routes=ROUTES)
    base = f"http://127.0.0.1:{witness.port}"
    with urllib.request.urlopen(f"{base}/ping?x=1", timeout=5) as answer:
        assert (answer.status, answer.read(), answer.headers["X-Case"]) == (203, b"pong", "yes")
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(f"{base}/other", timeout=5)
    assert error.value.code == 404
    error.value.close()
    assert witnesses.placeholder_names() == {"it.port": str(witness.port)}


@pytest.mark.skipif(unmet("openssl") is not None, reason="no openssl command")
def test_https_by_a_ca_of_the_runner(witnesses: Witnesses, tmp_path: Path) -> None:
    tls = {"name": "allowed.test", "ca": "outside/ca.pem"}
    witness = start(witnesses, tmp_path, kind="http", port="auto", routes=ROUTES, tls=tls)
    witnesses.write_certificates(tmp_path)
    trusting = ssl.create_default_context(cafile=str(inside(tmp_path, "outside/ca.pem")))
    address = ("127.0.0.1", witness.port or 0)
    with (
        socket.create_connection(address, 5) as plain,
        trusting.wrap_socket(plain, server_hostname="allowed.test") as secured,
    ):
        secured.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
        assert b"203" in secured.recv(200)
    with (
        socket.create_connection(address, 5) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ssl.create_default_context().wrap_socket(plain, server_hostname="allowed.test")


def test_the_trusted_side_resolves_what_the_case_says_and_nothing_else() -> None:
    resolve = resolver({"allowed.test": ["127.0.0.1", "::1"]}, None)
    assert resolve("allowed.test") == ["127.0.0.1", "::1"]
    with pytest.raises(socket.gaierror):
        resolve("example.org")
