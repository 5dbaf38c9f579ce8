"""A world on the host, rights by policy text, and a sealed worker that does what it is told."""

from __future__ import annotations

import asyncio
import http.server
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox_kernel.policy import Places, Rights, Source, load, parse_request, resolve
from sandbox_kernel.policy.problems import Origin
from sandbox_kernel.trusted.confine.launch import Warden
from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.confine.spec import WorkerSpec
from sandbox_kernel.trusted.doors import CommitReport, Doors, Taken

from .services import Echo, Pages

HAND = (Path(__file__).parent / "hand.py").read_text()
SECONDS = 20.0


class Raised(Exception):
    """What the worker's code raised: its type's name, text and errno."""

    def __init__(self, kind: str, text: str, number: int | None) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind, self.text, self.number = kind, text, number


class Gone(Exception):
    """The worker has ended."""


class World:
    """A folder for the notebook, one outside it, and the rights that a policy text gives."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.nb = base / "nb"
        self.outside = base / "outside"
        for folder in (self.nb, self.outside):
            folder.mkdir()
        (self.nb / "case.ipynb").write_text("{}")
        self.canary = self.outside / "secret.txt"
        self.canary.write_text("CANARY")

    def rights(self, text: str, *, cell: dict[str, Any] | None = None) -> Rights:
        """The rights under a policy with this text; `ROOT` stands for the world's folder."""
        text = "version = 1\n" + text.replace("ROOT", str(self.base))
        policy = load([Source("test.toml", text)])
        places = Places(
            folder=str(self.nb),
            notebook=str(self.nb / "case.ipynb"),
            home=str(self.base),
            canonical=os.path.realpath,
        )
        request = None if cell is None else parse_request(cell, Origin("the cell's metadata"))
        return resolve(policy, places, now=0.0, cell=request)

    def sockets(self, *lines: str) -> Rights:
        """Rights to sockets: each line is the inside of a [[given.sockets]] table."""
        return self.rights("\n".join(f'[[given.sockets]]\nreason = "test"\n{x}' for x in lines))

    def files(self, *lines: str) -> Rights:
        """Rights to files: each line is the inside of a [[given.files]] table."""
        return self.rights("\n".join(f'[[given.files]]\nreason = "test"\n{x}' for x in lines))


class Worker:
    """A live worker behind its walls, the doors on a loop in a thread of this process."""

    def __init__(self, world: World, level: Level, **options: Any) -> None:
        self.world = world
        self.level = level
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.problems: list[str] = []
        self.denied: list[str] = []
        self.doors: Doors
        self._call(self._start, options)

    async def _start(self, options: dict[str, Any]) -> None:
        points = options.pop("writable_points", (str(self.world.nb), str(self.world.outside)))
        spec = WorkerSpec(
            working_directory=str(self.world.nb),
            entry=("-c", HAND),
            forced_level=self.level,
            writable_points=points,
            spawn=options.get("spawn", False),
        )
        self.spawn = bool(options.pop("spawn", False))
        self.warden = Warden.start(spec)
        self.doors = Doors(
            self.warden,
            problem=lambda p: self.problems.append(f"{p.what}: {p.why}"),
            denied=lambda d: self.denied.append(d.text),
            **options,
        )
        await self.launch()

    async def launch(self) -> None:
        self.generation = self.warden.launch(self.doors.door_factory)
        await asyncio.wait_for(self.generation.sealed(), SECONDS)
        self.generation.allow_forks(lambda: self.spawn)
        self._channel = self.generation.channel.dup()
        self._channel.settimeout(SECONDS)
        self._stream = self._channel.makefile("rb")

    def _call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        async def called() -> Any:
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(SECONDS)

    def open_for(self, rights: Rights) -> None:
        assert json.loads(self._stream.readline()) == {"ok": "ready"}
        self._call(self.doors.open_for, self.generation, rights)
        self.run("os.chdir(os.getcwd())")  # Its folder may be a mount by now.

    def follow(self, rights: Rights) -> Taken:
        taken: Taken = self._call(self.doors.follow, rights)
        return taken

    def begin(self, rights: Rights) -> Taken:
        """Begin a cell. As the product's worker does, this one is in no grant meanwhile."""
        here = self.run("it = os.getcwd(); os.chdir('/')")
        taken: Taken = self._call(self.doors.begin_cell, rights)
        self.run(f"os.chdir({here!r})")
        return taken

    def end(self) -> CommitReport:
        report: CommitReport = self._call(self.doors.end_cell)
        return report

    def on_loop(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._call(function, *arguments)

    def send(self, source: str) -> None:
        """Start the worker on some code without waiting for it."""
        self._channel.sendall(json.dumps({"do": source}).encode() + b"\n")

    def answer(self) -> Any:
        """The value of `it` after the code that was sent. Raises Raised, Gone."""
        try:
            line = self._stream.readline()
        except ConnectionResetError:
            line = b""
        if not line:
            raise Gone
        answer = json.loads(line)
        if "error" in answer:
            raise Raised(*answer["error"])
        return answer["ok"]

    def patience(self, seconds: float) -> None:
        """How long to wait for an answer."""
        self._channel.settimeout(seconds)

    def run(self, source: str) -> Any:
        """Run code in the worker; see `answer`. `ROOT` stands for the world's folder."""
        try:
            self.send(source.replace("ROOT", str(self.world.base)))
        except (BrokenPipeError, ConnectionResetError):
            raise Gone from None
        return self.answer()

    def value(self, expression: str) -> Any:
        """The value of an expression in the worker."""
        return self.run(f"it = {expression}")

    def close(self) -> None:
        self._call(self.doors.close)
        self._call(self.generation.close)
        self._call(self.warden.close)
        self._stream.close()
        self._channel.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(SECONDS)
        self._loop.close()


#: What the fixture `start` gives.
Start = Callable[..., Worker]

NOBODY = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")


def python_for_nobody() -> str | None:
    """A Python of this version that an unprivileged user can run, or None.

    The one that runs the tests may lie in root's home.
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    for python in (sys.executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        # `env` for a second exec: setpriv itself still has root's capabilities at the first.
        tried = subprocess.run([*NOBODY, "env", python, "-c", "0"], capture_output=True)
        if tried.returncode == 0:
            return python
    return None


def paths_for_nobody(file: str) -> dict[str, str]:
    """Environment in which that Python finds this tree and what the tests use."""
    path = [str(Path(file).parents[3]), *(p for p in sys.path if p.endswith("site-packages"))]
    return {"PYTHONPATH": ":".join(path), "PYTHONDONTWRITEBYTECODE": "1"}


def run_as_nobody(file: str) -> None:
    """Run a test file as an unprivileged user; fails with it."""
    python = python_for_nobody()
    if python is None:
        pytest.skip("no Python of this version that an unprivileged user can run")
    root = Path(file).parents[3]
    # Not below pytest's own folder: every start of pytest closes that to other users.
    with tempfile.TemporaryDirectory() as base:
        os.chown(base, 65534, 65534)
        done = subprocess.run(
            [*NOBODY, python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            + ["--basetemp", f"{base}/run", file],
            capture_output=True,
            text=True,
            timeout=400,
            cwd=root,
            env={**os.environ, **paths_for_nobody(file)},
        )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.fixture(params=[Level.FULL, Level.NO_NAMESPACES], ids=lambda level: level.value)
def level(request: pytest.FixtureRequest) -> Level:
    """Both doors: a test that takes this runs at each."""
    found: Level = request.param
    return found


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def start(world: World) -> Iterator[Callable[..., Worker]]:
    """Start workers in the world; they end with the test."""
    started: list[Worker] = []

    def begin(rights: Rights, level: Level = Level.FULL, **options: Any) -> Worker:
        worker = Worker(world, level, **options)
        started.append(worker)
        worker.open_for(rights)
        return worker

    yield begin
    for worker in started:
        worker.close()


def listening(host: str = "127.0.0.1") -> socket.socket:
    """A listening socket on a free port."""
    server = socket.create_server((host, 0))
    server.settimeout(SECONDS)
    return server


#: What a file that is not granted raises: at `full` it is not there.
REFUSED = ("FileNotFoundError", "PermissionError", "OSError")


def refused(worker: Worker, source: str, kinds: Collection[str] = REFUSED) -> Raised:
    """The error with which the worker's code is refused."""
    with pytest.raises(Raised) as caught:
        worker.run(source)
    assert caught.value.kind in kinds, caught.value
    return caught.value


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A service on the host that sends back what it gets, in capitals."""
    service = Echo()
    yield service
    service.close()


@pytest.fixture
def web() -> Iterator[http.server.ThreadingHTTPServer]:
    """A web server on the host that answers with the host name that was asked for."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()
