"""What was approved, and nothing else, is opened or connected."""

from __future__ import annotations

import os
import select
import socket
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.policy import Places, Rights, Source, load, resolve
from sandbox_kernel.trusted.capabilities.files.decide import decide as decide_file
from sandbox_kernel.trusted.capabilities.files.perform import perform as open_file
from sandbox_kernel.trusted.capabilities.files.schema import FileRequest
from sandbox_kernel.trusted.capabilities.sockets.decide import decide as decide_socket
from sandbox_kernel.trusted.capabilities.sockets.perform import perform as make_socket
from sandbox_kernel.trusted.capabilities.sockets.schema import SocketRequest
from sandbox_kernel.trusted.capabilities.verdict import Approved
from tests.ports import unused_ports


def rights(folder: Path, text: str) -> Rights:
    policy = load([Source("test.toml", f"version = 1\n{text}")])
    return resolve(policy, Places(folder=str(folder), canonical=os.path.realpath), now=0.0)


def approved(verdict: Any) -> Any:
    assert isinstance(verdict, Approved), verdict
    return verdict


def test_an_approved_file_is_opened_in_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A")
    given = rights(tmp_path, '[[given.files]]\npath = "a"\nmode = "read"\nreason = "t"')
    request = FileRequest("a", str(tmp_path / "a"), "read", True)
    descriptor = open_file(approved(decide_file(request, given)))
    assert os.read(descriptor, 9) == b"A"
    with pytest.raises(OSError, match="Bad file"):
        os.write(descriptor, b"x")
    os.close(descriptor)


def test_a_link_that_took_the_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("A")
    (tmp_path / "secret").write_text("CANARY")
    given = rights(tmp_path, '[[given.files]]\npath = "a"\nmode = "read"\nreason = "t"')
    verdict = approved(decide_file(FileRequest("a", str(tmp_path / "a"), "read", True), given))
    (tmp_path / "a").unlink()
    (tmp_path / "a").symlink_to("secret")
    with pytest.raises(OSError, match="symbolic links"):
        open_file(verdict)


def test_create_overwrites_nothing(tmp_path: Path) -> None:
    given = rights(tmp_path, '[[given.files]]\npath = "."\nmode = "create"\nreason = "t"')
    request = FileRequest("new", str(tmp_path / "new"), "create", False)
    verdict = approved(decide_file(request, given))
    os.close(open_file(verdict))
    with pytest.raises(FileExistsError):
        open_file(verdict)


@pytest.mark.parametrize("thing", [None, "a", FileRequest("a", "/etc/passwd", "read", True)])
def test_nothing_but_an_approval_is_performed(thing: Any) -> None:
    with pytest.raises(TypeError):
        open_file(thing)
    with pytest.raises(TypeError):
        make_socket(thing)


def test_an_approved_address_is_connected(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        given = rights(tmp_path, f'[[given.sockets]]\nconnect = "127.0.0.1:{port}"\nreason = "t"')
        request = SocketRequest("connect", "127.0.0.1", port)
        with make_socket(approved(decide_socket(request, given))) as client:
            assert select.select([], [client], [], 5)[1]
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            server.accept()[0].close()


def test_an_approved_name_still_needs_its_address_decided(tmp_path: Path) -> None:
    given = rights(tmp_path, '[[given.sockets]]\nconnect = "a.test:80"\nreason = "t"')
    verdict = approved(decide_socket(SocketRequest("connect", "a.test", 80), given))
    with pytest.raises(TypeError, match="name"):
        make_socket(verdict)


def test_an_approved_listener_listens(tmp_path: Path) -> None:
    (port,) = unused_ports(1)
    given = rights(tmp_path, f'[[given.sockets]]\nlisten = "127.0.0.1:{port}"\nreason = "t"')
    with make_socket(approved(decide_socket(SocketRequest("listen", "127.0.0.1", port), given))):
        socket.create_connection(("127.0.0.1", port), 5).close()
