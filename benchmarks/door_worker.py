"""A worker behind its walls, or the same program without any, for the benchmark of the doors."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sandbox_kernel.policy import Places, Rights, Source, load, resolve
from sandbox_kernel.trusted.confine.launch import Warden
from sandbox_kernel.trusted.confine.level import Level
from sandbox_kernel.trusted.confine.spec import WorkerSpec
from sandbox_kernel.trusted.doors import Doors

DEADLINE = 300.0  # seconds; whatever takes longer is broken

PROGRAM = """
import json, os, socket, sys, time
SEAL
channel = socket.socket(fileno=int(sys.argv[1]))
channel.sendall(b"0\\n")
for line in channel.makefile("rb"):
    names = {"os": os, "time": time, "socket": socket}
    exec(json.loads(line), names)
    channel.sendall(json.dumps(names["it"]).encode() + b"\\n")
"""
SEALED = """from sandbox_kernel.sandboxed.seal import seal
from sandbox_kernel.sandboxed.installed import find_installed_by_list
seal(int(sys.argv[2]))
find_installed_by_list()"""


def rights_of(folder: Path, text: str) -> Rights:
    """The rights of a notebook in `folder` under a policy with this text."""
    policy = load([Source("benchmark.toml", f"version = 1\n{text}")])
    return resolve(policy, Places(folder=str(folder), canonical=os.path.realpath), now=0.0)


class Plain:
    """The program without walls."""

    def __init__(self, folder: Path) -> None:
        ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM.replace("SEAL", ""), str(theirs.fileno())],
            cwd=folder,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self._talk(ours)

    def _talk(self, channel: socket.socket) -> None:
        channel.settimeout(DEADLINE)
        self._channel = channel
        self._stream = channel.makefile("rb")
        self._stream.readline()

    def run(self, source: str) -> Any:
        """Run code; what it left in `it`."""
        self._channel.sendall(json.dumps(source).encode() + b"\n")
        return json.loads(self._stream.readline())

    def close(self) -> None:
        """End it."""
        self._stream.close()
        self._channel.close()
        self._process.wait(DEADLINE)


class Walled(Plain):
    """The program behind the walls of a level, its doors on a loop in a thread."""

    def __init__(self, folder: Path, level: Level, rights: Rights, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        channel = self.on_loop(self._start, folder, level, options)
        self._talk(channel)
        self.on_loop(self.doors.open_for, self._generation, rights)
        self.run("os.chdir(os.getcwd()); it = 0")

    async def _start(self, folder: Path, level: Level, options: Any) -> socket.socket:
        self._warden = Warden.start(
            WorkerSpec(
                working_directory=str(folder),
                entry=("-c", PROGRAM.replace("SEAL", SEALED)),
                forced_level=level,
            )
        )
        self.doors = Doors(self._warden, **options)
        self._generation = self._warden.launch(self.doors.door_factory)
        await self._generation.sealed()
        return self._generation.channel.dup()

    def on_loop(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call something where the doors run."""

        async def called() -> Any:
            result = function(*arguments)
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(called(), self._loop).result(DEADLINE)

    def close(self) -> None:
        """End it."""
        self._stream.close()
        self._channel.close()
        for end in (self.doors.close, self._generation.close, self._warden.close):
            self.on_loop(end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()
