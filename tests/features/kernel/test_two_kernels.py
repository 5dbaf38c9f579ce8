"""Two live kernels at different levels: nothing of the one is there for the other.

Each way is tried from the second kernel with an attacker's code (the language is off), and from a
place where it works: the first kernel itself, or the host.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.features.kernel.conftest import Kernel, started
from tests.ports import unused_ports

ONE = """version = 1
extends = "default"
language = "full"
[[given.files]]
path = "."
mode = "write"
reason = "the first kernel's own"
[[given.sockets]]
listen = "127.0.0.1:PORT"
reason = "the first kernel's own"
"""
TWO = 'version = 1\nextends = "default"\nlanguage = "full"\n'


class Pair:
    """Two kernels of one user. `port`: the first may listen on it; `worker`: the first's worker."""

    def __init__(self, one: Kernel, two: Kernel, port: int) -> None:
        self.one, self.two, self.port = one, two, port
        # Of what the supervisor has started, the one with IPython in it.
        started = psutil.Process(one.manager.provisioner.pid).children(recursive=True)
        self.worker = max(started, key=lambda process: process.memory_info().rss).pid

    def first(self, code: str) -> str:
        """What the first kernel prints; it must not fail."""
        ran = self.one.run(code)
        assert ran.status == "ok", ran.error
        return ran.text().strip()

    def refused(self, code: str) -> str:
        """How the second kernel fails."""
        ran = self.two.run(code)
        assert ran.status == "error", ran.text()
        return ran.error


@pytest.fixture(
    scope="module",
    params=[
        ("full", "no-namespaces"),
        ("no-namespaces", "full"),
        ("full", "full"),
        ("no-namespaces", "no-namespaces"),
    ],
    ids=" beside ".join,
)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    (port,) = unused_ports(1)
    running: list[Kernel] = []
    policies = (ONE.replace("PORT", str(port)), TWO)
    for name, policy, level in zip(("one", "two"), policies, request.param, strict=True):
        folder = tmp_path_factory.mktemp(name)
        running.append(started(folder, policy=policy, level=level))
    yield Pair(*running, port)
    for kernel in running:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel()


def test_objects(pair: Pair) -> None:
    pair.first("import builtins, json, sys\nbuiltins.left = sys.modules['left'] = json.left = 'x'")
    assert pair.first("print(left, json.left)") == "x x"
    assert "NameError" in pair.refused("left")
    assert "ModuleNotFoundError" in pair.refused("import left")
    assert "AttributeError" in pair.refused("import json; json.left")


def test_files(pair: Pair) -> None:
    file = pair.one.folder / "note.txt"
    pair.first(f"open({str(file)!r}, 'w').write('mine')")
    assert file.read_text() == "mine"
    pair.refused(f"print(open({str(file)!r}).read())")
    pair.refused(f"open({str(file)!r}, 'w')")
    pair.refused(f"import os; os.listdir({str(file.parent)!r})")
    assert file.read_text() == "mine"


def test_scratch(pair: Pair) -> None:
    path = pair.first(
        "import tempfile\npath = tempfile.gettempdir() + '/kept'\n"
        "open(path, 'w').write('mine')\nprint(path)"
    )
    assert pair.first("print(open(path).read())") == "mine"
    pair.refused(f"print(open({path!r}).read())")
    listed = "import os, tempfile; print('kept' in os.listdir(tempfile.gettempdir()))"
    assert pair.first(listed) == "True"
    assert pair.two.run(listed).text().strip() == "False"


def test_loopback_ports(pair: Pair) -> None:
    pair.first(
        f"import socket\nserver = socket.create_server(('127.0.0.1', {pair.port}))\n"
        "server.settimeout(0.2)"
    )
    with socket.create_connection(("127.0.0.1", pair.port), timeout=5):
        assert pair.first("server.accept()[0].close(); print('came')") == "came"
    pair.refused(f"import socket; socket.create_connection(('127.0.0.1', {pair.port}), 2)")
    pair.refused(f"import socket; socket.create_server(('127.0.0.1', {pair.port}))")
    none = "try: server.accept()\nexcept TimeoutError: print('nobody')"
    assert pair.first(none) == "nobody"
    pair.first("server.close()")


def test_unix_sockets(pair: Pair) -> None:
    path = pair.first(
        "import socket, tempfile\npath = tempfile.gettempdir() + '/u'\n"
        "unix = socket.socket(socket.AF_UNIX); unix.bind(path); unix.listen()\nprint(path)"
    )
    connect = "import socket; c = socket.socket(socket.AF_UNIX); c.connect(PATH)"
    pair.first(connect.replace("PATH", repr(path)))
    pair.refused(connect.replace("PATH", repr(path)))
    pair.refused(connect.replace("PATH", repr("\0" + path)))


def test_signals(pair: Pair) -> None:
    for number in (pair.worker, pair.one.manager.provisioner.pid):
        os.kill(number, 0)  # The host's user may.
        pair.refused(f"import os; os.kill({number}, 0)")
        pair.refused(f"import os; os.kill({number}, 9)")
    assert pair.first("print('alive')") == "alive"


def test_shared_memory(pair: Pair) -> None:
    create = (
        "from multiprocessing import resource_tracker\nresource_tracker.register = "
        "resource_tracker.unregister = lambda *_: None\n"
        "from multiprocessing.shared_memory import SharedMemory\n"
    )
    name = pair.first(
        create
        + "memory = SharedMemory(create=True, size=16)\nmemory.buf[0] = 7\nprint(memory.name)"
    )
    attach = create + f"again = SharedMemory({name!r})\nprint(again.buf[0])"
    assert pair.first(attach) == "7"
    assert "FileNotFoundError" in pair.refused(attach)
    assert not Path("/dev/shm", name).exists()
    pair.first("again.close(); memory.close(); memory.unlink()")


@pytest.mark.parametrize("file", ["mem", "environ", "maps", "fd/0", "root/etc/hostname", "cwd/."])
def test_proc(pair: Pair, file: str) -> None:
    pair.refused(f"open('/proc/{pair.worker}/{file}', 'rb').read(1)")
