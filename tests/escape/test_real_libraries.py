"""Unmodified libraries work in a sealed worker, with nothing granted."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

import pytest

from sandbox_kernel.trusted.confine.launch import Warden
from sandbox_kernel.trusted.confine.plan import Level
from sandbox_kernel.trusted.confine.spec import MEBIBYTE, WorkerSpec

from .workers import INSIDE, drain, script

sys.path.insert(0, INSIDE)
from libraries import CHECKS

#: Seconds for importing and using all of them.
PATIENCE = 100.0


async def _found(level: Level) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as notebook:
        warden = Warden.start(
            WorkerSpec(
                working_directory=notebook,
                read_roots=(INSIDE,),
                forced_level=level,
                scratch_bytes=64 * MEBIBYTE,
                entry=("-c", script(str(Path(INSIDE) / "libraries.py"))),
            )
        )
        try:
            worker = warden.launch()
            await worker.sealed()
            async with asyncio.timeout(PATIENCE):
                said = asyncio.create_task(drain(worker.stderr_fd))
                reader, writer = await asyncio.open_connection(sock=worker.channel)
                data = await reader.read()
                writer.close()
                worker.close()
            assert data, await said
            said.cancel()
            return dict(json.loads(data))
        finally:
            warden.close()


@pytest.fixture(scope="module")
def full() -> dict[str, str]:
    """What each library said at `full`."""
    return asyncio.run(_found(Level.FULL))


@pytest.fixture(scope="module")
def no_namespaces() -> dict[str, str]:
    """What each library said at `no-namespaces`."""
    return asyncio.run(_found(Level.NO_NAMESPACES))


def _judge(said: str) -> None:
    if said.startswith("not installed"):
        pytest.skip(said)
    assert said == ""


@pytest.mark.parametrize("library", CHECKS)
def test_library_works_at_full(library: str, full: dict[str, str]) -> None:
    _judge(full[library])


@pytest.mark.parametrize("library", CHECKS)
def test_library_works_without_namespaces(library: str, no_namespaces: dict[str, str]) -> None:
    _judge(no_namespaces[library])
