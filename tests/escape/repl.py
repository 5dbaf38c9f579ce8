"""Sealed workers that evaluate the expressions of a test."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
from collections.abc import AsyncIterator
from typing import Any

from sandbox_kernel.trusted.confine.launch import Generation, Warden
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.spec import WorkerSpec

PATIENCE = 30.0
LEVELS = [Level.FULL, Level.NO_NAMESPACES]
#: Runs each line that comes through the channel and answers with its value or its error.
REPL = """
import json, os, socket, sys
from sandbox_kernel.sandboxed.seal import seal
seal(int(sys.argv[-1]))
with socket.socket(fileno=int(sys.argv[-2])).makefile('rw') as lines:
    for line in lines:
        try: got = repr(eval(line))
        except OSError as error: got = f'{type(error).__name__} {error.errno}'
        lines.write(json.dumps(got) + '\\n'); lines.flush()
"""


class Worker:
    """A sealed worker that evaluates expressions."""

    def __init__(self, warden: Warden, generation: Generation) -> None:
        self.warden, self.generation = warden, generation

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(sock=self.generation.channel)

    async def ask(self, expression: str) -> str:
        async with asyncio.timeout(PATIENCE):
            self._writer.write(expression.encode() + b"\n")
            return str(json.loads(await self._reader.readline()))

    async def death(self) -> int:
        """Its exit status, once it is dead."""
        async with asyncio.timeout(PATIENCE):
            while (status := self.generation.exit_status()) is None:
                await _readable(self.generation.exit_fd)
        return status


async def _readable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)


@contextlib.asynccontextmanager
async def worker_at(level: Level | None, code: str = REPL, **spec: Any) -> AsyncIterator[Worker]:
    """A worker at a level that runs `code`, ended and cleaned up afterwards."""
    with tempfile.TemporaryDirectory() as notebook:
        warden = Warden.start(
            WorkerSpec(working_directory=notebook, forced_level=level, entry=("-c", code), **spec)
        )
        try:
            worker = Worker(warden, warden.launch())
            await worker.generation.sealed()
            await worker.connect()
            try:
                yield worker
            finally:
                worker._writer.close()
                worker.generation.close()
        finally:
            warden.close()
